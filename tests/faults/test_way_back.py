"""Ways back of releases that go live and do not stand their proof; that are killed, and that fail; workers at rest."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator

import pytest
from aftermath import NEW, OLD, Scene
from going_back import (
    PLUGIN,
    as_superuser,
    fails_in_verify,
    refused,
    rolled_back,
    switch_a_plugin_off,
    switch_the_plugin_on,
    upgraded,
)
from interruption import phase

PATCH = "v1.3.3"  # brings no migration


@pytest.mark.quick
def test_an_upgrade_that_does_not_stand_its_proof_goes_back_with_its_data(scene: Scene) -> None:
    assert scene.shop.query("SELECT count(*) FROM orders WHERE id = 1 AND status <> 'refunded'") == [(1,)]

    def a_webhook_comes() -> None:
        with scene.shop.connect() as connection:
            connection.execute("UPDATE orders SET status = 'refunded' WHERE id = 1")
            connection.execute("DELETE FROM orders WHERE id = 2")

    outcome = fails_in_verify(scene, also=a_webhook_comes)
    scene.serves(OLD, "rolled_back")
    (told,) = [line for line in outcome.report(scene.name)["notices"] if "plugins differ" in line]
    assert f"after the way back the plugins differ: {PLUGIN} is disabled" in told
    # What the operator and the webhook did is kept, though it was after the snapshot; what was deleted is back, and they are told.
    assert scene.shop.query("SELECT value FROM settings WHERE key = %s", f"plugin:{PLUGIN}:enabled") == [(False,)]
    assert scene.shop.query("SELECT id, status::text FROM orders WHERE id < 3 ORDER BY id")[0] == (1, "refunded")
    (notice,) = [line for line in outcome.report(scene.name)["notices"] if "not carried over" in line]
    facts = scene.last_run["facts"]
    assert re.search(r" \d+ deleted \(they are back\)", notice), notice
    assert f"see {facts['review_file']}; all are in the database {facts['kept_database']}" in notice


def test_where_nothing_was_migrated_the_database_stays_and_nobody_notices(scene: Scene) -> None:
    """All services but the API are single processes in fork mode."""
    (before,) = scene.shop.query("SELECT oid FROM pg_database WHERE datname = current_database()")
    outcome = fails_in_verify(scene, PATCH, ecommus_prober_rate=20)
    scene.serves(OLD, "rolled_back")
    assert scene.shop.query("SELECT oid FROM pg_database WHERE datname = current_database()") == [before]
    scene.nobody_noticed()
    report = outcome.report(scene.name)
    assert report["requests"] > 100
    assert report["requests_failed"] == 0, report["services"]


@pytest.mark.parametrize("name", ["aurora", "cedar"])
def test_other_installs_go_back_from_a_release_that_is_live(make_scene: Callable[[str], Scene], name: str) -> None:
    """One that was adopted by that very upgrade, and one whose checkout is the live shop and whose role may not create databases."""
    scene = make_scene(name)
    fails_in_verify(scene)
    scene.serves(OLD, "rolled_back")


def test_in_place_services_that_do_not_end_by_themselves_are_given_up(make_scene: Callable[[str], Scene]) -> None:
    """They hang, and pm2 has to kill them one after the other: no job is cut off by that, and the shop must not stand still for it."""
    scene = make_scene("cedar")
    hung = {scene.shop.shop.processes[service].name for service in ("api", "storefront")}
    running = scene.start()
    running.until(lambda: phase(scene.shop) == "activate")
    switch_a_plugin_off(scene)
    running.until(lambda: phase(scene.shop) == "verify")
    for process in scene.shop.processes():
        if process["name"] in hung:
            os.kill(process["pid"], signal.SIGSTOP)
    outcome = running.outcome()
    assert outcome.code == 2, outcome.said[-5000:]
    scene.serves(OLD, "rolled_back")
    for name in hung:
        assert re.search(rf"{name} did not end by itself and was killed", outcome.said), outcome.said[-5000:]


def test_an_upgrade_is_killed_on_its_way_back(scene: Scene) -> None:
    """The same command does not try the release again: it finishes the way back."""
    running = scene.start()
    running.until(lambda: phase(scene.shop) == "activate")
    switch_a_plugin_off(scene)
    running.until(lambda: phase(scene.shop) == "way_back")
    running.kill_everything()
    refused(scene, scene.upgrade(), f"{PLUGIN}.* is disabled", "rolled_back")
    assert [entered["name"] for entered in scene.last_run["phases"]].count("activate") == 1
    scene.serves(OLD, "rolled_back")


# --- ways back that fail -----------------------------------------------------------------------------


@pytest.fixture
def stuck(scene: Scene) -> Iterator[Scene]:
    """An upgrade failed, and its way back as well: the copy of the data is gone, and the role may not make another."""
    database = scene.shop.shop.database
    scene.undo.callback(as_superuser, scene, "ALTER ROLE {} CREATEDB", database.role)

    def hinder() -> None:
        as_superuser(scene, "DROP DATABASE {} WITH (FORCE)", scene.last_run["facts"]["standby_database"])
        as_superuser(scene, "ALTER ROLE {} NOCREATEDB", database.role)

    outcome = fails_in_verify(scene, also=hinder)
    refused(scene, outcome, r"(?s)THE WAY BACK FAILED.*is disabled.*What stopped the way back: role .* has no CREATEDB", "rollback_failed")
    assert scene.shop.health() == {}  # the shop was not made worse
    blocked = scene.upgrade()
    assert blocked.code == 2
    assert re.search(r"the way back of the run .* failed.*run rollback\.yml", blocked.report(scene.name)["problem"] + blocked.said)
    as_superuser(scene, "ALTER ROLE {} CREATEDB", database.role)
    yield scene


def test_a_way_back_that_failed_is_finished_by_a_rollback(stuck: Scene) -> None:
    """The plugin is still switched off, so the plugins are not those of before: that is told loudly, until it is allowed."""
    refused(stuck, stuck.rollback(), f"the plugins differ: {PLUGIN} is disabled", "rollback_failed")
    stuck.serves(OLD, "rollback_failed")
    rolled_back(stuck, upgrade_allowed_plugins=[PLUGIN])
    stuck.serves(OLD, "succeeded")
    assert stuck.upgrade("v1.3.2").code == 0  # nothing blocks it any more


def test_a_way_back_that_failed_can_be_dealt_with_by_hand(stuck: Scene) -> None:
    """The operator finds nothing wrong with the new release, switches the plugin on again and starts the workers."""
    switch_the_plugin_on(stuck)
    stuck.shop.pm2("start", stuck.shop.shop.processes["workers"].name)
    stuck.shop.pm2("save")
    failed = stuck.last_run["id"]
    outcome = stuck.upgrade(ecommus_acknowledge=failed)
    assert outcome.code == 0, outcome.said[-5000:]
    outcome = stuck.upgrade()
    assert outcome.code == 0, outcome.said[-5000:]
    stuck.serves(NEW)


# --- workers that the operator had stopped -----------------------------------------------------------


def resting_workers(scene: Scene) -> None:
    scene.shop.pm2("stop", scene.shop.shop.processes["workers"].name)
    scene.shop.pm2("save")
    scene.workers = False


def test_workers_that_rested_before_rest_after_an_upgrade_and_a_rollback(scene: Scene) -> None:
    resting_workers(scene)
    upgraded(scene)
    assert not scene.shop.workers_running()
    rolled_back(scene)
    scene.serves(OLD, "succeeded")


def test_workers_that_rested_before_rest_after_an_upgrade_that_failed_twice(scene: Scene) -> None:
    """The second attempt finds them resting because of the first, and still knows how they were."""
    resting_workers(scene)
    fails_in_verify(scene)
    assert not scene.shop.workers_running()
    switch_the_plugin_on(scene)
    fails_in_verify(scene)
    scene.serves(OLD, "rolled_back")
