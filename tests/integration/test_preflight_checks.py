"""The checks of ledgers and migrations: a real bare mirror against a real database, linted by the real squawk."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import postgres_cluster
import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import (
    _checks_database,
    _checks_disk,
    _checks_host,
    _checks_migrations,
    _database,
    _git,
    _layout,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import (
    CHECKS,
    Subject,
    _result,
    examine,
    has_standby,
    refusal,
    stopping,
)

PLUGIN = '{"name": "@ecommus-plugin/reviews", "version": "1.0.0", "ecommus": {"kind": "plugin"}}'
LOCK = '{"packages": {"node_modules/@ecommus-plugin/efactura-ro": {"version": "1.3.0"}}}'
FILES = {
    "packages/db/migrations/0001_orders.sql": "CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz);",
    "packages/db/migrations/0002_by_time.sql": "CREATE TABLE notes (id bigint);\nCREATE INDEX ON notes (id);\nCREATE INDEX ON orders (at);",
    "plugins/reviews/package.json": PLUGIN,
    "plugins/reviews/migrations/0001_reviews.sql": "CREATE TABLE reviews (id bigint PRIMARY KEY);",
    "package-lock.json": LOCK,
}


def git(directory: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(["git", *arguments], cwd=directory, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def subject(tmp_path: Path, pg_database: postgres_cluster.Shop) -> Subject:
    """A release with three migrations, and the shop's database."""
    vendor, root = tmp_path / "vendor", tmp_path / "shop"
    for name, text in FILES.items():
        (vendor / name).parent.mkdir(parents=True, exist_ok=True)
        (vendor / name).write_text(text)
    git(vendor, "init", "-q", "-b", "main")
    git(vendor, "add", "-A")
    git(vendor, "commit", "-qm", "v1.4.0")
    git(tmp_path, "clone", "-q", str(vendor), str(root))
    paths = _layout.Paths(str(root), f"{root}.d")
    _git.update_mirror(paths.repository, str(vendor))
    (root / ".env").write_text(f"DATABASE_URL={pg_database.url}\n")
    return Subject(
        paths=paths,
        layout="releases",
        version="v1.4.0",
        commit=git(vendor, "rev-parse", "HEAD"),
        env_file=str(root / ".env"),
        path_prefix=[str(Path(sys.executable).parent)],
    )


@pytest.fixture
def ledgers(pg_database: postgres_cluster.Shop) -> postgres_cluster.Shop:
    with pg_database.connect() as connection:
        connection.execute("CREATE TABLE _ecommus_core_migrations (name text PRIMARY KEY, applied_at timestamptz DEFAULT now())")
        connection.execute("CREATE TABLE _ecommus_plugin_migrations (plugin text, name text, PRIMARY KEY (plugin, name))")
        connection.execute("INSERT INTO _ecommus_core_migrations VALUES ('0001_orders')")
        for plugin in ("@ecommus-plugin/efactura-ro", "gone"):
            connection.execute("INSERT INTO _ecommus_plugin_migrations VALUES (%s, '0001_invoices')", [plugin])
    return pg_database


def test_pending_ones_are_listed(subject: Subject, ledgers: postgres_cluster.Shop) -> None:
    result = _result(CHECKS["ledgers_known"], subject, None)
    assert result["ok"], result
    assert result["facts"] == {"pending_migrations": ["0002_by_time", "@ecommus-plugin/reviews/0001_reviews"]}
    assert result["found"] == (
        "2 pending: 0002_by_time, @ecommus-plugin/reviews/0001_reviews; not known before npm ci: those of efactura-ro;"
        " applied by plugins that the release does not bring: gone"
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("_ecommus_core_migrations VALUES ('0009_newer')", "0009_newer"),
        ("_ecommus_plugin_migrations VALUES ('@ecommus-plugin/reviews', '0002_stars')", "@ecommus-plugin/reviews/0002_stars"),
        ("_ecommus_plugin_migrations VALUES ('reviews', '0002_stars')", "@ecommus-plugin/reviews/0002_stars"),
    ],
)
def test_what_the_release_does_not_know_stops(subject: Subject, ledgers: postgres_cluster.Shop, row: str, says: str) -> None:
    with ledgers.connect() as connection:
        connection.execute(f"INSERT INTO {row}")
    result = _result(CHECKS["ledgers_known"], subject, None)
    assert (result["ok"], result["severity"]) == (False, "error")
    assert f"does not know {says}," in result["found"]


def test_a_database_without_ledgers_has_everything_pending(subject: Subject) -> None:
    assert _checks_migrations.ledgers_known(subject).found.startswith("3 pending: 0001_orders, 0002_by_time, ")


def test_dangerous_locks_are_named(subject: Subject, ledgers: postgres_cluster.Shop) -> None:
    result = _result(CHECKS["migrations_safe"], subject, None)
    assert (result["ok"], result["severity"]) == (False, "warning")
    assert result["found"] == "squawk on 2 files: 0002_by_time:3 require-concurrent-index-creation"
    with ledgers.connect() as connection:
        connection.execute("INSERT INTO _ecommus_core_migrations VALUES ('0002_by_time')")
    assert _checks_migrations.migrations_safe(subject).found == "squawk has nothing to say about 1 files"


def test_without_squawk_it_says_so(subject: Subject, ledgers: postgres_cluster.Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "program", lambda _self, _name: None)
    found = _checks_migrations.migrations_safe(subject)
    assert found.ok
    assert "2 pending, not linted" in found.found


def test_room_for_copy(subject: Subject, pg_database: postgres_cluster.Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not seen from here" in _checks_database.room_for_copy(subject).found  # the role may not see the directory
    with pg_database.cluster.connect() as connection:
        connection.execute("GRANT pg_read_all_settings TO owner")
    try:
        assert "a copy of" in _checks_database.room_for_copy(subject).found
        monkeypatch.setattr("shutil.disk_usage", lambda _path: (10**12, 10**12, 1))
        monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((4096, 4096, 10**6, 1, 1, 1, 1, 1, 0, 255)))
        for standby, severity in (("required", "error"), ("preferred", "warning")):
            result = _result(CHECKS["room_for_copy"], dataclasses.replace(subject, standby=standby), None)
            assert (result["ok"], result["severity"]) == (False, severity)
    finally:
        with pg_database.cluster.connect() as connection:
            connection.execute("REVOKE pg_read_all_settings FROM owner")


def test_transactions_in_the_way(subject: Subject, pg_database: postgres_cluster.Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _checks_database.no_long_transactions(subject).ok
    with pg_database.connect() as open_one:
        open_one.execute("SET application_name = 'nightly export'")
        open_one.execute("BEGIN")
        open_one.execute("SELECT 1")
        assert _checks_database.no_long_transactions(subject).ok, "it is a young one"
        monkeypatch.setattr(_database, "LONG_SECONDS", 0)
        found = _checks_database.no_long_transactions(subject)
        assert not found.ok
        assert "of owner (nightly export, idle in transaction) for" in found.found
    with pg_database.connect() as connection:
        for command in ("BEGIN", "CREATE TABLE half ()", "PREPARE TRANSACTION 'lost'"):
            connection.execute(command)
    try:
        found = _checks_database.no_long_transactions(subject)
        assert (found.ok, found.found) == (False, "prepared transaction lost")
        assert "ROLLBACK PREPARED" in found.remedy
    finally:
        with pg_database.connect() as connection:
            connection.execute("ROLLBACK PREPARED 'lost'")


def test_autovacuum_is_no_transaction_in_the_way(
    subject: Subject, pg_database: postgres_cluster.Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_database, "LONG_SECONDS", 0)
    seen_by_superuser = dataclasses.replace(subject, database_admin_url=pg_database.cluster.url("postgres", postgres_cluster.SUPERUSER))
    pg_database.keep_autovacuum_busy(pg_database.database)
    assert _checks_database.no_long_transactions(seen_by_superuser).found == "none is older than 60 s, none is prepared"


def test_programs_of_postgresql(subject: Subject, pg_database: postgres_cluster.Shop) -> None:
    right = dataclasses.replace(subject, pg_bin_dir=str(pg_database.cluster.bin))
    assert f"for a server of version {pg_database.cluster.major}" in _checks_database.database_programs(right).found
    wrong = _result(CHECKS["database_programs"], dataclasses.replace(subject, pg_bin_dir="/nowhere", path_prefix=[]), None)
    assert (wrong["ok"], wrong["severity"]) == (False, "error")
    assert "no pg_dump and pg_restore fit" in wrong["found"]


def test_the_clock(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _checks_database.clock_sane(subject).ok
    now = time.time()
    monkeypatch.setattr(_checks_database.time, "time", lambda: now - 40)
    result = _result(CHECKS["clock_sane"], subject, None)
    assert (result["ok"], result["severity"]) == (False, "warning")
    assert result["found"].startswith("40.") or result["found"].startswith("39.")


def test_programs_of_the_shop(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "program", lambda _self, name: None if name in ("pm2", "npm") else f"/usr/bin/{name}")
    found = _checks_host.programs_there(subject)
    assert (found.ok, found.found) == (False, "not found: npm, pm2")
    assert "ecommus_path_prefix" in found.remedy


def test_keys_that_the_shop_goes_without_are_named(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "file", lambda _self, _path: "DATABASE_URL=\nCOLOUR=\nSIZE=\n")
    given = dataclasses.replace(subject, env_given=["SIZE"])
    result = _result(CHECKS["environment_keys_absent"], given, None)
    assert (result["ok"], result["severity"], result["found"]) == (False, "warning", "absent: COLOUR")


@pytest.fixture
def alone(subject: Subject, pg_database: postgres_cluster.Shop) -> Iterator[Subject]:
    """The role may not create databases."""
    with pg_database.cluster.connect() as connection:
        connection.execute("ALTER ROLE owner NOCREATEDB")
    yield subject
    with pg_database.cluster.connect() as connection:
        connection.execute("ALTER ROLE owner CREATEDB")


def test_without_a_copy_it_is_said_and_two_dumps_are_asked_for(alone: Subject) -> None:
    result = _result(CHECKS["database_rights"], alone, None)
    assert (result["ok"], result["severity"], result["facts"]) == (False, "warning", {"standby": False})
    assert "has no CREATEDB" in result["found"] and "stops the services" in result["found"]
    assert "ecommus_database_admin_url" in result["remedy"]
    assert not has_standby([result])
    assert "for two dumps of" in _result(CHECKS["room_for_snapshot"], alone, None)["found"]
    required = _result(CHECKS["database_rights"], dataclasses.replace(alone, standby="required"), None)
    assert (required["ok"], required["severity"], has_standby([required])) == (False, "error", True)


def test_without_a_copy_what_could_not_be_restored_in_place_stops(alone: Subject, pg_database: postgres_cluster.Shop) -> None:
    with pg_database.cluster.connect(pg_database.database) as connection:
        connection.execute("CREATE PUBLICATION news FOR ALL TABLES; CREATE TABLE of_root ()")
    result = _result(CHECKS["database_rights"], alone, None)
    assert (result["ok"], result["severity"]) == (False, "error")
    assert "has no CREATEDB" in result["found"] and "table public.of_root of postgres" in result["found"]
    assert "publication news" in result["found"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_takes_each_but_not_all_stops_the_upgrade(subject: Subject, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120M", "tmpfs", str(disk)], check=True)
    try:
        (Path(subject.paths.root) / "packages.bin").write_bytes(os.urandom(1024) * 50 * 1024)
        (disk / "shop.d").mkdir()
        paths = _layout.Paths(subject.paths.root, str(disk / "shop.d"))
        tight = dataclasses.replace(subject, paths=paths, snapshot_dir=str(disk / "backup"))
        results = {result["check"]: result for result in examine(tight)}
        assert [results[name]["ok"] for name in ("room_for_release", "room_for_snapshot", "room_for_all")] == [True, True, False]
        assert f"MiB for the release in {disk}/shop.d, 6" in results["room_for_all"]["found"]
        assert results["room_for_all"] in stopping(list(results.values()))
        assert f"free space on the disk of {disk}/shop.d" in refusal(list(results.values())).message
        subprocess.run(["mount", "-o", "remount,size=240M", str(disk)], check=True)
        assert _result(CHECKS["room_for_all"], dataclasses.replace(tight), None)["ok"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_wal_of_the_copy_counts_where_the_server_can_be_seen(subject: Subject, pg_database: postgres_cluster.Shop) -> None:
    assert "WAL" not in _checks_disk.room_for_all(subject).found
    with pg_database.cluster.connect() as connection:
        connection.execute("GRANT pg_read_all_settings TO owner")
    try:
        found = _checks_disk.room_for_all(dataclasses.replace(subject)).found
        assert f"MiB for the WAL of that copy in {pg_database.cluster.home}" in found
        with pg_database.connect() as connection:
            query = _checks_disk._WAL_LIMIT
            assert connection.execute(query).fetchone() == (1024 * _checks_disk.MIB,)  # max_wal_size
            with pg_database.cluster.connect() as admin:
                admin.execute("SELECT pg_create_physical_replication_slot('standby')")
            assert connection.execute(query).fetchone() == (None,)
    finally:
        with pg_database.cluster.connect() as connection:
            connection.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
            connection.execute("REVOKE pg_read_all_settings FROM owner")
