"""Rollbacks of a release that is live: of other kinds of schema change, with a damaged snapshot, under load, more than once, killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import shopstate
from aftermath import NEW, OLD, Scene
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint
from ecommus_lab.running import WriteLoad
from going_back import as_superuser, refused, rolled_back, upgraded
from interruption import state
from moments import LONG, Moment, enters, waits
from psycopg import sql

# Written by the workers, who go on as soon as they may, and by whoever logs in.
NEVER_AT_REST = {"public.jobs", "public.stock_movements", "public.rate_limits", "public.refresh_tokens"}


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
    as_superuser(scene, "DELETE FROM order_lines WHERE id % 7 = 0", database=standby)
    refused_until_it_is_gone(scene, standby, "exists and is not a copy of the snapshot .*order_lines")


def test_the_name_for_the_kept_database_is_taken(scene: Scene) -> None:
    kept = upgraded(scene)["kept_database"]
    as_superuser(scene, "CREATE DATABASE {}", kept)
    refused_until_it_is_gone(scene, kept, "exists already")


def refused_until_it_is_gone(scene: Scene, database: str, says: str) -> None:
    """A rollback leaves that database and the shop alone, and works once an operator has dropped it."""
    before = shopstate.identity(scene.shop)
    refused(scene, scene.rollback(), f"database {database} {says}")
    assert shopstate.identity(scene.shop) == before
    as_superuser(scene, "DROP DATABASE {}", database)
    rolled_back(scene)
    scene.serves(OLD, "succeeded")


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
    scene.serves(OLD, "succeeded", data=NEW, in_part=True)


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
