"""What pm2 prints and keeps, read without pm2."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _pm2_control, _pm2_logs, _pm2_rpc, _process, _proof, _shared_port
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2, saved_names
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry, entries, parse_jlist, secrets


def raw(**env: Any) -> dict[str, Any]:
    pm2_env = {"status": "online", "exec_mode": "cluster_mode", "pm_cwd": "/srv/x", "pm_exec_path": "/srv/x/app.js", **env}
    return {"pid": 42, "name": "api", "pm_id": 3, "monit": {"memory": 5, "cpu": 0}, "pm2_env": pm2_env}


@pytest.mark.parametrize(
    "noise",
    [
        "",
        "\x1b[32m[PM2] \x1b[39mSpawning PM2 daemon with pm2_home=/x\n\x1b[32m[PM2] \x1b[39mPM2 Successfully daemonized\n",
        "\n>>>> In-memory PM2 is out-of-date, do:\n>>>> $ pm2 update\nIn memory PM2 version: 6.0.14\n",
    ],
)
def test_the_table_is_found_behind_notices(noise: str) -> None:
    assert parse_jlist(noise + json.dumps([raw()]) + "\n") == [raw()]
    assert parse_jlist(noise + "[]\n") == []


@pytest.mark.parametrize("output", ["", "[PM2] nothing", '[{"pid": 1, "secret": "s3cret"'])
def test_anything_else_is_refused_without_quoting_it(output: str) -> None:
    with pytest.raises(EcommusError) as caught:
        parse_jlist(output)
    assert "s3cret" not in str(caught.value)


def test_only_known_fields_come_out_of_the_table() -> None:
    process = raw(env={"DB_PASSWORD": "s3cret-pw", "PORT": "1"}, DB_PASSWORD="s3cret-pw", kill_timeout="9000")
    (entry,) = entries([process, {**raw(pmx_module=True), "name": "pm2-logrotate"}])
    assert (entry.name, entry.exec_mode, entry.kill_timeout_ms, entry.listen_timeout_ms) == ("api", "cluster", 9000, 3000)
    assert "s3cret" not in str(entry) and "s3cret" not in str(entry.shown())
    assert secrets([process]) == {"s3cret-pw"}
    named = ["A_secret", "TOKENS", "PGPASSFILE", "KEY_ID", "jwt", "CREDENTIALS", "DATABASE_URL", "SENTRY_DSN", "AUTHORIZATION"]
    environment = {**{name: f"of {name}" for name in named}, "PORT": "3000", "URL": "u", "SESSION_TOKEN": 7}
    assert secrets([raw(env=environment), raw(env=None)]) == {f"of {name}" for name in named}


def test_every_field_comes_from_its_own_place() -> None:
    full = {
        "status": "stopping",
        "exec_mode": "cluster_mode",
        "NODE_APP_INSTANCE": 1,
        "pm_uptime": 1700000000123,
        "restart_time": 4,
        "unstable_restarts": 2,
        "exit_code": 7,
        "version": "1.3.2",
        "node_version": "22.20.0",
        "namespace": "shop",
        "wait_ready": True,
        "listen_timeout": 8000,
        "kill_timeout": "9000",
        "autorestart": False,
        "merge_logs": True,
        "cron_restart": "0 4 * * *",
        "watch": True,
        "pm_out_log_path": "/l/out",
        "pm_err_log_path": "/l/err",
    }
    (entry,) = entries([raw(**full)])
    assert entry == Entry(
        "api", 3, 42, "stopping", "cluster", 1, 1700000000123, 4, 2, 7, "/srv/x", "/srv/x/app.js", "1.3.2", "22.20.0", "shop", True,
        8000, 9000, False, True, "0 4 * * *", True, "/l/out", "/l/err", 5,
    )  # fmt: skip
    assert entry.shown()["started"] == "2023-11-14T22:13:20Z"


def test_what_pm2_does_not_say_has_a_default() -> None:
    (entry,) = entries([{"name": "api", "pm_id": "3", "pid": None, "pm2_env": {}}])
    assert entry == Entry(
        "api", 3, 0, "unknown", "fork", None, 0, 0, 0, None, "", "", None, None, "default", False,
        3000, 1600, True, False, None, False, None, None, 0,
    )  # fmt: skip
    words = {"wait_ready": "true", "merge_logs": "true", "autorestart": "false", "exec_mode": "fork_mode", "kill_timeout": "soon"}
    (entry,) = entries([raw(**words, version=7)])
    assert (entry.wait_ready, entry.merge_logs, entry.autorestart, entry.exec_mode) == (True, True, False, "fork")
    assert (entry.kill_timeout_ms, entry.version) == (1600, None)


@pytest.mark.parametrize(
    ("status", "pid", "online", "stopped"),
    [
        ("online", 42, True, False),
        ("online", 0, False, False),
        ("stopped", 0, False, True),
        ("stopped", 42, False, False),
        ("errored", 0, False, False),
    ],
)
def test_online_and_stopped_are_judged_by_the_pid_too(status: str, pid: int, online: bool, stopped: bool) -> None:
    (entry,) = entries([{**raw(status=status), "pid": pid}])
    assert (entry.online, entry.stopped) == (online, stopped)


def test_the_table_is_in_the_order_of_ids() -> None:
    assert [entry.pm_id for entry in entries([{**raw(), "pm_id": number} for number in (5, 1, 3)])] == [1, 3, 5]


@pytest.mark.parametrize(
    "line", [{"name": "api"}, {"name": "api", "pm_id": "x", "pm2_env": {}}, {"name": "api", "pm_id": 1, "pm2_env": None}]
)
def test_a_line_that_no_pm2_writes_is_named_without_its_content(line: dict[str, Any]) -> None:
    with pytest.raises(EcommusError, match=r"cannot be read \((KeyError|ValueError|AttributeError)\)"):
        entries([line])


@pytest.mark.parametrize("name", ["all", "7", "", "/api/", "--force"])
def test_what_pm2_would_take_for_something_else_is_no_name(name: str) -> None:
    with pytest.raises(EcommusError) as caught:
        _pm2_control._check_name(name)
    assert caught.value.message == f"{name!r} does not name a process"
    assert "pm2 ls" in caught.value.remedy


def test_versions_of_daemon_and_command_must_agree() -> None:
    _pm2_control._check_versions({"mismatch": False})
    with pytest.raises(EcommusError, match=r"daemon is version 6\.0\.14"):
        _pm2_control._check_versions({"mismatch": True, "version": "6.0.14", "command_version": "7.0.4"})


def test_a_stale_pid_file_is_no_daemon(tmp_path: Path) -> None:
    (tmp_path / "pm2.pid").write_text("4194305")  # above the kernel's largest pid
    (tmp_path / "rpc.sock").touch()
    with pytest.raises(EcommusError, match="no pm2 daemon"):
        Pm2(str(tmp_path)).daemon_pid()


def test_a_daemon_is_alive_when_its_pid_and_its_socket_are_there(tmp_path: Path) -> None:
    pm2 = Pm2(str(tmp_path))
    assert pm2.living() is None
    (tmp_path / "pm2.pid").write_text(f" {os.getpid()}\n")
    assert pm2.living() is None
    (tmp_path / "rpc.sock").touch()
    assert pm2.living() == pm2.daemon_pid() == os.getpid()
    (tmp_path / "pm2.pid").write_text("none")
    assert pm2.living() is None


def test_a_daemon_that_dies_while_it_is_asked_is_not_replaced_by_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pm2 command would start one."""
    (tmp_path / "rpc.sock").touch()
    (tmp_path / "pm2.pid").write_text(str(os.getpid()))
    pm2 = Pm2(str(tmp_path), (str(tmp_path),))
    command = tmp_path / "pm2"
    command.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho '[]'\n")
    command.chmod(0o755)
    assert pm2.raw() == []  # it lives, and does not answer

    def dies(*_question: object, **_options: object) -> None:
        (tmp_path / "pm2.pid").unlink()
        raise _pm2_rpc.RpcError("the pm2 daemon did not answer", "")

    (tmp_path / "started").unlink()
    monkeypatch.setattr(_pm2_rpc, "call", dies)
    with pytest.raises(EcommusError, match="no pm2 daemon"):
        pm2.raw()
    assert not (tmp_path / "started").exists()


def test_a_cut_over_under_way_is_remembered_until_it_ends(tmp_path: Path) -> None:
    record = Record.of(str(tmp_path))
    record.begin("api", 2, entries([raw()]))
    record.begin("admin", 1, [])
    past = Record.of(str(tmp_path)).past("api")
    assert past is not None and past.count == 2 and past.old == {(3, 42)}
    assert os.stat(record.path).st_mode & 0o777 == 0o600
    record.end("api")
    assert record.past("api") is None and record.past("admin") is not None
    record.end("admin")
    assert not os.path.exists(record.path)


def test_a_log_is_quoted_from_where_it_was_and_without_secrets(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_text("old line\n")
    offset = _pm2_logs.size(str(log))
    log.write_text("old line\nnew line\n")
    assert _pm2_logs.read_from(str(log), offset) == "new line\n"
    log.write_text("rotated\n")
    assert _pm2_logs.read_from(str(log), 500) == "rotated\n"
    assert _pm2_logs.read_from(str(tmp_path / "none"), 0) == ""


def test_the_newest_link_of_a_path_is_found(tmp_path: Path) -> None:
    (tmp_path / "releases" / "r1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/r1")
    path = str(tmp_path / "current" / "app.js")
    found = _proof._newest_link(path)
    assert found is not None and found[0] == str(tmp_path / "current")
    assert _proof._newest_link(str(tmp_path / "releases" / "r1")) is None
    assert _proof._under("/a/b/c", "/a/b") and not _proof._under("/a/bc", "/a/b") and _proof._under("/x", "/")


class Tables:
    """A pm2 whose table is another one at each look, and stays at the last."""

    def __init__(self, *lines: dict[str, Any]) -> None:
        self.lines = list(lines)

    def table(self) -> list[Entry]:
        return entries([raw(**(self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]))])


RUNS = {"status": "online", "restart_time": 0, "exit_code": 0}
SHORTLY_STOPPED = {**RUNS, "status": "stopped"}


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ([RUNS, SHORTLY_STOPPED, SHORTLY_STOPPED, {**RUNS, "restart_time": 1}], r"api \(id 3\) crashed and was restarted by pm2"),
        ([RUNS, SHORTLY_STOPPED], r"api \(id 3\) ended .* pm2 shows it as stopped"),
        ([RUNS, {**SHORTLY_STOPPED, "autorestart": False}, RUNS], r"api \(id 3\) ended .* pm2 shows it as stopped"),
    ],
)
def test_a_process_that_pm2_is_about_to_restart_has_crashed(tables: list[dict[str, Any]], problem: str) -> None:
    pm2 = Tables(*tables)
    before = pm2.table()
    with pytest.raises(_proof.NotProven, match=problem):
        _proof.watch(pm2, before, 30)  # type: ignore[arg-type]


def test_this_process_is_seen_as_it_is() -> None:
    me = _process.inspect(os.getpid())
    assert me is not None and me.parent == os.getppid() and me.cwd == os.getcwd()
    assert abs(me.started - time.time()) < 86400 and me.started <= time.time()
    assert _process.inspect(4194305) is None


def test_who_holds_a_port_and_the_other_end_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert _process.listening_pids(port) == [os.getpid()]
        assert _process.listening_descriptors(os.getpid(), port) == [server.fileno()]
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert _process.peer_pids(client, timeout=0.1) == []  # not accepted yet
            accepted, _ = server.accept()
            with accepted:
                assert _process.peer_pids(client) == [os.getpid()]


def test_node_options_are_one_word() -> None:
    option = _shared_port.node_options(4000)
    assert option.startswith("--import=data:text/javascript,") and not set(option) & set(" \n\"'\\")
    program = urllib.parse.unquote(option.partition(",")[2])
    assert "4000" in program and "PORT" not in program and program == program.strip()


def test_names_in_a_dump(tmp_path: Path) -> None:
    (tmp_path / "dump.pm2").write_bytes(json.dumps([{"name": "api"}, {"name": "ț"}], ensure_ascii=False).encode())
    assert saved_names(str(tmp_path / "dump.pm2")) == ["api", "ț"]
    assert saved_names(str(tmp_path / "none")) == []
