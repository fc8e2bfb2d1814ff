# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_snapshot, state reverted, on real servers: a role that may not create databases gets the live one back as it was dumped."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore as restore
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from postgres_cluster import Cluster, Shop
from snapshot_calls import call, left
from test_pg_snapshot_faults import damage, killed_when

pytestmark = pytest.mark.postgres

# What a migration may do, and what only a rollback has to undo: each kind of object, in each kind of schema.
MIGRATION = """
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE refund AS ENUM ('asked', 'given');
ALTER TYPE order_status ADD VALUE 'refunded';
CREATE TABLE refunds (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "order" bigint REFERENCES "Orders", state refund, extra hstore);
ALTER TABLE "Orders" ADD COLUMN note text DEFAULT 'new', DROP COLUMN shipping CASCADE;
ALTER TABLE customers RENAME COLUMN email TO mail;
DROP TABLE lines;
CREATE VIEW given AS SELECT * FROM refunds WHERE state = 'given';
CREATE MATERIALIZED VIEW sums AS SELECT count(*) FROM refunds;
CREATE FUNCTION given_by(refund) RETURNS text LANGUAGE sql AS $$SELECT '100 % ' || $1$$;
CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE PROCEDURE tidy() LANGUAGE sql AS $$DELETE FROM refunds$$;
CREATE AGGREGATE total(numeric) (SFUNC = numeric_add, STYPE = numeric);
CREATE FUNCTION differs(refund, text) RETURNS bool LANGUAGE sql AS $$SELECT $1::text <> $2$$;
CREATE OPERATOR <<>> (LEFTARG = refund, RIGHTARG = text, FUNCTION = differs);
CREATE CAST (refund AS order_status) WITH INOUT;
CREATE TYPE span AS RANGE (subtype = numeric);
CREATE TYPE pair AS (a int, b refund);
CREATE DOMAIN amount AS numeric CHECK (VALUE > 0);
CREATE COLLATION by_number FROM "C";
CREATE TEXT SEARCH CONFIGURATION shop (COPY = simple);
CREATE STATISTICS together ON status, customer FROM "Orders";
CREATE SCHEMA "new Schema" CREATE TABLE stock (item text PRIMARY KEY);
CREATE POLICY everyone ON customers USING (true);
CREATE SEQUENCE "odd "" sequence";
GRANT SELECT ON refunds TO reader;
REVOKE SELECT ON customers FROM reader;
DROP SCHEMA audit CASCADE;
INSERT INTO "Orders" (customer, net) SELECT 1, i FROM generate_series(1, 100) i;
DELETE FROM events;
SELECT lo_from_bytea(0, 'another');
SELECT lo_unlink(min(oid)) FROM pg_largeobject_metadata;
"""


@pytest.fixture
def shop(pg_server: Cluster) -> Iterator[Shop]:
    """A shop of a role that may not create databases; its extensions were made by the superuser, as is usual then."""
    shop = Shop(pg_server, "cedar prod", "plain")
    try:
        shop.create()
        with pg_server.connect("cedar prod") as connection:
            connection.execute("DROP EXTENSION pg_trgm CASCADE; CREATE EXTENSION pg_trgm; CREATE SCHEMA extensions")
            connection.execute("CREATE EXTENSION citext SCHEMA extensions")
        yield shop
    finally:
        pg_server.drop("cedar prod", "beside")


def migrate(shop: Shop) -> None:
    with shop.connect() as connection:
        for command in MIGRATION.strip().split(";\n"):
            connection.execute(command)  # type: ignore[arg-type]


def differences(shop: Shop, path: Path) -> list[str]:
    manifest = snapshot.load(str(path))
    assert manifest
    return restore.compare(Target.from_url(shop.url), manifest)


@pytest.fixture
def arguments(shop: Shop, path: Path) -> dict[str, Any]:
    """What reverts the shop to the snapshot that is there by now."""
    call(database_url=shop.url, path=str(path))
    return {"state": "reverted", "database_url": shop.url, "path": str(path), "keep": str(path.with_name("failed.dump"))}


def test_takes_back_every_kind_of_change(shop: Shop, path: Path, arguments: dict[str, Any]) -> None:
    assert not call(**{**arguments, "keep": None})["changed"]
    migrate(shop)
    with contextlib.closing(shop.connect()) as somebody:  # as the shop's workers may, or a psql that was forgotten
        somebody.execute("BEGIN; SELECT * FROM customers")
        predicted = call(**arguments, _ansible_check_mode=True, _ansible_diff=True)
        assert predicted["changed"] and "public.refunds was not there" in predicted["diff"]["before"]
        assert left(path) == {"pre.dump", "pre.manifest.json"} and shop.scalar("SELECT count(*) FROM refunds") == 0
        done = call(**arguments)
    assert done["changed"] and done["diff"] == predicted["diff"] and done["reverted"]["rows"] > 15000, done
    assert done["reverted"]["warnings"] == []
    assert differences(shop, path) == []
    # Not by the module's own eyes only:
    assert shop.scalar("SELECT count(*) FROM paid") == 0
    assert shop.scalar("SELECT count(*) FROM pg_extension WHERE extname = 'hstore'") == 0
    assert shop.scalar("SELECT count(*) FROM pg_collation WHERE collname = 'by_number'") == 0
    assert shop.scalar("SELECT count(*) FROM pg_ts_config WHERE cfgname = 'shop'") == 0
    assert shop.scalar("SELECT count(*) FROM pg_operator WHERE oprname = '<<>>'") == 0
    assert shop.scalar("SELECT prosrc LIKE '%audit.log%' FROM pg_proc WHERE proname = 'note'") is True
    assert shop.scalar("SELECT reltuples FROM pg_class WHERE relname = 'Orders'") == 5000
    assert shop.scalar("SELECT has_table_privilege('reader', 'customers', 'SELECT')") is True


def test_what_failed_is_kept_and_what_comes_later_stays(shop: Shop, path: Path, arguments: dict[str, Any]) -> None:
    migrate(shop)
    done = call(**arguments)
    assert done["changed"] and done["kept"] == arguments["keep"]
    assert shop.scalar('SELECT max(id) FROM "Orders"') == 5000
    assert shop.scalar("SELECT nextval('\"Orders_id_seq\"')") == 5101  # the others are known to customers
    with shop.connect() as connection:
        connection.execute("INSERT INTO customers (email) VALUES ('later@example.org')")
    again = call(**arguments)
    assert not again["changed"] and again["kept"] == arguments["keep"]
    assert shop.scalar("SELECT count(*) FROM customers WHERE email LIKE 'later%'") == 1
    kept = {"state": "restored", "database_url": shop.url, "admin_url": shop.cluster.url("postgres", "postgres")}
    assert call(**kept, path=arguments["keep"], target_database="beside")["restored"]
    assert shop.scalar("SELECT count(*) FROM refunds", "beside") == 0
    assert shop.scalar('SELECT count(*) FROM "Orders"', "beside") == 5100


def test_a_kept_dump_that_misses_what_was_written_since_steps_aside(shop: Shop, path: Path, arguments: dict[str, Any]) -> None:
    """An attempt ended before anything was dropped, and the shop went on."""
    migrate(shop)
    assert call(database_url=shop.url, path=arguments["keep"])["changed"]
    with shop.connect() as connection:
        connection.execute("INSERT INTO customers (mail) VALUES ('between@example.org')")
    assert call(**arguments)["changed"]
    assert len(left(path)) == 6, left(path)
    rows = {name: (snapshot.load(str(name)) or {})["tables"]["public.customers"]["rows"] for name in path.parent.glob("failed*.dump")}
    assert rows.pop(Path(arguments["keep"])) == 1001
    assert list(rows.values()) == [1000]


RESTORING = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ecommus pg_restore'"


@pytest.mark.parametrize(
    "orphaned",
    [pytest.param(False, id="host and all"), pytest.param(True, id="only the module, pg_restore goes on", marks=pytest.mark.exhaustive)],
)
def test_a_killed_run_is_repeated(shop: Shop, path: Path, arguments: dict[str, Any], orphaned: bool) -> None:
    with shop.connect() as connection:
        connection.execute("CREATE TABLE noise AS SELECT i, encode(sha512(i::text::bytea), 'base64') FROM generate_series(1, 300000) i")
    call(state="absent", database_url=shop.url, path=str(path))
    call(database_url=shop.url, path=str(path))
    migrate(shop)
    killed_when(shop, "revert", path, f"{RESTORING} AND query LIKE 'COPY%'")
    kept = Path(arguments["keep"]).stat()
    if not orphaned:
        with shop.cluster.connect() as connection:
            connection.execute(RESTORING.replace("1", "pg_terminate_backend(pid)", 1))
        assert shop.scalar("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    repeated = call(**arguments)
    assert not repeated.get("failed") and (repeated["changed"] or orphaned)
    assert differences(shop, path) == []
    assert Path(arguments["keep"]).stat().st_mtime_ns == kept.st_mtime_ns  # not of the database that was emptied
    assert left(path) == {"pre.dump", "pre.manifest.json", "failed.dump", "failed.manifest.json"}


@pytest.mark.parametrize("how", ["flip", pytest.param("cut", marks=pytest.mark.exhaustive)])
def test_a_damaged_dump_is_refused_before_anything_is_dropped(shop: Shop, path: Path, arguments: dict[str, Any], how: str) -> None:
    migrate(shop)
    damage(path, how)
    refused = call(**arguments)
    assert refused["failed"] and "is damaged" in refused["msg"] and "begun" not in refused
    assert shop.scalar("SELECT count(*) FROM refunds") == 0


def refused(shop: Shop, arguments: dict[str, Any], says: str) -> None:
    answer = call(**arguments)
    assert answer["failed"] and says in answer["msg"] and "begun" not in answer, answer
    assert shop.scalar("SELECT count(*) FROM refunds") == 0
    assert answer["remedy"]


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("CREATE TABLE of_root (); CREATE SCHEMA other", "cannot drop what is not its own table public.of_root of postgres, schema other"),
        ("SELECT lo_create(0)", "what is not its own large object"),
        ("ALTER ROLE plain IN DATABASE \"cedar prod\" SET work_mem = '6MB'", "in what restoring in place does not change: settings: "),
        ("CREATE EXTENSION ltree", "what is not its own extension ltree of postgres"),
        ("CREATE PUBLICATION news FOR ALL TABLES", "not taken back would be publication news"),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE plain GRANT SELECT ON TABLES TO reader", "default privileges on new relations"),
        ("REVOKE CREATE ON SCHEMA public FROM plain, public", "plain may not create in public"),
    ],
)
def test_what_it_could_not_take_back_is_refused_before(shop: Shop, arguments: dict[str, Any], does: str, says: str) -> None:
    migrate(shop)
    with shop.cluster.connect("cedar prod") as connection:
        if "REVOKE" in does:
            connection.execute("ALTER SCHEMA public OWNER TO postgres")
        connection.execute(does)  # type: ignore[arg-type]
    refused(shop, arguments, says)


def test_what_the_server_does_not_take_is_known_before_anything_is_dropped(shop: Shop, arguments: dict[str, Any]) -> None:
    """An extension of the superuser's is gone, and the role may not make it again: none of the other checks looks at that."""
    migrate(shop)
    with shop.cluster.connect("cedar prod") as connection:
        connection.execute("CREATE EXTENSION pageinspect")
    call(state="absent", database_url=shop.url, path=arguments["path"])
    call(database_url=shop.url, path=arguments["path"])
    with shop.cluster.connect("cedar prod") as connection:
        connection.execute("DROP EXTENSION pageinspect")
    refused(shop, arguments, 'permission denied to create extension "pageinspect"')


@pytest.mark.exhaustive
def test_a_session_of_another_role_is_waited_for_and_named(shop: Shop, arguments: dict[str, Any]) -> None:
    migrate(shop)
    with shop.cluster.connect("cedar prod") as connection:
        connection.execute("BEGIN; SELECT count(*) FROM customers")
        refused(shop, arguments, "lock timeout")
        connection.execute("ROLLBACK")
    assert call(**arguments)["changed"]


@pytest.mark.skipif(shutil.which("age") is None, reason="the package age is not installed")
def test_an_encrypted_snapshot_needs_its_identity_before_anything_is_dropped(
    shop: Shop, path: Path, tmp_path: Path, arguments: dict[str, Any]
) -> None:
    keys = []
    for name in ("right", "wrong"):
        subprocess.run(["age-keygen", "-o", tmp_path / name], check=True, capture_output=True)
        keys.append(subprocess.run(["age-keygen", "-y", tmp_path / name], check=True, capture_output=True, text=True).stdout.strip())
    call(state="encrypted", database_url=shop.url, path=str(path), recipients=keys[:1])
    migrate(shop)
    refused(shop, arguments, "no identity was given")
    refused(shop, {**arguments, "identity_file": str(tmp_path / "wrong")}, "age cannot decrypt")
    assert call(**arguments, identity_file=str(tmp_path / "right"))["changed"]
    assert differences(shop, path) == []


def test_the_snapshot_of_another_database_is_refused(shop: Shop, pg_database: Shop, arguments: dict[str, Any]) -> None:
    answer = call(**{**arguments, "database_url": pg_database.url})
    assert answer["failed"] and "is a snapshot of cedar prod, not of shop prod" in answer["msg"]
