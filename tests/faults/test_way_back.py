"""Ways back: over other kinds of schema change, with a damaged snapshot, under load, of a way back, and ways back that fail."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import shopstate
from aftermath import NEW, OLD, Scene
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint, _restore, _salvage, _snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from ecommus_lab.running import WriteLoad
from interruption import phase, state
from moments import LONG, Moment, enters, waits
from playbook import Outcome
from psycopg import sql

PATCH = "v1.3.3"  # brings no migration
PLUGIN = "@northstar/loyalty"
# Written by the workers, who go on as soon as they may, and by whoever logs in.
NEVER_AT_REST = {"public.jobs", "public.stock_movements", "public.rate_limits", "public.refresh_tokens"}


def upgraded(scene: Scene, version: str = NEW, **variables: object) -> dict[str, Any]:
    """Upgrade, and return the facts of the run."""
    outcome = scene.upgrade(version, **variables)
    assert outcome.code == 0, outcome.said[-5000:]
    assert shopstate.version(scene.shop) == version
    facts: dict[str, Any] = scene.last_run["facts"]
    return facts


def rolled_back(scene: Scene, **variables: object) -> Outcome:
    outcome = scene.rollback(**variables)
    assert outcome.code == 0, outcome.said[-5000:]
    return outcome


def refused(scene: Scene, outcome: Outcome, says: str, ends_as: str = "failed") -> None:
    """It failed, for that reason, with a remedy, and the report and the journal say so."""
    assert outcome.code == 2, outcome.said[-5000:]
    report = outcome.report(scene.name)
    assert re.search(says, report["problem"]), report["problem"]
    assert report["remedy"]
    assert scene.last_run["outcome"] == ends_as, scene.last_run


def as_superuser(scene: Scene, statement: str, *names: str, database: str = "postgres") -> None:
    with scene.lab.postgres.connect(database) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def switch_a_plugin_off(scene: Scene) -> None:
    """As an operator might in the middle of an upgrade; the comparison of the plugins does not let that pass."""
    scene.by_hand("settings", "INSERT INTO settings (key, value) VALUES (%s, 'false')", f"plugin:{PLUGIN}:enabled")


def switch_the_plugin_on(scene: Scene) -> None:
    scene.by_hand("settings", "DELETE FROM settings WHERE key = %s", f"plugin:{PLUGIN}:enabled")


def fails_in_verify(scene: Scene, version: str = NEW, also: Callable[[], object] = lambda: None, **variables: object) -> Outcome:
    """An upgrade that goes live and then does not stand its proof; *also* happens just before."""
    running = scene.start(version, **variables)
    running.until(lambda: phase(scene.shop) == "activate")
    switch_a_plugin_off(scene)
    also()
    outcome = running.outcome()
    assert outcome.code == 2, outcome.said[-5000:]
    assert [entered["name"] for entered in scene.last_run["phases"]][-2:] == ["verify", "way_back"]
    assert re.search(rf"{PLUGIN}.* is disabled", scene.last_run["facts"]["failure"]), scene.last_run["facts"]["failure"]
    return outcome


# --- the snapshot and its copy are not what they were ------------------------------------------------


def cut_off(dump: Path) -> None:
    with dump.open("r+b") as file:
        file.truncate(dump.stat().st_size * 2 // 3)


def flip_a_bit(dump: Path) -> None:
    with dump.open("r+b") as file:
        file.seek(dump.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


def remove(dump: Path) -> None:
    dump.unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut_off, "damaged: .* bytes instead of"),
        (flip_a_bit, "damaged: its content does not match"),
        (remove, "cannot be read: No such file"),
    ],
)
def test_a_damaged_dump_is_found_before_anything_is_touched(scene: Scene, damage: Callable[[Path], None], says: str) -> None:
    dump = Path(upgraded(scene)["snapshot"]["path"])
    before = shopstate.identity(scene.shop)
    damage(dump)
    refused(scene, scene.rollback(), says)
    assert shopstate.identity(scene.shop) == before
    scene.serves(NEW)


def test_the_standby_database_was_dropped(scene: Scene) -> None:
    """It is made again from the dump."""
    facts = upgraded(scene)
    as_superuser(scene, "DROP DATABASE {} WITH (FORCE)", facts["standby_database"])
    assert "the copy of the snapshot is gone; it would be restored first" in rolled_back(scene, check=True).said
    assert facts["standby_database"] not in shopstate.databases(scene.shop)
    assert "at stake: public.orders: " in rolled_back(scene).said
    scene.serves(OLD, "succeeded")


def test_the_standby_database_was_written_to(scene: Scene) -> None:
    """Nobody knows then whose data it is: it is not put to use, and not dropped either."""
    standby = upgraded(scene)["standby_database"]
    before = shopstate.identity(scene.shop)
    as_superuser(scene, "DELETE FROM order_lines WHERE id % 7 = 0", database=standby)
    refused(scene, scene.rollback(), f"{standby} exists and is not a copy of the snapshot .*order_lines")
    assert shopstate.identity(scene.shop) == before
    as_superuser(scene, "DROP DATABASE {}", standby)
    rolled_back(scene)
    scene.serves(OLD, "succeeded")


def test_the_name_for_the_kept_database_is_taken(scene: Scene) -> None:
    kept = upgraded(scene)["kept_database"]
    as_superuser(scene, "CREATE DATABASE {}", kept)
    before = shopstate.identity(scene.shop)
    refused(scene, scene.rollback(), f"database {kept} exists already")
    assert shopstate.identity(scene.shop) == before
    as_superuser(scene, "DROP DATABASE {}", kept)
    rolled_back(scene)
    scene.serves(OLD, "succeeded")


# --- a release that is live is given up --------------------------------------------------------------


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


# --- where no copy can be made beside the database --------------------------------------------------


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


def test_a_copy_that_is_required_and_cannot_be_made_stops_the_upgrade(alone: Scene) -> None:
    before = shopstate.identity(alone.shop)
    outcome = alone.upgrade(ecommus_standby="required")
    assert outcome.code == 2
    assert re.search("role .* has no CREATEDB", outcome.report(alone.name)["problem"])
    assert shopstate.identity(alone.shop) == before
    alone.serves(OLD)


# --- under load, and more than once ------------------------------------------------------------------


def test_what_was_rolled_back_can_be_upgraded_and_rolled_back_again(scene: Scene) -> None:
    kept = []
    for _time in range(2):
        kept.append(upgraded(scene)["kept_database"])
        rolled_back(scene)
    assert set(kept) <= set(shopstate.databases(scene.shop))
    before = shopstate.identity(scene.shop)
    again = rolled_back(scene)
    assert again.recap(scene.name)["changed"] == 0
    assert again.report(scene.name)["outcome"] == "unchanged"
    assert shopstate.identity(scene.shop) == before
    scene.serves(OLD, "succeeded")


def test_a_rollback_while_orders_are_written(scene: Scene) -> None:
    """Also through a second, harder load: what was acknowledged is there under its number, and no number is given out twice."""
    upgraded(scene)
    before = len(scene.load.accepted)
    with WriteLoad(scene.shop, per_second=20) as more:
        rolled_back(scene)
    assert len(scene.load.accepted) > before
    assert len(set(more.accepted)) == len(more.accepted) > 50
    assert not set(more.accepted) & set(scene.load.accepted)
    (last,) = scene.shop.query("SELECT last_value FROM orders_id_seq")[0]
    assert last >= max(more.accepted + scene.load.accepted)
    answer = scene.shop.place_order()
    assert answer.status == 201, answer.text
    assert answer.json()["id"] > max(more.accepted + scene.load.accepted)
    scene.load.accepted += more.accepted
    scene.serves(OLD, "succeeded")


# --- a way back is killed ----------------------------------------------------------------------------


@contextlib.contextmanager
def exchange_waits(scene: Scene) -> Iterator[Moment]:
    """Makes the databases wait for each other when they change places, and with it the moment last."""
    with scene.lab.postgres.connect() as connection:
        connection.execute("BEGIN")
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(scene.shop.shop.database.name)))
        yield waits("ALTER DATABASE")


@contextlib.contextmanager
def salvage_waits(scene: Scene) -> Iterator[Moment]:
    """Makes what is carried over wait in its middle: the orders are written, and somebody is just writing a line of the same number."""
    kept = scene.last_run["facts"]["kept_database"]
    ((number,),) = scene.shop.query("SELECT max(id) FROM order_lines")
    held: list[psycopg.Connection[Any]] = []

    def look(scene: Scene) -> bool:
        try:
            if not held and kept in shopstate.databases(scene.shop):  # they have changed places
                held.append(psycopg.connect(scene.shop.database_url))
                held[0].execute(
                    "INSERT INTO order_lines OVERRIDING SYSTEM VALUE SELECT %s, order_id, product_id, quantity, unit_price"
                    " FROM order_lines WHERE id = 1",
                    [number],
                )
            for session in held:
                session.execute("SELECT")
            return bool(held) and waits('INSERT INTO "public"."order_lines" %OVERRIDING SYSTEM VALUE')(scene)
        except psycopg.OperationalError:  # the exchange ends all sessions, until its last moment
            held.clear()
            return False

    try:
        yield look
    finally:
        for session in held:
            session.close()


@contextlib.contextmanager
def resume_begins(scene: Scene) -> Iterator[Moment]:
    yield enters("resume")


@pytest.mark.parametrize("moment", [exchange_waits, salvage_waits, resume_begins])
def test_a_rollback_is_killed(scene: Scene, moment: Callable[[Scene], contextlib.AbstractContextManager[Moment]]) -> None:
    """Controller and module at once. The same command brings it to its end."""
    upgraded(scene)
    with moment(scene) as reached:
        running = scene.start(playbook="rollback")
        running.until(lambda: reached(scene))
        running.kill_everything()
    rolled_back(scene)
    assert scene.last_run["taken_over"]
    scene.serves(OLD, "succeeded")


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


# --- other kinds of schema change --------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(NEW, id="additive"),
        "v1.4.1-enum",
        "v1.4.1-rename",
        "v1.4.1-extension",
        "v1.4.1-function",
    ],
)
def test_a_good_release_is_taken_back(scene: Scene, version: str) -> None:
    objects = schema(scene)
    upgraded(scene, version)
    assert schema(scene) != objects
    rolled_back(scene)
    assert schema(scene) == objects
    scene.serves(OLD, "succeeded")


def test_the_code_alone_goes_back_from_killed_migrations_and_no_lock_limit_stays(scene: Scene) -> None:
    running = scene.start()
    running.until(lambda: LONG["migrations"](scene))
    running.kill_everything()
    assert (state(scene.shop) / "lock_limit.json").exists()
    rolled_back(scene, rollback_data=False)
    scene.serves(OLD, "succeeded", data=NEW)


def test_without_salvage_the_data_is_that_of_the_snapshot(scene: Scene) -> None:
    deadline = time.monotonic() + 30
    while not scene.load.accepted and time.monotonic() < deadline:
        time.sleep(0.1)
    scene.load.__exit__(None, None, None)  # all that comes now is ours
    facts = upgraded(scene)
    answer = scene.shop.place_order()
    assert answer.status == 201, answer.text
    rolled_back(scene, ecommus_salvage="off")
    found = {name: rows for name, rows in tables(scene).items() if name not in NEVER_AT_REST}
    assert found == {name: rows for name, rows in facts["snapshot"]["tables"].items() if name not in NEVER_AT_REST}
    with psycopg.connect(scene.shop.database_url.rpartition("/")[0] + "/" + facts["kept_database"]) as kept:
        assert kept.execute("SELECT 1 FROM orders WHERE id = %s", [answer.json()["id"]]).fetchone() == (1,)
    scene.serves(OLD, "succeeded")


def tables(scene: Scene) -> dict[str, Any]:
    with psycopg.connect(scene.shop.database_url) as connection:
        _fingerprint.prepare(connection)
        return _fingerprint.tables(connection)


def schema(scene: Scene) -> list[tuple[Any, ...]]:
    """All that a migration may add: types with their values, functions, triggers, extensions, columns, constraints."""
    return scene.shop.query("""
        SELECT 'type', typname::text, coalesce((
                 SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid), '')
          FROM pg_type t WHERE typnamespace = 'public'::regnamespace AND typcategory <> 'A'
        UNION ALL
        SELECT 'function', proname::text, pg_get_functiondef(oid)
          FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
        UNION ALL
        SELECT 'trigger', tgname::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT 'extension', extname::text, extversion FROM pg_extension
        UNION ALL
        SELECT 'column', relname || '.' || attname, format_type(atttypid, atttypmod) || coalesce(' ' || pg_get_expr(adbin, adrelid), '')
          FROM pg_attribute JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
         WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT 'constraint', conname::text, pg_get_constraintdef(oid)
          FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        ORDER BY 1, 2, 3""")
