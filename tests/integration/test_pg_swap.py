# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_swap on real servers: under clients that hammer, by roles that may and may not, killed between its steps."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from ansible_collections.mdlabs.ecommus.plugins.modules import pg_swap
from pg_calls import environment, run
from postgres_cluster import Cluster, Shop

pytestmark = pytest.mark.postgres


def call(cluster: Cluster, role: str = "owner", **arguments: Any) -> dict[str, Any]:
    names = {"replacement": "copy", "failed_name": "failed"}
    return run(pg_swap, {"database_url": cluster.url("live", role), **names, **arguments}, timeout=60)


@pytest.fixture(params=["owner"])
def server(pg_server: Cluster, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two databases, each with its own name in it."""
    names = ("live", "copy", "failed", "other")
    pg_server.drop(*names)
    for name in names[:2]:
        with pg_server.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {request.param} TEMPLATE template0")
        with pg_server.connect(name, request.param) as connection:
            connection.execute(f"CREATE TABLE t AS SELECT '{name}' AS made_as")
    yield pg_server
    pg_server.drop(*names)


def made_as(cluster: Cluster, name: str = "live") -> object:
    with cluster.connect(name) as connection:
        row = connection.execute("SELECT made_as FROM t").fetchone()
        return row[0] if row else None


def test_swaps_once_and_back(server: Cluster) -> None:
    predicted = call(server, _ansible_check_mode=True)
    assert predicted["changed"] and made_as(server) == "live"
    with server.connect("live", "owner"):
        began = time.monotonic()
        done = call(server)
    assert done["changed"] and done["terminated"] == 1 and done["gap_ms"] < (time.monotonic() - began) * 1000
    assert (made_as(server), made_as(server, "failed")) == ("copy", "live")
    again = call(server)
    assert not again["changed"] and again["gap_ms"] == 0
    assert call(server, replacement="failed", failed_name="copy")["changed"]
    assert (made_as(server), made_as(server, "copy")) == ("live", "copy")


def hammer(server: Cluster, stop: threading.Event, answers: list[tuple[float, str]]) -> None:
    connection = None
    while not stop.is_set():
        try:
            connection = connection or server.connect("live", "owner")
            row = connection.execute("SELECT made_as FROM t").fetchone()
            answers.append((time.monotonic(), str(row and row[0])))
            time.sleep(0.002)
        except psycopg.Error:
            if connection:
                connection.close()
            connection = None


def test_under_eight_hammering_clients(server: Cluster) -> None:
    stop, answers = threading.Event(), [list[tuple[float, str]]() for _ in range(8)]
    clients = [threading.Thread(target=hammer, args=(server, stop, mine)) for mine in answers]
    for client in clients:
        client.start()
    try:
        time.sleep(0.5)
        began = time.monotonic()
        done = call(server)
        whole = time.monotonic() - began
        time.sleep(0.5)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert done["changed"] and done["terminated"] >= 8, done
    worst = max(later[0] - earlier[0] for mine in answers for earlier, later in zip(mine, mine[1:]))
    print(f"PostgreSQL {server.major}: gap_ms {done['gap_ms']}, longest wait of one client {worst * 1000:.0f} ms")
    assert worst < 2 * whole  # a client waits for the exchange and not for the work around it, whatever else the machine does
    for mine in answers:  # every client came back, and none saw the old one after the new one
        seen = [name for _at, name in mine]
        assert seen == sorted(seen, key=["live", "copy"].index) and seen[-1] == "copy"


@pytest.mark.exhaustive
def test_counts_the_sessions_of_every_attempt(server: Cluster) -> None:
    """The first attempt waits in vain for whoever holds the copy, and has ended the shop's session by then."""
    with server.connect("live", "owner"), server.connect() as holder:
        holder.execute("BEGIN; COMMENT ON DATABASE copy IS 'held'")
        release = threading.Timer(5.2, holder.execute, ["ROLLBACK"])  # after the first attempt's limit of 5 s
        release.start()
        try:
            done = call(server)
        finally:
            release.join()
    assert done["changed"] and done["terminated"] == 1, done
    assert made_as(server) == "copy"


def test_swaps_databases_that_autovacuum_works_in(server: Cluster) -> None:
    Shop(server, "live", "owner").keep_autovacuum_busy("live")
    done = call(server)
    assert done.get("changed") and done["gap_ms"] < 5000, done
    assert made_as(server) == "copy"


def test_numbers_that_customers_have_seen_are_not_given_out_again(server: Cluster) -> None:
    """Whoever orders right after the swap would else get the number of an order that is still to be carried over."""
    for name, drawn in {"live": 7, "copy": 3}.items():
        with server.connect(name, "owner") as connection:
            connection.execute("CREATE SCHEMA \"Odd\"; CREATE SEQUENCE \"Odd\".\"Or.ders\"; CREATE SEQUENCE down INCREMENT -1")
            connection.execute("CREATE SEQUENCE short MAXVALUE 20; CREATE SEQUENCE still; CREATE SEQUENCE unused")
            for sequence in ('"Odd"."Or.ders"', "down", "short"):
                connection.execute("SELECT nextval(%s) FROM generate_series(1, %s)", [sequence, drawn])
            connection.execute("SELECT nextval('still')")
    assert call(server)["changed"]
    with server.connect("live", "owner") as connection:
        found = dict(connection.execute("SELECT sequencename, last_value FROM pg_sequences").fetchall())
    assert found == {"Or.ders": 107, "down": -107, "short": 20, "still": 1, "unused": None}


@pytest.mark.parametrize("server", ["plain"], indirect=True)
def test_a_role_that_may_not_create_databases_needs_an_admin(server: Cluster) -> None:
    refused = call(server, "plain")
    assert refused["failed"] and "role plain has no CREATEDB" in refused["msg"] and "admin_url" in refused["remedy"]
    with server.connect("live", "plain") as client:
        assert call(server, "plain", admin_url=server.url("postgres", "dba"))["changed"]
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
    assert made_as(server) == "copy"


def test_what_may_not_be_ended_is_named_before_anything_is_touched(server: Cluster) -> None:
    with server.connect("live") as root, server.connect("live", "owner") as client:
        refused = call(server)
        assert refused["failed"] and "sessions of postgres hold the database" in refused["msg"]
        assert client.execute("SELECT 1").fetchone() == root.execute("SELECT 1").fetchone() == (1,)
    assert made_as(server) == "live"


@pytest.mark.parametrize(
    ("replacement", "failed", "why"),
    [("nothing", "failed", "no database nothing"), ("copy", "other", "other exists already"), ("copy", "copy", "must differ")],
)
def test_refuses_names_that_make_no_sense(server: Cluster, replacement: str, failed: str, why: str) -> None:
    with server.connect() as connection:
        connection.execute("CREATE DATABASE other OWNER owner")
    refused = call(server, replacement=replacement, failed_name=failed)
    assert refused["failed"] and why in refused["msg"]
    assert made_as(server) == "live"


def test_finishes_what_others_left_half_done(server: Cluster) -> None:
    with server.connect() as connection:
        connection.execute("ALTER DATABASE live RENAME TO failed")
        connection.execute("ALTER DATABASE copy ALLOW_CONNECTIONS false")
    assert call(server)["changed"]
    assert made_as(server) == "copy"
    with server.connect() as connection:
        connection.execute("ALTER DATABASE live ALLOW_CONNECTIONS false")
    assert call(server, _ansible_check_mode=True)["changed"]
    assert call(server)["changed"]
    assert made_as(server) == "copy"
    assert not call(server)["changed"]


SCRIPT = """
import sys, time
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _swap, _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
step, url = int(sys.argv[1]), sys.argv[2]
target = Target.from_url(url)
count = 0
original = _postgres.psycopg.Connection.execute
def execute(self, query, *arguments, **options):
    global count
    text = query if isinstance(query, str) else query.as_string(self)
    if "RENAME" in text or text.startswith("SET LOCAL"):
        count += 1
        if count == step:
            print("here", flush=True)
            time.sleep(30)
    return original(self, query, *arguments, **options)
_postgres.psycopg.Connection.execute = execute
original_prove = _swap._prove
def prove(*arguments):
    if step == 4:
        print("here", flush=True)
        time.sleep(30)
    return original_prove(*arguments)
_swap._prove = prove
_swap.swap(target, target, "copy", "failed")
"""


@pytest.mark.parametrize(("step", "before"), [(1, "live"), (2, "live"), (3, "live"), (4, "copy")])
def test_killed_between_its_steps_the_shop_has_a_database(server: Cluster, step: int, before: str) -> None:
    """Before locking, before the first rename, between the two, after both: the shop is served at once, without us."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(step), server.url("live")], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with contextlib.closing(process.stdout):
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    deadline = time.monotonic() + 5
    seen = None
    while seen is None and time.monotonic() < deadline:
        with contextlib.suppress(psycopg.OperationalError):
            seen = made_as(server)
    assert seen == before
    assert call(server)["changed"] is (before == "live")
    assert (made_as(server), made_as(server, "failed")) == ("copy", "live")
