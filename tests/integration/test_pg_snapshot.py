# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_snapshot on real servers: what is restored is proven equal, and what stands in the way is named."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore as restore
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from postgres_cluster import Cluster, Shop
from snapshot_calls import call, left

pytestmark = pytest.mark.postgres


def test_makes_a_private_snapshot_once(pg_database: Shop, path: Path) -> None:
    predicted = call(database_url=pg_database.url, path=str(path), _ansible_check_mode=True)
    assert predicted["changed"] and not path.parent.exists()
    made = call(database_url=pg_database.url, path=str(path))
    assert made["changed"]
    manifest = made["manifest"]
    assert manifest["tables"]["public.Orders"]["rows"] == 5000
    assert manifest["tables"]["public.nothing"]["rows"] == 0
    assert manifest["tables"]["large objects"]["rows"] == 1
    assert manifest["server_version"].split(".")[0] == manifest["client_version"].split(".")[0] == str(pg_database.cluster.major)
    assert left(path) == {"pre.dump", "pre.manifest.json"}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert all((path.parent / name).stat().st_mode & 0o777 == 0o600 for name in left(path))
    again = call(database_url=pg_database.url, path=str(path))
    assert not again["changed"] and again["manifest"] == manifest
    assert not call(state="verified", database_url=pg_database.url, path=str(path))["changed"]


def test_describes_the_server_and_the_snapshot(pg_database: Shop, path: Path) -> None:
    call(database_url=pg_database.url, path=str(path))
    described = call(state="described", database_url=pg_database.url, path=str(path))
    server = described["server"]
    assert not described["changed"] and described["manifest"]["database"] == "shop prod"
    assert server["can_create_database"] and server["is_owner"] and not server["superuser"]
    assert next(known for known in server["databases"] if known["name"] == "shop prod")["bytes"] > 1e6
    assert server["prepared_transactions"] == server["long_transactions"] == []
    assert server["tools"]["version"].startswith(f"{pg_database.cluster.major}.")


@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
def test_restores_an_equal_database(pg_database: Shop, path: Path, jobs: int) -> None:
    manifest = call(database_url=pg_database.url, path=str(path))["manifest"]
    arguments = {"state": "restored", "database_url": pg_database.url, "path": str(path), "target_database": "copy", "jobs": jobs}
    assert call(**arguments, _ansible_check_mode=True)["changed"]
    assert "copy" not in pg_database.cluster.databases()
    made = call(**arguments)
    assert made["changed"] and made["restored"]["rows"] == sum(table["rows"] for table in manifest["tables"].values())
    assert made["restored"]["warnings"] == []
    # Not by the module's own eyes only:
    assert pg_database.scalar("SELECT count(*) FROM paid", "copy") == 0
    assert pg_database.scalar("SHOW work_mem", "copy") == "5MB"
    assert pg_database.scalar("SHOW lock_timeout", "copy") == "2500ms"
    assert pg_database.scalar('SHOW "app.tenant"', "copy") == "it's"
    assert pg_database.scalar("SHOW search_path", "copy") == '"$user", public, "odd "" name"'
    assert pg_database.scalar("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'copy'") == "it's the shop"
    assert pg_database.scalar("SELECT has_database_privilege('plain', 'copy', 'CONNECT')") is False
    assert pg_database.scalar("SELECT reltuples FROM pg_class WHERE relname = 'Orders'", "copy") == 5000
    again = call(**arguments)
    assert not again["changed"]
    with pg_database.connect("copy") as connection:
        connection.execute('UPDATE "Orders" SET shipping = shipping || \'{"n": 0}\' WHERE id = 17')
    changed = call(**arguments)
    assert changed["failed"] and "is not a copy" in changed["msg"] and "public.Orders: same number, other content" in changed["msg"]
    removed = call(state="absent", database_url=pg_database.url, target_database="copy")
    assert removed["changed"] and "copy" not in pg_database.cluster.databases()
    assert not call(state="absent", database_url=pg_database.url, target_database="copy")["changed"]
    assert left(path) == {"pre.dump", "pre.manifest.json"}


@pytest.mark.parametrize(
    "write",
    [
        'UPDATE "Orders" SET shipping = shipping || \'{"n": 0}\' WHERE id = 17',
        'TRUNCATE "Orders" CASCADE',
        "SELECT lo_put(oid, 0, 'other') FROM pg_largeobject_metadata",
    ],
)
def test_a_copy_is_read_again_only_when_it_may_have_been_written_to(
    pg_database: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """How long that takes must not depend on the size of the database, for it is on the way back."""
    path = str(tmp_path / "pre.dump")
    if "lo_put" in write:
        pg_database.scalar("SELECT lo_from_bytea(0, 'some')")
    call(database_url=pg_database.url, path=path)
    call(state="restored", database_url=pg_database.url, path=path, target_database="copy")
    manifest = snapshot.load(path)
    assert manifest
    target = Target.from_url(pg_database.url).at("copy")
    read: list[bool] = []
    tables = fingerprint.tables
    monkeypatch.setattr(fingerprint, "tables", lambda connection: read.append(True) or tables(connection))

    def look() -> list[str]:
        return restore.compare(target, manifest, sealed=manifest["copies"]["copy"])

    assert (look(), read) == ([], [])
    with pg_database.connect("copy") as somebody:  # who may have written what the statistics do not have yet
        assert (look(), read) == ([], [True])
        somebody.execute(write)
    assert look() and len(read) == 2


def test_snapshot_is_consistent_while_the_shop_sells(pg_database: Shop, path: Path) -> None:
    stop = threading.Event()

    def sell() -> None:
        with pg_database.connect() as connection:
            while not stop.is_set():
                with connection.transaction():
                    connection.execute(
                        'WITH o AS (INSERT INTO "Orders" (customer, net) VALUES (1, 1) RETURNING id)'
                        " INSERT INTO lines SELECT id, 1, 'A' FROM o"
                    )
                    connection.execute("UPDATE \"Orders\" SET status = 'paid' WHERE id = 1 + (random() * 999)::int")

    seller = threading.Thread(target=sell)
    seller.start()
    try:
        time.sleep(0.3)
        manifest = call(database_url=pg_database.url, path=str(path))["manifest"]
    finally:
        stop.set()
        seller.join()
    assert manifest["tables"]["public.Orders"]["rows"] < pg_database.scalar('SELECT count(*) FROM "Orders"')
    made = call(state="restored", database_url=pg_database.url, path=str(path), target_database="copy")
    assert made.get("restored"), made


def test_a_role_that_may_not_create_databases_needs_an_admin(pg_server: Cluster, path: Path) -> None:
    shop = Shop(pg_server, "cedar_prod", "plain")
    try:
        shop.create()
        with pg_server.connect("cedar_prod") as connection:
            connection.execute("CREATE TABLE secret_of_root (); ALTER TABLE secret_of_root OWNER TO plain")
        call(database_url=shop.url, path=str(path))
        arguments = {"state": "restored", "database_url": shop.url, "path": str(path), "target_database": "cedar_copy"}
        refused = call(**arguments)
        assert refused["failed"] and "role plain has no CREATEDB" in refused["msg"] and "admin_url" in refused["remedy"]
        for role in ("dba", "postgres"):
            made = call(**arguments, admin_url=pg_server.url("postgres", role))
            assert made.get("restored"), made
            assert shop.scalar("SELECT tableowner FROM pg_tables WHERE tablename = 'customers'", "cedar_copy") == "plain"
            assert shop.scalar("SHOW statement_timeout", "cedar_copy") == "77s"
            pg_server.drop("cedar_copy")
    finally:
        pg_server.drop("cedar_prod", "cedar_copy")


@pytest.mark.exhaustive
def test_settings_that_the_role_may_not_make_are_named(pg_database: Shop, path: Path) -> None:
    call(database_url=pg_database.url, path=str(path))
    with pg_database.cluster.connect() as connection:
        connection.execute('REVOKE SET ON PARAMETER "app.tenant" FROM owner')
    arguments = {"state": "restored", "database_url": pg_database.url, "path": str(path), "target_database": "copy"}
    refused = call(**arguments)
    assert refused["failed"] and refused["settings"] == ["app.tenant=it's"]
    assert not {"copy", "copy__partial"} & pg_database.cluster.databases()
    made = call(**arguments, require_settings=False)
    assert made["restored"]["warnings"] == ["setting not carried over: app.tenant=it's"]
    assert not call(**arguments, require_settings=False)["changed"]
    assert call(**arguments)["failed"]


def test_a_copy_that_differs_is_dropped(pg_database: Shop, path: Path) -> None:
    call(database_url=pg_database.url, path=str(path))
    manifest = path.with_name("pre.manifest.json")
    content = json.loads(manifest.read_text())
    content["tables"]["public.Orders"]["hash"] = "1"
    manifest.write_text(json.dumps(content))
    refused = call(state="restored", database_url=pg_database.url, path=str(path), target_database="copy")
    assert refused["failed"] and refused["differences"] == ["public.Orders: same number, other content"]
    assert not {"copy", "copy__partial"} & pg_database.cluster.databases()
    assert "shop prod" in pg_database.cluster.databases()


def test_removes_a_database_that_autovacuum_works_in(pg_database: Shop) -> None:
    """DROP DATABASE WITH (FORCE) is refused to its owner then: the worker counts as a superuser's session."""
    with pg_database.cluster.connect() as connection:
        connection.execute("CREATE DATABASE copy OWNER owner")
    pg_database.keep_autovacuum_busy("copy")
    with pg_database.connect("copy"):
        removed = call(state="absent", database_url=pg_database.url, target_database="copy")
    assert removed.get("changed"), removed
    assert "copy" not in pg_database.cluster.databases()


def test_the_live_database_is_neither_overwritten_nor_removed(pg_database: Shop, path: Path) -> None:
    call(database_url=pg_database.url, path=str(path))
    for state in ("restored", "absent"):
        refused = call(state=state, database_url=pg_database.url, path=str(path), target_database="shop prod")
        assert refused["failed"] and "live database" in refused["msg"]
    assert path.exists() and pg_database.scalar('SELECT count(*) FROM "Orders"') == 5000


def test_a_missing_manifest_is_no_snapshot(pg_database: Shop, path: Path) -> None:
    call(database_url=pg_database.url, path=str(path))
    path.with_name("pre.manifest.json").unlink()
    assert call(state="verified", database_url=pg_database.url, path=str(path))["failed"]
    assert call(database_url=pg_database.url, path=str(path))["changed"]
    assert call(state="absent", database_url=pg_database.url, path=str(path))["changed"]
    assert left(path) == set()


def test_names_what_keeps_it_out(pg_database: Shop, path: Path) -> None:
    cluster = pg_database.cluster
    wrong = pg_database.url.replace("owner:", "owner:wrong")
    answer = call(database_url=wrong, path=str(path))
    assert answer["failed"] and "password authentication failed" in answer["msg"] and "correct the user or the password" in answer["remedy"]
    answer = call(database_url=cluster.url("no_such"), path=str(path))
    assert answer["failed"] and 'database "no_such" does not exist' in answer["msg"]
    cluster.stop()
    answer = call(database_url=pg_database.url, path=str(path))
    assert answer["failed"] and "cannot connect to database shop prod as owner" in answer["msg"] and "start PostgreSQL" in answer["remedy"]
    cluster.start()
    assert left(path) == set()


@pytest.mark.exhaustive
def test_reads_the_url_from_the_env_file(pg_database: Shop, tmp_path: Path, path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f'JWT_SECRET=x\nSHOP_DB="{pg_database.url}?schema=public&connection_limit=5"\n')
    assert call(env_file=str(env_file), database_url_key="SHOP_DB", path=str(path))["changed"]
    missing = call(env_file=str(env_file), path=str(path))
    assert missing["failed"] and "has no DATABASE_URL" in missing["msg"]
