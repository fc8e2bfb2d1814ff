# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection URLs as node's drivers read them, client programs by version, comparisons."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import find_tools
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, connection_error, refusal, server_error


@pytest.mark.parametrize(
    ("url", "parameters", "password"),
    [
        ("postgres://u:p@h/d", {"host": "h", "user": "u", "dbname": "d"}, "p"),
        ("postgresql://u@h:5433/d", {"host": "h", "port": "5433", "user": "u", "dbname": "d"}, ""),
        ("postgresql://u:p%40%2F%3A%23%25+x@h/my%20db", {"host": "h", "user": "u", "dbname": "my db"}, "p@/:#%+x"),
        ("postgresql://u:a@b:c@h/d", {"host": "h", "user": "u", "dbname": "d"}, "a@b:c"),
        ("postgresql://u:p@h", {"host": "h", "user": "u", "dbname": "u"}, "p"),
        ("postgresql://u:p@[::1]:5432/d", {"host": "::1", "port": "5432", "user": "u", "dbname": "d"}, "p"),
        ("postgresql://u:p@a:1,b:2/d", {"host": "a,b", "port": "1,2", "user": "u", "dbname": "d"}, "p"),
        ("postgresql://u:p@%2Fvar%2Frun/d", {"host": "/var/run", "user": "u", "dbname": "d"}, "p"),
        ("postgresql:///d?host=/var/run/postgresql&user=u&password=p", {"host": "/var/run/postgresql", "user": "u", "dbname": "d"}, "p"),
        ("postgresql://u:p@h/d?sslmode=verify-full&sslrootcert=/ca", {"sslmode": "verify-full", "sslrootcert": "/ca"}, "p"),
        ("postgresql://u:p@h/d?sslmode=no-verify", {"sslmode": "require"}, "p"),
        ("postgresql://u:p@h/d?ssl=true&connection_limit=5&pgbouncer=true", {"sslmode": "require", "dbname": "d"}, "p"),
    ],
)
def test_takes_urls_apart(url: str, parameters: dict[str, str], password: str) -> None:
    target = Target.from_url(url)
    assert {key: target.parameters.get(key) for key in parameters} == parameters
    assert not {"connection_limit", "pgbouncer", "ssl", "password"} & set(target.parameters)
    assert target.password == password
    assert password == "" or (password not in repr(target) and f":{password}" not in str(target)) or len(password) < 2


def test_keeps_the_schema_of_prisma() -> None:
    assert Target.from_url("postgresql://u:p@h/d?schema=shop").schema == "shop"


@pytest.mark.parametrize("url", ["", "mysql://u:geheim@h/d", "u:geheim@h/d", "postgresql://u:ge/heim@h/d/e", "postgresql://@h/"])
def test_refuses_others_without_quoting_them(url: str) -> None:
    with pytest.raises(EcommusError) as refused:
        Target.from_url(url)
    assert refused.value.remedy and "heim" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "says", "remedy"),
    [
        ("mysql://u:geheim@h/d", "the database URL is not of the form postgresql://user:password@host:port/database", "percent-encoded"),
        ("postgresql://@h/", "the database URL names no database", "add /<database>"),
        ("postgresql://u:geheim@[::1/d", "the database URL has a host that cannot be read", "IPv6 addresses in brackets"),
        ("postgresql://u:geheim@h:x/d", "the database URL has a host that cannot be read", "write host:port"),
    ],
)
def test_what_is_wrong_with_an_address_is_told_with_its_remedy(url: str, says: str, remedy: str) -> None:
    with pytest.raises(EcommusError) as refused:
        Target.from_url(url)
    assert refused.value.message == says
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        (" postgresql://u:p%23@h:5433/d?schema=shop&application_name=x \n",
         Target({"host": "h", "port": "5433", "user": "u", "dbname": "d"}, "p#", "shop")),
        ("postgres:///d?password=q%20&sslmode=DISABLE&user=%C8%9B", Target({"dbname": "d", "sslmode": "DISABLE", "user": "ț"}, "q ")),
        ("postgresql://u:p@h/d?password=&ssl=0&&x", Target({"host": "h", "user": "u", "dbname": "d", "sslmode": "disable"}, "")),
        ("postgresql://u@h/d?ssl=1&sslmode=no-verify", Target({"host": "h", "user": "u", "dbname": "d", "sslmode": "require"})),
        ("postgresql://u@h/d?ssl=FALSE", Target({"host": "h", "user": "u", "dbname": "d", "sslmode": "disable"})),
        ("postgresql://u@a,[::1]:2/d", Target({"host": "a,::1", "port": ",2", "user": "u", "dbname": "d"})),
        ("postgresql://u@h:/d", Target({"host": "h", "user": "u", "dbname": "d"})),
    ],
)  # fmt: skip
def test_an_address_is_taken_apart_into_this_and_nothing_else(url: str, whole: Target) -> None:
    assert Target.from_url(url) == whole


def test_a_target_is_told_without_its_password() -> None:
    target = Target.from_url("postgresql://u:p%23q@h:5433/d")
    assert str(target) == "database d as u on h:5433"
    assert str(Target({"dbname": "d"})) == "database d as the current user on the local socket"
    assert set(target.secrets) == {"p#q", "p%23q"}
    assert Target({"dbname": "d"}).secrets == ()
    assert target.at("other") == Target({**target.parameters, "dbname": "other"}, "p#q")
    assert (target.at("other").database, target.database) == ("other", "d")


class Refused(Exception):
    """What the driver raises has these two attributes."""

    def __init__(self, text: str, sqlstate: str | None = None, primary: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate, self.diag = sqlstate, SimpleNamespace(message_primary=primary)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('password authentication failed for "u"', "correct the user or the password"),
        ("fe_sendauth: no password supplied", "add the password"),
        ('database "d" does not exist', "correct the database name"),
        ('database "d" is not currently accepting connections', "ALLOW_CONNECTIONS true"),
        ("sorry, too many clients already", "raise max_connections"),
        ("no pg_hba.conf entry for host", "allow this host"),
        ("server does not support SSL", "sslmode"),
        ("the database system is starting up", "wait until"),
        ("connection refused", "start PostgreSQL"),
    ],
)
def test_what_keeps_us_out_is_told_with_its_remedy(text: str, remedy: str) -> None:
    target = Target.from_url("postgresql://u:geheim@h/d")
    error = connection_error(target, Exception(f"{text}\n  with geheim"))
    assert error.message == f"cannot connect to database d as u on h: {text} with ***"
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("state", "remedy"),
    [
        ("42501", "CREATEDB"),
        ("53100", "disk space"),
        ("55P03", "holds the lock"),
        ("57P01", "why it ended the session"),
        ("42P04", "choose another name"),
        ("XX000", "look in the server's log, then"),
        (None, "look in the server's log, then"),
    ],
)
def test_what_the_server_refuses_is_told_with_its_remedy(state: str | None, remedy: str) -> None:
    error = server_error(Target.from_url("postgresql://u:geheim@h/d"), Refused("no\n  geheim", state))
    assert error.message == "PostgreSQL refused, database d as u on h: no ***"
    assert remedy in error.remedy
    assert error.details == {"sqlstate": state}


def test_a_refusal_quotes_no_row() -> None:
    assert refusal(Refused("row of a customer", "23505", "duplicate key")) == "23505 duplicate key"
    assert refusal(Refused("row of a customer", "23505")) == "23505 Refused"
    assert refusal(ValueError("row of a customer")) == " ValueError"


def test_the_password_lies_in_a_private_file_only_while_needed() -> None:
    target = Target.from_url("postgresql://u:a%3Ab%5Cc@h:5433/d%20e?sslmode=require")
    with target.environment(["/opt/pg/bin"], "name") as env:
        passfile = env["PGPASSFILE"]
        assert stat.S_IMODE(os.stat(passfile).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(passfile)).st_mode) == 0o700
        assert Path(passfile).read_text() == "*:*:*:*:a\\:b\\\\c\n"
        expected = {"PGHOST": "h", "PGPORT": "5433", "PGUSER": "u", "PGDATABASE": "d e", "PGSSLMODE": "require", "PGAPPNAME": "name"}
        assert {key: env[key] for key in expected} == expected
        assert env["PATH"].startswith("/opt/pg/bin" + os.pathsep)
        assert not [value for value in env.values() if "a:b" in value]
    assert not os.path.exists(passfile)
    with Target.from_url("postgresql://u@h/d").environment() as env:
        names = {name: value for name, value in env.items() if name.startswith("PG")}
    assert names == {"PGHOST": "h", "PGUSER": "u", "PGDATABASE": "d", "PGAPPNAME": "ecommus"}


def programs(directory: Path, version: str) -> Path:
    directory.mkdir()
    for name in ("pg_dump", "pg_restore"):
        (directory / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version} (Debian)'\n")
        (directory / name).chmod(0o755)
    return directory


@pytest.mark.parametrize(
    ("server", "chosen"),
    [(14, "14.2"), (16, "16.3"), (17, "17.11"), (18, "18beta1"), (19, None), (13, "14.2")],
)
def test_chooses_the_programs_of_the_servers_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: int, chosen: str | None
) -> None:
    directories = [str(programs(tmp_path / version, version)) for version in ("18beta1", "14.2", "17.11", "16.3")]
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr("ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools._PACKAGES", (str(tmp_path / "*"),))
    if chosen is None:
        with pytest.raises(EcommusError, match=r"17\.11 in"):
            find_tools(server)
    else:
        assert find_tools(server).directory == str(tmp_path / chosen)
    with pytest.raises(EcommusError, match=r"found: 14\.2 in"):
        find_tools(16, bin_dir=directories[1])


def test_newer_programs_that_old_servers_refuse_do_not_fit(tmp_path: Path) -> None:
    """pg_restore 17 says "SET transaction_timeout", which a server before 17 does not know."""
    directory = str(programs(tmp_path / "17", "17.1"))
    assert find_tools(17, directory).version == (17, 1)
    with pytest.raises(EcommusError, match="PostgreSQL 15 server"):
        find_tools(15, directory)


def test_differences_name_what_differs() -> None:
    before = {"a": {"rows": 1, "hash": "x"}, "b": {"rows": 1, "hash": "x"}, "c": {"rows": 1, "hash": "x"}}
    after = {"a": {"rows": 2, "hash": "y"}, "b": {"rows": 1, "hash": "y"}, "d": {"rows": 0, "hash": "0"}}
    found = fingerprint.differences(before, after)
    assert found == ["a: rows=1 became rows=2", "b: same number, other content", "c is missing", "d was not there"]
    assert fingerprint.differences(before, before) == []


def test_sequences_may_run_ahead_but_not_behind() -> None:
    def sequence(last: int | None, step: int = 1) -> dict[str, dict[str, int | None]]:
        return {"s": {"last_value": last, "increment": step}}

    assert fingerprint.behind(sequence(5), sequence(7)) == fingerprint.behind(sequence(None), sequence(None)) == {}
    assert fingerprint.behind(sequence(5), sequence(5)) == fingerprint.behind(sequence(None), sequence(3)) == {}
    assert fingerprint.behind(sequence(5), {}) == {"s": None}
    assert fingerprint.behind(sequence(5), sequence(4)) == {"s": 4}
    assert fingerprint.behind(sequence(5), sequence(None)) == {"s": None}
    assert fingerprint.behind(sequence(-5, -1), sequence(-7, -1)) == {}
    assert fingerprint.behind(sequence(-5, -1), sequence(-4, -1)) == {"s": -4}


def test_runs_on_the_oldest_supported_python() -> None:
    """The whole of it compiles there, if it is on this machine."""
    python = Path.home() / ".pyenv/versions/3.9.18/bin/python3"
    if not python.exists():
        pytest.skip("there is no Python 3.9 here")
    directory = Path(snapshot.__file__).parent
    names = ["_postgres", "_pgtools", "_database", "_fingerprint", "_snapshot", "_snapshot_states", "_restore", "_swap", "_salvage"]
    names += ["_salvage_find", "_postgres_options"]
    program = "import sys, ast; [compile(open(f).read(), f, 'exec') for f in sys.argv[1:]]"
    done = run([str(python), "-c", program, *(str(directory / f"{name}.py") for name in names)], timeout=30)
    assert done.code == 0, done.error
