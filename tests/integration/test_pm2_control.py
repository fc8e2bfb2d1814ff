# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pm2_control against a real pm2 and node: what it reads, starts, stops and saves."""

from __future__ import annotations

import os
import stat
import threading
import time

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from pm2_calls import PORT, api, ask, online, replace
from pm2_shop import Hammer, Shop, get

pytestmark = pytest.mark.pm2


# ---------------------------------------------------------------- reading


def test_without_a_daemon_nothing_is_started_and_the_answer_is_clear(pm2_home: Shop) -> None:
    for state in ("described", "stopped", "saved"):
        with pytest.raises(EcommusError, match="no pm2 daemon"):
            ask(pm2_home, state=state, name=["api"])
    assert not (pm2_home.home / "pm2.pid").exists()
    assert not (pm2_home.home / "rpc.sock").exists()


def test_a_killed_daemon_is_noticed(pm2_home: Shop) -> None:
    api(pm2_home)
    pid = int((pm2_home.home / "pm2.pid").read_text())
    os.kill(pid, 9)
    _process.wait_gone([pid], 5)
    with pytest.raises(EcommusError, match="no pm2 daemon"):
        ask(pm2_home)
    assert int((pm2_home.home / "pm2.pid").read_text()) == pid


def test_a_daemon_that_died_comes_back_with_what_was_saved(pm2_home: Shop) -> None:
    api(pm2_home)
    with pytest.raises(EcommusError, match="no list of processes"):
        kill_daemon(pm2_home)
        ask(pm2_home, state="alive")
    pm2_home.start("api")
    ask(pm2_home, state="saved")
    kill_daemon(pm2_home)
    again = ask(pm2_home, state="alive")
    assert again["changed"] and again["names"]["api"]["online"] == 2
    assert get(PORT)["release"] == "r1"
    assert not ask(pm2_home, state="alive")["changed"]


def test_an_empty_daemon_in_the_place_of_one_that_died_is_none(pm2_home: Shop) -> None:
    """Any pm2 command starts one, such as that of a cron job."""
    api(pm2_home)
    ask(pm2_home, state="saved")
    kill_daemon(pm2_home)
    pm2_home.pm2("ls")
    assert ask(pm2_home)["processes"] == []
    again = ask(pm2_home, state="alive")
    assert again["changed"] and again["names"]["api"]["online"] == 2
    pm2_home.pm2("delete", "api")
    (pm2_home.home / "dump.pm2").unlink()  # nothing is what is wanted now
    assert not ask(pm2_home, state="alive")["changed"]


def kill_daemon(shop: Shop) -> None:
    pid = int((shop.home / "pm2.pid").read_text())
    os.kill(pid, 9)
    _process.wait_gone([pid], 5)


def test_describes_modes_counts_and_paths_but_no_environment(pm2_home: Shop) -> None:
    pm2_home.define("api", "cluster", PORT, 2, env={"API_TOKEN": "s3cret-value"})
    pm2_home.start("api")
    pm2_home.release("r1", "job")
    pm2_home.define(
        "workers", "fork", None, cwd=str(pm2_home.root / "releases" / "r1"), script=str(pm2_home.root / "releases" / "r1" / "app.js")
    )
    pm2_home.start("workers")
    answer = ask(pm2_home, ecosystem_file=str(pm2_home.ecosystem))
    assert answer["names"]["api"] == {"instances": 2, "online": 2, "stopped": 0, "exec_mode": "cluster"}
    assert answer["names"]["workers"]["exec_mode"] == "fork"
    by_name = {p["name"]: p for p in answer["processes"]}
    assert by_name["api"]["follows_link"] and not by_name["workers"]["follows_link"]
    assert by_name["api"]["real_cwd"] == str(pm2_home.root / "releases" / "r1")
    assert (by_name["api"]["wait_ready"], by_name["api"]["kill_timeout_ms"]) == (True, 4000)
    assert answer["daemon"]["version"] == answer["daemon"]["command_version"]
    assert answer["orphans"] == []
    assert answer["ecosystem"]["api"]["env_keys"] == ("API_TOKEN", "PORT")
    assert "s3cret" not in str(answer)


@pytest.mark.exhaustive
def test_the_process_behind_a_port_is_found_in_cluster_and_fork_mode(pm2_home: Shop) -> None:
    api(pm2_home)
    pm2_home.define("admin", "fork", PORT + 1)
    pm2_home.start("admin")
    daemon = ask(pm2_home)["daemon"]["pid"]
    assert _process.listening_pids(PORT) == [daemon]
    assert _process.serving_pids(PORT) == online(pm2_home, "api")
    assert _process.serving_pids(PORT + 1) == online(pm2_home, "admin") == _process.listening_pids(PORT + 1)
    serving = ask(pm2_home, ports=[PORT, PORT + 9])["serving"]
    assert {process["cwd"] for process in serving[str(PORT)]} == {str(pm2_home.root / "releases" / "r1")} and serving[str(PORT + 9)] == []
    with pytest.raises(EcommusError, match="nothing answers"):
        _process.serving_pids(PORT + 9)


# ---------------------------------------------------------------- stop and start


def test_stops_gracefully_and_starts_again(pm2_home: Shop) -> None:
    pm2_home.release("r1", "job")
    pm2_home.define("workers", "fork", None)
    pm2_home.start("workers")
    (pid,) = online(pm2_home, "workers")
    assert ask(pm2_home, True, state="stopped", name=["workers"])["changed"] and online(pm2_home, "workers") == [pid]
    began = time.monotonic()
    answer = ask(pm2_home, state="stopped", name=["workers"], stop_timeout=3)
    assert answer["changed"] and time.monotonic() - began > 1.4  # its job took that long
    assert not _process.alive(pid) and answer["before"][0]["pid"] == pid
    assert not ask(pm2_home, state="stopped", name=["workers"])["changed"]
    assert ask(pm2_home, state="started", name=["workers"])["changed"]
    assert len(online(pm2_home, "workers")) == 1
    assert not ask(pm2_home, state="started", name=["workers"])["changed"]


def test_as_many_are_started_as_are_wanted(pm2_home: Shop) -> None:
    pm2_home.release("r1", "job")
    pm2_home.define("workers", "fork", None, 3)
    pm2_home.start("workers")
    ask(pm2_home, state="stopped", name=["workers"])
    assert not ask(pm2_home, state="started", name=["workers"], instances=0)["changed"]
    assert ask(pm2_home, True, state="started", name=["workers"], instances=2)["changed"]
    assert ask(pm2_home, state="started", name=["workers"], instances=2)["changed"]
    first = online(pm2_home, "workers")
    assert len(first) == 2
    assert not ask(pm2_home, state="started", name=["workers"], instances=2)["changed"]
    assert not ask(pm2_home, state="started", name=["workers"], instances=1)["changed"]
    assert ask(pm2_home, state="started", name=["workers"])["changed"]
    assert len(online(pm2_home, "workers")) == 3 and set(first) < set(online(pm2_home, "workers"))


def test_a_job_that_pm2_cuts_off_is_a_failure(pm2_home: Shop) -> None:
    pm2_home.release("r1", "job")
    pm2_home.define("workers", "fork", None, kill_timeout=500)
    pm2_home.start("workers")
    assert pm2_home.pm2("stop", "workers").returncode == 0  # pm2 does not tell
    ask(pm2_home, state="started", name=["workers"])
    with pytest.raises(EcommusError, match="pm2 would kill workers"):
        ask(pm2_home, state="stopped", name=["workers"], stop_timeout=3)
    assert len(online(pm2_home, "workers")) == 1
    with pytest.raises(EcommusError, match="was killed by pm2") as caught:
        ask(pm2_home, state="stopped", name=["workers"])
    ask(pm2_home, state="started", name=["workers"])
    (pid,) = online(pm2_home, "workers")
    answer = ask(pm2_home, state="stopped", name=["workers"], allow_killed=True)
    assert answer["killed"] == [pid] and answer["names"]["workers"]["stopped"] == 1 and len(caught.value.details["killed"]) == 1


def test_unknown_names_are_refused_before_anything_is_touched(pm2_home: Shop) -> None:
    api(pm2_home)
    before = online(pm2_home, "api")
    for state in ("stopped", "restarted", "reloaded", "started", "replaced"):
        with pytest.raises(EcommusError, match="nosuch"):
            ask(pm2_home, state=state, name=["api", "nosuch"], ecosystem_file=str(pm2_home.ecosystem))
    for name in ("all", "0", "/a/", "-f"):
        with pytest.raises(EcommusError, match="does not name a process"):
            ask(pm2_home, state="stopped", name=[name])
    assert online(pm2_home, "api") == before


def test_starts_an_unknown_name_from_the_ecosystem_file(pm2_home: Shop) -> None:
    api(pm2_home)
    pm2_home.define("admin", "cluster", PORT + 1, 1)
    answer = ask(pm2_home, state="started", name=["admin"], ecosystem_file=str(pm2_home.ecosystem), save=True)
    assert answer["changed"] and get(PORT + 1)["ok"]
    assert stat.S_IMODE(os.stat(answer["saved"]).st_mode) == 0o600
    assert "PM2_PROGRAMMATIC" not in get(PORT + 1)["keys"] and "PM2_DISCRETE_MODE" not in get(PORT + 1)["keys"]


@pytest.mark.exhaustive
def test_nothing_of_the_deploy_shell_reaches_a_process(pm2_home: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_SECRET", "leaked")
    pm2_home.pm2("ping")  # the daemon has a clean environment, which its processes inherit
    pm2_home.define("api", "cluster", PORT, 2)
    pm2_home.pm2("start", str(pm2_home.ecosystem), "--only", "api", DEPLOY_SECRET="leaked")
    assert get(PORT)["leak"] == "leaked"  # what pm2 does
    replace(pm2_home)
    assert "leak" not in get(PORT)


def test_restart_leaves_a_stopped_process_stopped(pm2_home: Shop) -> None:
    api(pm2_home, 1)
    pm2_home.pm2("stop", "api")
    pm2_home.pm2("reload", "all")
    assert len(online(pm2_home, "api")) == 1  # `pm2 reload` starts what an operator has stopped
    pm2_home.pm2("stop", "api")
    for state in ("restarted", "reloaded"):
        assert not ask(pm2_home, state=state, name=["api"])["changed"]
        assert online(pm2_home, "api") == []
    assert ask(pm2_home, state="restarted", name=["api"], include_stopped=True)["changed"]


@pytest.mark.exhaustive
def test_restart_and_reload_bring_new_processes_one_by_one(pm2_home: Shop) -> None:
    api(pm2_home)
    for state in ("restarted", "reloaded"):
        before = online(pm2_home, "api")
        with Hammer(PORT, threads=2) as hammer:
            answer = ask(pm2_home, state=state, name=["api"], expect_path=str(pm2_home.current))
        assert answer["done"] == ["api"] and not set(before) & set(online(pm2_home, "api"))
        assert state == "restarted" or hammer.failures == []


def test_deleted_is_gone(pm2_home: Shop) -> None:
    api(pm2_home)
    pids = online(pm2_home, "api")
    assert ask(pm2_home, state="deleted", name=["api"])["changed"]
    assert ask(pm2_home)["processes"] == [] and not any(map(_process.alive, pids))
    assert not ask(pm2_home, state="deleted", name=["api"])["changed"]


def test_a_process_that_is_deleted_before_it_is_ready_leaves_no_orphan(pm2_home: Shop) -> None:
    pm2_home.pm2("ping")
    pm2_home.release("r1", "hang")
    pm2_home.define("api", "cluster", PORT, 1)
    starting = threading.Thread(target=api, args=(pm2_home, 1))
    starting.start()
    deadline = time.monotonic() + 10
    while not (found := ask(pm2_home)["processes"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    assert found and ask(pm2_home, state="deleted", name=["api"])["changed"]
    starting.join(20)
    daemon = int((pm2_home.home / "pm2.pid").read_text())
    assert ask(pm2_home)["processes"] == [] and _process.children(daemon) == []
