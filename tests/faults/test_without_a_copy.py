"""Ways back where no copy can be made beside the database: the data is dumped and restored in place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import shopstate
from aftermath import NEW, OLD, Scene
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore, _salvage, _snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from going_back import PLUGIN, as_superuser, fails_in_verify, refused, rolled_back, switch_a_plugin_off, upgraded
from interruption import phase
from moments import LONG


@pytest.fixture
def alone(scene: Scene) -> Scene:
    """The role may not create databases, and no other one is given."""
    role = scene.shop.shop.database.role
    scene.undo.callback(as_superuser, scene, "ALTER ROLE {} CREATEDB", role)
    as_superuser(scene, "ALTER ROLE {} NOCREATEDB", role)
    return scene


def carry_over_from_the_kept_dump(scene: Scene) -> None:
    """What the report tells the operator to do, by the superuser; only then every order that was accepted is in the live database."""
    scene.load.__exit__(None, None, None)
    kept = scene.last_run["facts"]["kept_dump"]
    lost = set(scene.load.accepted) - orders(scene, scene.shop.shop.database.name)
    assert lost, "nothing was ordered in the meantime"
    server = scene.lab.postgres
    where = {"host": "127.0.0.1", "port": str(server.config.postgres_port), "user": "postgres", "dbname": scene.shop.shop.database.name}
    superuser = Target(where, server.password)
    scene.undo.callback(as_superuser, scene, "DROP DATABASE {} WITH (FORCE)", "looked_at")
    _restore.restore(superuser, superuser, kept, "looked_at", 1, _snapshot.Options(path_prefix=[str(server.config.bin)]))
    assert lost <= orders(scene, "looked_at")
    _salvage.salvage(superuser, "looked_at", "", _salvage.Wish(replay=True))
    assert lost <= orders(scene, scene.shop.shop.database.name)


def orders(scene: Scene, database: str) -> set[int]:
    with scene.lab.postgres.connect(database) as connection:
        return {number for (number,) in connection.execute("SELECT id FROM orders").fetchall()}


def nothing_lies_beside(scene: Scene) -> None:
    assert not [name for name in shopstate.databases(scene.shop) if "_before_" in name or "_failed_" in name]


def test_without_a_copy_an_upgrade_that_fails_has_its_data_restored_in_place(alone: Scene) -> None:
    outcome = fails_in_verify(alone)
    assert "no copy of the database is made beside it" in outcome.said
    nothing_lies_beside(alone)
    assert alone.shop.query("SELECT value FROM settings WHERE key = %s", f"plugin:{PLUGIN}:enabled") == []
    answer = alone.shop.place_order()
    assert answer.json()["id"] > max(alone.load.accepted), "a number is given out once"
    (step,) = [step for step in outcome.report(alone.name)["manual_steps"] if alone.last_run["facts"]["kept_dump"] in step]
    assert "pg_salvage" in step
    carry_over_from_the_kept_dump(alone)
    alone.serves(OLD, "rolled_back")


def test_without_a_copy_an_install_in_place_goes_back(make_scene: Callable[[str], Scene]) -> None:
    """The role of cedar may not create databases, and the one that may is not given; its checkout is the live shop."""
    scene = make_scene("cedar")
    fails_in_verify(scene, ecommus_database_admin_url="")
    nothing_lies_beside(scene)
    carry_over_from_the_kept_dump(scene)
    scene.serves(OLD, "rolled_back")


def test_without_a_copy_a_good_upgrade_says_so_and_can_be_rolled_back(alone: Scene) -> None:
    outcome = alone.upgrade()
    assert outcome.code == 0, outcome.said[-5000:]
    assert shopstate.version(alone.shop) == NEW
    nothing_lies_beside(alone)
    reported = outcome.report(alone.name)["evidence"]["run"]["facts"]["checks"]
    checks = {each["check"]: each for each in reported}
    assert (checks["database_rights"]["ok"], checks["database_rights"]["severity"]) == (False, "warning")
    assert "two dumps" in checks["room_for_snapshot"]["found"]
    assert "There is no copy of the data of before" in rolled_back(alone).said
    carry_over_from_the_kept_dump(alone)
    alone.serves(OLD, "succeeded")


@pytest.mark.parametrize("moment", ["dump", "restore"])
def test_without_a_copy_a_rollback_that_is_killed_goes_on(alone: Scene, moment: str) -> None:
    """While what is in the database is dumped, and while the snapshot is restored into what is empty by then."""
    failed = Path(upgraded(alone)["failed_dump"])
    running = alone.start(playbook="rollback")
    running.until(lambda: LONG[moment](alone))
    running.kill_everything()
    kept = failed.stat().st_mtime_ns if moment == "restore" else None
    rolled_back(alone)
    assert kept in (None, failed.stat().st_mtime_ns)
    carry_over_from_the_kept_dump(alone)
    alone.serves(OLD, "succeeded")


def test_without_a_copy_an_upgrade_that_is_killed_on_its_way_back_goes_on(alone: Scene) -> None:
    """While the snapshot is restored. The same command finds an empty database and services that stand still, and finishes it."""
    running = alone.start()
    running.until(lambda: phase(alone.shop) == "activate")
    switch_a_plugin_off(alone)
    running.until(lambda: LONG["restore"](alone))
    running.kill_everything()
    refused(alone, alone.upgrade(), f"{PLUGIN}.* is disabled", "rolled_back")
    carry_over_from_the_kept_dump(alone)
    alone.serves(OLD, "rolled_back")


def test_a_copy_that_is_required_and_cannot_be_made_stops_the_upgrade(alone: Scene) -> None:
    before = shopstate.identity(alone.shop)
    outcome = alone.upgrade(ecommus_standby="required")
    assert outcome.code == 2
    assert re.search("role .* has no CREATEDB", outcome.report(alone.name)["problem"])
    assert shopstate.identity(alone.shop) == before
    alone.serves(OLD)
