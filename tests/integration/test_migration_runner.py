# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migration runner against real PostgreSQL, with programs that a real node runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import documented
import pytest
from ansible_collections.mdlabs.ecommus.plugins.modules import migration_runner, plugin_inventory
from postgres_cluster import PASSWORD, Cluster
from psycopg import sql
from release_tree import Release, install_drivers

pytestmark = pytest.mark.postgres
DATABASE = "contents-shop"
LONG = 120


def call(module: t.Any, **arguments: t.Any) -> dict[str, t.Any]:
    run = subprocess.run(
        command(module), input=given(arguments), capture_output=True, check=False, text=True, timeout=LONG, env=environment()
    )
    assert PASSWORD not in run.stdout + run.stderr
    assert "signs-all-the-tokens" not in run.stdout + run.stderr
    result: dict[str, t.Any] = json.loads(run.stdout)
    documented.check(module.__name__.rpartition(".")[2], result)
    return result


def command(module: t.Any) -> list[str]:
    return [sys.executable, module.__file__]


def given(arguments: dict[str, t.Any]) -> str:
    return json.dumps({"ANSIBLE_MODULE_ARGS": arguments})


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(params=["pg", pytest.param("postgres", marks=pytest.mark.exhaustive)])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Shop:
    """A release, a database, and the module between them."""

    def __init__(self, release: Release, cluster: Cluster, tools: Path, state: Path) -> None:
        self.release, self.cluster = release, cluster
        self.arguments = {
            "root": str(release.root),
            "path_prefix": [str(tools)],
            "lock_state_file": str(state / "lock.json"),
            "log_file": str(state / "migrations.log"),
        }
        self.log = state / "migrations.log"
        self.lock_state = state / "lock.json"

    def run(self, state: str = "migrated", **options: t.Any) -> dict[str, t.Any]:
        return call(migration_runner, **{**self.arguments, "state": state, **options})

    def ledger(self, table: str = "_ecommus_core_migrations") -> list[str]:
        with self.cluster.connect(DATABASE) as connection:
            return [str(name) for (name,) in connection.execute(sql.SQL("SELECT name FROM {} ORDER BY id").format(sql.Identifier(table)))]

    def lock_limit(self) -> list[str] | None:
        with self.cluster.connect(DATABASE) as connection:
            row = connection.execute(
                "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE d.datname = %s", [DATABASE]
            ).fetchone()
            return t.cast("list[str]", row[0]) if row else None


@pytest.fixture
def shop(pg_server: Cluster, node_tools: Path, tmp_path: Path) -> t.Iterator[Shop]:
    yield from make_shop(pg_server, node_tools, tmp_path, "pg")


@pytest.fixture
def any_shop(pg_server: Cluster, node_tools: Path, tmp_path: Path, driver: str) -> t.Iterator[Shop]:
    yield from make_shop(pg_server, node_tools, tmp_path, driver)


def make_shop(cluster: Cluster, tools: Path, tmp_path: Path, driver: str) -> t.Iterator[Shop]:
    install_drivers(tools)
    cluster.drop(DATABASE)
    with cluster.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER plain").format(sql.Identifier(DATABASE)))
    state = tmp_path / "state"
    state.mkdir()
    yield Shop(Release(tmp_path / "release", driver).create(cluster.url(DATABASE, "plain")), cluster, tools, state)
    cluster.drop(DATABASE)


def names(migrations: list[dict[str, t.Any]]) -> list[str]:
    return [f"{item['plugin']}/{item['name']}".lstrip("/") for item in migrations]


EVERYTHING = ["0001_init", "0002_notes", "@ecommus-plugin/efactura-ro/0001_invoices", "reviews/0001_reviews"]


def test_pending_migrated_and_again(any_shop: Shop) -> None:
    pending = any_shop.run("pending")
    assert (pending["changed"], names(pending["pending"]), pending["before"]["core"]) == (False, EVERYTHING, [])
    predicted = any_shop.run(_ansible_check_mode=True, _ansible_diff=True)
    done = any_shop.run(_ansible_diff=True)
    assert (done["changed"], names(done["applied"]), done["pending"], done["unknown"]) == (True, EVERYTHING, [], [])
    assert (predicted["changed"], names(predicted["applied"]), predicted["diff"]) == (True, EVERYTHING, done["diff"])
    assert [row["name"] for row in done["after"]["core"]] == ["0001_init", "0002_notes"]
    assert done["attempts"] == {"core": 1, "plugins": 1}
    assert any_shop.log.stat().st_mode & 0o777 == 0o600
    assert "[migrate] 0001_init" in any_shop.log.read_text()
    again = any_shop.run()
    assert (again["changed"], again["applied"]) == (False, [])
    assert not any_shop.lock_state.exists()


def test_core_only_then_plugins(shop: Shop) -> None:
    assert names(shop.run(which="core")["applied"]) == EVERYTHING[:2]
    assert names(shop.run(which="plugins")["applied"]) == EVERYTHING[2:]


def test_core_failure(shop: Shop) -> None:
    shop.release.core("0003_bad", "ALTER TABLE no_such_table ADD COLUMN x int")
    shop.release.core("0004_later", "SELECT 1")
    result = shop.run()
    assert result["failed"]
    assert "core migration 0003_bad failed" in result["msg"]
    assert "restore the snapshot" in result["remedy"]
    (failed,) = result["failed_migrations"]
    assert failed["name"] == "0003_bad"
    assert 'relation "no_such_table" does not exist' in failed["log"]
    assert names(result["pending"]) == ["0003_bad", "0004_later", *EVERYTHING[2:]], "plugins were not tried"
    assert result["changed"] is True
    assert shop.ledger() == ["0001_init", "0002_notes"]
    assert PASSWORD not in shop.log.read_text()
    assert not shop.lock_state.exists()


def test_plugin_failure_that_the_runner_swallows(shop: Shop) -> None:
    shop.release.plugin("plugins/reviews", "reviews", "1.1.0", {"0002_stars": "SELECT broken", "0003_fine": "SELECT 1"})
    result = shop.run()
    assert result["failed"]
    assert "plugin migration reviews/0002_stars failed, although its runner reported success" in result["msg"]
    (failed,) = result["failed_migrations"]
    assert (failed["plugin"], failed["name"]) == ("reviews", "0002_stars")
    assert 'column "broken" does not exist' in failed["log"]
    assert "reviews/0003_fine" in names(result["applied"])


def test_a_runner_that_fails_after_applying_everything(shop: Shop) -> None:
    shop.release.core_runner_ends_with("process.exit(1)")
    result = shop.run()
    assert "exit code 1 although every migration of the release is in the ledger" in result["msg"]


def test_a_runner_that_does_nothing(shop: Shop) -> None:
    shop.release.write("packages/db/src/migrate.ts", "console.log('all good')")
    result = shop.run()
    assert "core migration 0001_init failed, although its runner reported success" in result["msg"]
    assert "all good" in result["failed_migrations"][0]["log"]


def test_a_runner_that_applies_what_no_file_lists(shop: Shop) -> None:
    insert = "INSERT INTO _ecommus_core_migrations (name) VALUES ('9999_hidden')"
    shop.release.core("0003_extra", insert)
    assert "applied what the release's files do not list: 9999_hidden" in shop.run()["msg"]


def test_a_database_that_is_newer_than_the_release(shop: Shop) -> None:
    shop.run()
    (shop.release.root / "packages/db/migrations/0002_notes.sql").unlink()
    assert names(shop.run("pending")["unknown"]) == ["0002_notes"]
    refused = shop.run()
    assert "core migrations that this release does not know: 0002_notes" in refused["msg"]
    assert refused["changed"] is False
    assert "failed" not in shop.run(allow_unknown=True)


def test_a_program_that_hangs(shop: Shop) -> None:
    shop.release.core_runner_ends_with("setInterval(() => {}, 1000)")
    result = shop.run(timeout=4)
    assert "did not end within 4 s" in result["msg"]
    assert names(result["applied"]) == EVERYTHING[:2], "what it did before is known"
    assert not shop.lock_state.exists()
    assert shop.lock_limit() is None


def test_a_statement_that_hangs_is_ended_on_the_server_too(any_shop: Shop) -> None:
    any_shop.run()
    any_shop.release.core("0003_slow", "SELECT pg_sleep(60)")
    result = any_shop.run(timeout=5)
    assert "did not end within 5 s" in result["msg"]
    with any_shop.cluster.connect() as connection:
        assert connection.execute("SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%'").fetchall() == []
    assert any_shop.ledger() == ["0001_init", "0002_notes"]


def test_the_lock_limit_binds_and_says_who_blocks(any_shop: Shop) -> None:
    any_shop.run()
    any_shop.release.core("0003_blocked", "ALTER TABLE orders ADD COLUMN blocked int")
    with any_shop.cluster.connect(DATABASE, "plain") as other:
        other.execute("SET application_name = 'nightly-report'")
        other.execute("BEGIN")
        other.execute("SELECT 'card 4711' FROM orders")
        started = time.monotonic()
        result = any_shop.run(lock_timeout=0.5, lock_retries=1)
        took = time.monotonic() - started
    assert result["failed"]
    assert "core migration 0003_blocked failed after 2 attempts, each ended by the lock limit: nightly-report (pid" in result["msg"]
    assert took < 20
    wait = result["blocked"][0]
    assert (wait["blocking_application"], wait["blocking_state"]) == ("nightly-report", "idle in transaction")
    assert wait["waiting_application"] == "ecommus-migrations"
    assert wait["blocking_query"] == "SELECT '...' FROM orders"
    assert any_shop.lock_limit() is None
    assert any_shop.run()["changed"] is True


def test_a_lock_that_goes_away_is_waited_out(shop: Shop) -> None:
    shop.run()
    shop.release.core("0003_blocked", "ALTER TABLE orders ADD COLUMN blocked int")
    with shop.cluster.connect(DATABASE, "plain") as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM orders")
        timer = threading.Timer(3, other.rollback)
        timer.start()
        result = shop.run(lock_timeout=0.3)
        timer.join()
    assert names(result["applied"]) == ["0003_blocked"]
    assert result["attempts"]["core"] > 1


def test_the_former_lock_limit_comes_back(shop: Shop) -> None:
    with shop.cluster.connect() as connection:
        connection.execute(
            sql.SQL("ALTER ROLE plain IN DATABASE {} SET lock_timeout = '7s'; ALTER ROLE plain IN DATABASE {} SET work_mem = '5MB'").format(
                sql.Identifier(DATABASE), sql.Identifier(DATABASE)
            )
        )
    shop.release.core("0003_see", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS value")
    assert shop.run(lock_timeout=1.5)["changed"] is True
    with shop.cluster.connect(DATABASE) as connection:
        assert connection.execute("SELECT value FROM seen").fetchone() == ("1500ms",)
    assert sorted(shop.lock_limit() or []) == ["lock_timeout=7s", "work_mem=5MB"]


@pytest.mark.parametrize("after", ["released", pytest.param("migrated", marks=pytest.mark.exhaustive)])
def test_a_killed_run_leaves_no_lock_limit_behind(shop: Shop, after: str) -> None:
    shop.run()
    shop.release.core("0003_slow", "SELECT pg_sleep(60)")
    process = subprocess.Popen(
        command(migration_runner),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    process.stdin.write(given({**shop.arguments, "state": "migrated"}))
    process.stdin.close()
    running = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    with shop.cluster.connect() as connection:
        deadline = time.monotonic() + 30
        while not (row := connection.execute(running).fetchone()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert shop.lock_limit() == ["lock_timeout=2000ms"]
        # The program lives on, in a session of its own, and so does what it runs in the database.
        if after == "migrated":
            refused = shop.run(timeout=1)
            assert f"a migration of an earlier run is still at work in the database (pid {row[0]})" in refused["msg"]
            assert shop.lock_limit() == ["lock_timeout=2000ms"]
        connection.execute("SELECT pg_terminate_backend(%s)", [row[0]])
    shop.release.core("0003_slow", "SELECT 1")
    result = shop.run(after)
    assert result["changed"] is True
    assert shop.lock_limit() is None
    assert not shop.lock_state.exists()
    assert shop.run("released")["released"] is False


def test_ledgers_of_other_shapes(shop: Shop) -> None:
    with shop.cluster.connect(DATABASE, "plain") as connection:
        connection.execute("CREATE TABLE _ecommus_core_migrations (id serial, migration_name text, finished_at timestamptz)")
        connection.execute("INSERT INTO _ecommus_core_migrations (migration_name) VALUES ('0001_init.sql')")
        connection.execute("CREATE TABLE _ecommus_plugin_migrations (id serial, plugin_name text, filename text)")
        connection.execute("INSERT INTO _ecommus_plugin_migrations (plugin_name, filename) VALUES ('efactura-ro', '0001_invoices.sql')")
    result = shop.run("pending")
    assert names(result["pending"]) == ["0002_notes", "reviews/0001_reviews"]
    assert result["unknown"] == []


def test_a_ledger_of_hashes(shop: Shop) -> None:
    with shop.cluster.connect(DATABASE, "plain") as connection:
        connection.execute("CREATE TABLE _ecommus_core_migrations (id serial, hash text, created_at bigint)")
        content = (shop.release.root / "packages/db/migrations/0001_init.sql").read_text()
        connection.execute("INSERT INTO _ecommus_core_migrations (hash) VALUES (encode(sha256(convert_to(%s, 'UTF8')), 'hex'))", [content])
    assert names(shop.run("pending")["pending"])[0] == "0002_notes"


def test_no_database(shop: Shop) -> None:
    result = shop.run(database_url="postgresql://x:a-password@127.0.0.1:21699/none")
    assert "cannot connect" in result["msg"]
    assert result["remedy"]


def test_plugin_inventory_runs_the_program(shop: Shop, tmp_path: Path) -> None:
    dest = tmp_path / "plugins.txt"
    arguments = {"root": shop.arguments["root"], "path_prefix": shop.arguments["path_prefix"]}
    before = call(plugin_inventory, **arguments, dest=str(dest))
    assert [f"{p['name']}@{p['version']}" for p in before["plugins"]] == [
        "@acme/erp@0.9.0",
        "@ecommus-plugin/efactura-ro@1.2.0",
        "reviews@1.0.0",
    ]
    assert dest.stat().st_mode & 0o777 == 0o600
    shop.release.plugin("plugins/reviews", "reviews", "1.1.0", {})
    after = call(plugin_inventory, **arguments)
    compared = call(plugin_inventory, state="compared", before=str(dest), after=after["raw"])
    assert (compared["verdict"], len(compared["bumps"])) == ("ok", 1)
    shop.release.write("apps/api/src/cli/list-plugins.ts", "throw new Error(process.env.DATABASE_URL)")
    failed = call(plugin_inventory, **arguments)
    assert "failed with exit code 1" in failed["msg"]
    shop.release.write("apps/api/src/cli/list-plugins.ts", "")
    assert "printed nothing" in call(plugin_inventory, **arguments)["msg"]
