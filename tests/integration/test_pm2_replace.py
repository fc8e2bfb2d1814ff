# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pm2_control replacing processes of a real pm2 under load. Each fault is first shown to break the documented `pm2 reload`."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process, _proof, _shared_port
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from pm2_calls import PORT, api, ask, online, replace, some
from pm2_shop import Hammer, Shop, get

pytestmark = pytest.mark.pm2


# ---------------------------------------------------------------- replace


@pytest.mark.parametrize(("instances", "overlap"), some((2, "all"), (2, "one"), (1, "all")))
def test_replaces_without_a_failed_request(pm2_home: Shop, instances: int, overlap: str) -> None:
    api(pm2_home, instances)
    pm2_home.release("r2", "slow")
    pm2_home.switch("r2")
    before = online(pm2_home, "api")
    assert replace(pm2_home, check_mode=True)["changed"] and online(pm2_home, "api") == before
    with Hammer(PORT) as hammer:
        answer = replace(pm2_home, overlap=overlap, save=True)
    assert hammer.failures == [] and hammer.requests > 100 and hammer.releases == {"r1", "r2"}
    assert answer["names"]["api"] == {"instances": instances, "online": instances, "stopped": 0, "exec_mode": "cluster"}
    assert not set(before) & set(online(pm2_home, "api")) and not any(map(_process.alive, before))
    assert {get(PORT)["release"] for _ in range(6)} == {"r2"}
    assert answer["replaced"][0]["killed"] == () and answer["orphans"] == []
    assert not (pm2_home.home / "ecommus-cutover.json").exists()


FAULTS = {
    "hang": ({"boot": "hang"}, "did not report that it is ready"),
    "crash": ({"boot": "crash"}, "crashed"),
    "instant": ({"boot": "instant"}, "crashed.*left nothing in its log"),
    "late": ({"boot": "late"}, "crashed|ended|did not stay alive"),
    "500": ({"status": 500}, "status 500"),
    "wrong": ({"wrong": True}, '"ok": false'),
}


@pytest.mark.parametrize(
    ("fault", "instances"),
    [
        pytest.param(fault, instances, marks=[] if (fault, instances) in (("hang", 1), ("crash", 2)) else pytest.mark.exhaustive)
        for fault in FAULTS
        for instances in (2, 1)
    ],
)
def test_a_bad_release_does_not_touch_the_old_processes(pm2_home: Shop, fault: str, instances: int) -> None:
    api(pm2_home, instances, env={"API_TOKEN": "t0ken-value"})
    definition, message = FAULTS[fault]
    pm2_home.release("bad", **definition)
    pm2_home.switch("bad")
    before = online(pm2_home, "api")
    with Hammer(PORT) as hammer, pytest.raises(EcommusError, match=message) as caught:
        replace(pm2_home, stable_seconds=3)
    assert online(pm2_home, "api") == before and caught.value.details["old_untouched"] and caught.value.details["left_over"] == []
    assert caught.value.details["failed_name"] == "api" and caught.value.remedy
    if fault in ("hang", "crash", "instant"):  # the others took requests before they could be known
        assert hammer.failures == [] and hammer.releases == {"r1"}
    if fault == "crash":
        assert any("cannot boot" in line for line in caught.value.details["log"])
        assert "hunter2" not in str(caught.value.details) and "t0ken" not in str(caught.value.details)
    answer, now = get(PORT), ask(pm2_home)
    assert answer["release"] == "r1" and now["orphans"] == [], (answer, now["processes"], now["orphans"], before)
    assert not (pm2_home.home / "ecommus-cutover.json").exists()
    if fault == "hang":  # the way back is the same call
        pm2_home.switch("r1")
        assert replace(pm2_home)["names"]["api"]["online"] == instances


@pytest.mark.exhaustive
@pytest.mark.parametrize("boot", ["hang", "crash"])
def test_the_documented_reload_breaks_the_shop_with_the_same_release(pm2_home: Shop, boot: str) -> None:
    api(pm2_home)
    pm2_home.release("bad", boot)
    pm2_home.switch("bad")
    with Hammer(PORT, threads=2) as hammer:
        assert pm2_home.pm2("reload", "api").returncode == 0
    assert hammer.failures


def test_a_pinned_process_is_moved(pm2_home: Shop) -> None:
    directory = str(pm2_home.root / "releases" / "r1")
    api(pm2_home, 1, cwd=directory, script=f"{directory}/app.js")
    pm2_home.release("r2")
    pm2_home.switch("r2")
    pm2_home.pm2("reload", "api")
    assert get(PORT)["release"] == "r1"  # for ever
    with pytest.raises(EcommusError, match="and not under"):
        ask(pm2_home, state="reloaded", name=["api"], expect_path=str(pm2_home.current))
    pm2_home.define("api", "cluster", PORT, 1)
    with Hammer(PORT) as hammer:
        replace(pm2_home)
    assert hammer.failures == [] and get(PORT)["release"] == "r2"


@pytest.mark.exhaustive
def test_environment_is_read_anew(pm2_home: Shop) -> None:
    api(pm2_home, 2, env={"FOO": "old", "GONE": "1"})
    pm2_home.define("api", "cluster", PORT, 2, env={"FOO": "new"})
    replace(pm2_home)
    assert get(PORT)["foo"] == "new" and "GONE" not in get(PORT)["keys"]


@pytest.mark.exhaustive
@pytest.mark.parametrize(("mode", "strategy"), some(("cluster", "auto"), ("fork", "auto"), ("fork", "restart")))
def test_variables_on_top_of_the_file_are_given_and_forgotten(pm2_home: Shop, mode: str, strategy: str) -> None:
    api(pm2_home, 1, mode, env={"FOO": "file"})
    options = {"environment": {"api": {"FOO": "resting"}}, "newer_than": 0, "fork_strategy": strategy}
    assert replace(pm2_home, **options)["changed"]
    assert get(PORT)["foo"] == "resting"
    assert not replace(pm2_home, **options)["changed"]
    assert replace(pm2_home, newer_than=0, environment={"api": {"FOO": "other"}}, fork_strategy=strategy)["changed"]
    assert replace(pm2_home, environment={"api": {}}, fork_strategy=strategy)["changed"]
    assert get(PORT)["foo"] == "file"


def test_code_changed_in_place_is_replaced_too(pm2_home: Shop) -> None:
    pm2_home.current.unlink()
    pm2_home.release("r1").rename(pm2_home.current)  # a plain directory, no link anywhere
    api(pm2_home)
    began = time.time()
    code = pm2_home.current / "app.js"
    code.write_text(code.read_text().replace("release: 'r1'", "release: 'changed'"))
    with Hammer(PORT) as hammer:
        assert replace(pm2_home, newer_than=began)["changed"]
    assert hammer.failures == [] and get(PORT)["release"] == "changed"
    assert not replace(pm2_home, newer_than=began)["changed"]


def test_a_killed_attempt_does_not_leave_twice_as_many(pm2_home: Shop) -> None:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils import _cutover, _ecosystem
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record

    api(pm2_home)
    before = online(pm2_home, "api")
    pm2 = Pm2(str(pm2_home.home), (str(pm2_home.bin),))
    Record.of(pm2.home).begin("api", 2, pm2.table("api"))
    _cutover.add(pm2, "api", _ecosystem.Ecosystem(pm2, str(pm2_home.ecosystem)), pm2.table("api")[0], 15)
    assert len(online(pm2_home, "api")) == 3
    with Hammer(PORT) as hammer:
        replace(pm2_home)
    assert len(online(pm2_home, "api")) == 2 and not set(before) & set(online(pm2_home, "api"))
    assert hammer.failures == []


@pytest.mark.parametrize(("instances", "options"), some((1, {"stable_seconds": 0, "parallel": 16}), (2, {"overlap": "one"}), (2, {})))
def test_a_process_that_does_not_say_when_it_is_ready_must_take_connections(
    pm2_home: Shop, instances: int, options: dict[str, object]
) -> None:
    """pm2 calls it online at once. It listens long after it was watched."""
    api(pm2_home, instances, wait_ready=False)
    wait_until_it_answers()
    pm2_home.release("r2", "late listener")
    pm2_home.switch("r2")
    with Hammer(PORT) as hammer:
        replace(pm2_home, health_urls={}, **options)
    assert hammer.failures == [] and hammer.releases == {"r1", "r2"}
    assert {get(PORT)["release"] for _ in range(6)} == {"r2"}


@pytest.mark.parametrize("mode", some("cluster", "fork"))
def test_a_process_that_never_listens_does_not_touch_the_old_ones(pm2_home: Shop, mode: str) -> None:
    api(pm2_home, 1, mode, wait_ready=False)
    wait_until_it_answers()
    pm2_home.release("bad", "hang")
    pm2_home.switch("bad")
    before = online(pm2_home, "api")
    with Hammer(PORT) as hammer, pytest.raises(EcommusError, match=f"(takes no connection|does not listen) on port {PORT}") as caught:
        replace(pm2_home, health_urls={}, timeout=4, fork_strategy="auto")
    assert caught.value.details["old_untouched"] and online(pm2_home, "api") == before
    assert hammer.failures == [] and hammer.releases == {"r1"}


@pytest.mark.exhaustive
@pytest.mark.parametrize(("known", "safe"), some((True, True), (False, False)))
def test_the_port_may_be_named_where_the_ecosystem_file_does_not(pm2_home: Shop, known: bool, safe: bool) -> None:
    pm2_home.define("api", "cluster", None, 1, wait_ready=False, env={"MAIN": PORT})
    pm2_home.start("api")
    wait_until_it_answers()
    pm2_home.release("r2", "late listener")
    pm2_home.switch("r2")
    with Hammer(PORT) as hammer:
        replace(pm2_home, health_urls={}, service_ports={"api": PORT} if known else {})
    assert (hammer.failures == []) == safe


@pytest.mark.exhaustive
def test_a_port_that_nobody_serves_proves_nothing(pm2_home: Shop) -> None:
    """One that the inventory has wrong must not stop an upgrade, and still less a way back."""
    pm2_home.define("api", "cluster", None, 1, wait_ready=False, env={"MAIN": PORT})
    pm2_home.start("api")
    wait_until_it_answers()
    assert replace(pm2_home, health_urls={}, service_ports={"api": PORT + 1})["changed"]


@pytest.mark.exhaustive
def test_fork_mode_shares_its_port_with_a_process_that_does_not_say_when_it_is_ready(pm2_home: Shop) -> None:
    api(pm2_home, None, "fork", wait_ready=False)
    wait_until_it_answers()
    pm2_home.release("r2", "late listener")
    pm2_home.switch("r2")
    with Hammer(PORT) as hammer:
        answer = replace(pm2_home, health_urls={}, fork_strategy="auto")
    assert answer["replaced"][0]["strategy"] == "shared port" and hammer.failures == [] and get(PORT)["release"] == "r2"


def wait_until_it_answers() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            get(PORT)
            return
        time.sleep(0.05)


@pytest.mark.parametrize("forgotten", some("ecommus-cutover.json", "dump.pm2"))
def test_a_restart_that_was_killed_between_the_end_and_the_start_is_taken_up(
    pm2_home: Shop, monkeypatch: pytest.MonkeyPatch, forgotten: str
) -> None:
    """pm2 does not know the name any more. The record of the cut-over does, and so does the saved list."""
    api(pm2_home, None, "fork", env={"FOO": "file"})
    ask(pm2_home, state="saved")
    options = {"environment": {"api": {"FOO": "resting"}}}
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr("ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover.add", interrupted)
        replace(pm2_home, **options)
    assert ask(pm2_home)["processes"] == []
    (pm2_home.home / forgotten).unlink()
    assert "api (started from the ecosystem file)" in replace(pm2_home, check_mode=True, **options)["diff"]["after"]
    answer = replace(pm2_home, newer_than=0, **options)
    assert answer["changed"] and answer["names"]["api"]["online"] == 1 and get(PORT)["foo"] == "resting"
    assert (answer["replaced"][0]["strategy"], answer["replaced"][0]["old_ids"]) == ("restart", ())
    assert not (pm2_home.home / "ecommus-cutover.json").exists()
    assert not replace(pm2_home, newer_than=0, **options)["changed"]


def interrupted(*_arguments: object, **_options: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.exhaustive
def test_services_that_pm2_lost_come_back_in_the_numbers_that_were_saved(pm2_home: Shop) -> None:
    three_services(pm2_home)
    pm2_home.pm2("scale", "api", "3")
    ask(pm2_home, state="saved")
    pm2_home.pm2("delete", "api", "store")
    answer = replace(pm2_home, name=["api", "admin", "store"])
    assert {name: found["online"] for name, found in answer["names"].items()} == {"api": 3, "admin": 1, "store": 1}
    assert [outcome["name"] for outcome in answer["replaced"]] == ["api", "store", "admin"]  # first what nobody serves
    with pytest.raises(EcommusError, match="pm2 knows no process other"):
        replace(pm2_home, name=["other"])


@pytest.mark.exhaustive
def test_what_a_killed_attempt_had_not_come_to_is_not_remembered(pm2_home: Shop) -> None:
    """Else the next cut-over would make it as many as there were then, whatever the operator has done since."""
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record

    api(pm2_home)
    pm2 = Pm2(str(pm2_home.home), (str(pm2_home.bin),))
    Record.of(pm2.home).begin("api", 2, pm2.table("api"))
    assert not replace(pm2_home, newer_than=0)["changed"]
    assert not (pm2_home.home / "ecommus-cutover.json").exists()


@pytest.mark.exhaustive
def test_without_an_ecosystem_file_the_old_definition_is_used(pm2_home: Shop) -> None:
    api(pm2_home)
    pm2_home.release("r2")
    pm2_home.switch("r2")
    with Hammer(PORT) as hammer:
        replace(pm2_home, ecosystem_file=None)
    assert hammer.failures == [] and get(PORT)["release"] == "r2"


@pytest.mark.parametrize("pinned", some(True, False))
def test_fork_mode_is_replaced_in_place_with_the_gap_measured(pm2_home: Shop, pinned: bool) -> None:
    directory = str(pm2_home.root / "releases" / "r1") if pinned else str(pm2_home.current)
    api(pm2_home, None, "fork", cwd=directory, script=f"{directory}/app.js")
    pm2_home.define("api", "fork", PORT)
    pm2_home.release("r2")
    pm2_home.switch("r2")
    answer = replace(pm2_home)
    assert get(PORT)["release"] == "r2" and answer["names"]["api"]["exec_mode"] == "fork"
    assert 100 < answer["replaced"][0]["gap_ms"] < 2000  # 700 to 1200 on a busy machine, 400 of it the app's own farewell


@pytest.mark.exhaustive  # test_several_names_are_proven_and_changed_together does it once
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_fork_mode_shares_its_port_and_loses_nothing(pm2_home: Shop, address: str) -> None:
    api(pm2_home, None, "fork", env={"LISTEN": address})
    for release in ("r2", "r3"):  # the second time the port is shared already
        pm2_home.release(release, "slow")
        pm2_home.switch(release)
        (before,) = online(pm2_home, "api")
        with Hammer(PORT) as hammer:
            answer = replace(pm2_home, fork_strategy="auto")
        assert (answer["replaced"][0]["strategy"], answer["replaced"][0]["gap_ms"]) == ("shared port", 0)
        assert hammer.failures == [] and hammer.requests > 100 and release in hammer.releases
        assert answer["names"]["api"] == {"instances": 1, "online": 1, "stopped": 0, "exec_mode": "fork"}
        assert get(PORT)["release"] == release and not _process.alive(before)
    pm2_home.pm2("restart", "api")  # an operator's restart works as ever
    assert get(PORT)["release"] == release


@pytest.mark.parametrize("fault", some("crash", *(fault for fault in FAULTS if fault != "crash")))
def test_a_bad_release_gets_no_request_in_fork_mode(pm2_home: Shop, fault: str) -> None:
    api(pm2_home, None, "fork")
    definition, message = FAULTS[fault]
    pm2_home.release("bad", **definition)
    pm2_home.switch("bad")
    before = online(pm2_home, "api")
    with Hammer(PORT) as hammer, pytest.raises(EcommusError, match=message) as caught:
        replace(pm2_home, fork_strategy="auto", stable_seconds=3)
    assert online(pm2_home, "api") == before and caught.value.details["old_untouched"]
    assert hammer.failures == [] and hammer.releases == {"r1"}


@pytest.mark.exhaustive
def test_fork_mode_falls_back_to_a_restart_where_sockets_may_not_be_copied(pm2_home: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_port, "_SYS_PIDFD_GETFD", 9999)  # a system call that this kernel does not have
    api(pm2_home, None, "fork")
    pm2_home.release("r2")
    pm2_home.switch("r2")
    answer = replace(pm2_home, fork_strategy="auto")
    assert answer["replaced"][0]["strategy"] == "restart" and "may not be copied" in answer["replaced"][0]["note"]
    assert get(PORT)["release"] == "r2"


@pytest.mark.exhaustive
def test_a_daemon_that_dies_under_a_cut_over_is_told_in_time_and_not_replaced(pm2_home: Shop) -> None:
    api(pm2_home, 1)
    pm2_home.release("bad", "hang")
    pm2_home.switch("bad")
    daemon = int((pm2_home.home / "pm2.pid").read_text())
    threading.Timer(1.5, os.kill, (daemon, 9)).start()
    with pytest.raises(EcommusError, match=r"no pm2 daemon|did not end within"):
        replace(pm2_home)
    assert int((pm2_home.home / "pm2.pid").read_text()) == daemon and not _process.alive(daemon)


def three_services(shop: Shop) -> dict[str, list[int]]:
    """``api``, ``admin`` and ``store`` run; the process ids of each."""
    api(shop)
    for number, name in enumerate(("admin", "store"), 1):
        shop.define(name, "cluster", PORT + number, 1)
        shop.start(name)
    return {name: online(shop, name) for name in ("api", "admin", "store")}


@pytest.mark.parametrize(
    ("second", "third", "parallel"), some(("fork", "cluster", 1), ("fork", "fork", 3), ("cluster", "cluster", 1), ("cluster", "cluster", 2))
)
def test_several_names_are_proven_and_changed_together(
    pm2_home: Shop, monkeypatch: pytest.MonkeyPatch, second: str, third: str, parallel: int
) -> None:
    api(pm2_home)
    for number, (name, mode) in enumerate((("admin", second), ("store", third)), 1):
        pm2_home.define(name, mode, PORT + number)
        pm2_home.start(name)
    pm2_home.release("r2")
    pm2_home.switch("r2")
    waits: list[float] = []
    watch = _proof.watch
    monkeypatch.setattr(_proof, "watch", lambda pm2, entries, seconds: (waits.append(seconds), watch(pm2, entries, seconds))[1])
    urls = {name: [f"http://127.0.0.1:{PORT + number}/"] for number, name in enumerate(("api", "admin", "store"))}
    hammers = [Hammer(PORT + number, threads=2) for number in range(3)]
    with hammers[0], hammers[1], hammers[2]:
        answer = replace(pm2_home, name=list(urls), health_urls=urls, fork_strategy="auto", stable_seconds=2, parallel=parallel)
    assert [hammer.failures for hammer in hammers] == [[], [], []]
    assert answer["replaced"][1]["strategy"] == ("shared port" if second == "fork" else "overlap all")
    assert [outcome["name"] for outcome in answer["replaced"]] == answer["done"] == ["api", "admin", "store"]
    assert {get(PORT + number)["release"] for number in range(3)} == {"r2"} and answer["names"]["api"]["online"] == 2
    assert [seconds for seconds in waits if seconds] == [2, 0.5]  # once for all, before and after the old ones go
    assert not (pm2_home.home / "ecommus-cutover.json").exists()


def test_processes_come_up_at_the_same_time_when_asked_to(pm2_home: Shop) -> None:
    names = list(three_services(pm2_home))
    pm2_home.release("r2", "slow")  # each takes 1.5 s
    pm2_home.switch("r2")
    for parallel, apart in ((1, [True] * 3), (2, [False, True, False]), (9, [False] * 3)):
        fresh = [p for p in replace(pm2_home, name=names, parallel=parallel)["processes"] if p["name"] in names]
        starts = [p["started_ms"] for p in sorted(fresh, key=lambda p: (names.index(p["name"]), p["started_ms"]))]
        assert [later - earlier >= 1500 for earlier, later in zip(starts, starts[1:])] == apart, f"parallel {parallel}"
        assert len({p["instance"] for p in fresh if p["name"] == "api"}) == 2
    with pytest.raises(EcommusError, match="parallel is 0"):
        replace(pm2_home, parallel=0)


@pytest.mark.parametrize("parallel", [1, 3])
def test_one_bad_service_of_several_leaves_all_as_they_were(pm2_home: Shop, parallel: int) -> None:
    before = three_services(pm2_home)
    bad = pm2_home.release("bad", "crash")
    pm2_home.define("store", "cluster", PORT + 2, 1, cwd=str(bad), script=str(bad / "app.js"))
    hammers = [Hammer(PORT + number, threads=2) for number in range(3)]
    with hammers[0], hammers[1], hammers[2], pytest.raises(EcommusError, match=r"store .*crashed") as caught:
        replace(pm2_home, name=list(before), expect_path=None, save=True, parallel=parallel)
    assert [hammer.failures for hammer in hammers] == [[], [], []] and hammers[2].releases == {"r1"}
    assert {name: online(pm2_home, name) for name in before} == before
    details = caught.value.details
    assert details["old_untouched"] and details["left_over"] == [] and len(ask(pm2_home)["processes"]) == 4
    assert (details["done"], details["failed_name"], details["untouched"]) == ([], "store", ["api", "admin"])
    assert any("cannot boot" in line for line in details["log"]) and "saved" not in details
    assert not (pm2_home.home / "ecommus-cutover.json").exists()


@pytest.mark.exhaustive
def test_one_at_a_time_stops_at_the_first_failure(pm2_home: Shop) -> None:
    before = three_services(pm2_home)
    bad = pm2_home.release("bad", "crash")
    pm2_home.define("admin", "cluster", PORT + 1, 1, cwd=str(bad), script=str(bad / "app.js"))
    with pytest.raises(EcommusError) as caught:
        replace(pm2_home, name=list(before), expect_path=None, overlap="one")
    details = caught.value.details
    assert (details["done"], details["failed_name"], details["untouched"]) == (["api"], "admin", ["store"])
    assert online(pm2_home, "api") != before["api"] and online(pm2_home, "store") == before["store"]


@pytest.mark.exhaustive
def test_a_late_crash_of_one_name_is_told_when_several_are_started(pm2_home: Shop) -> None:
    api(pm2_home, 1)
    pm2_home.pm2("stop", "api")
    late = pm2_home.release("late", "late")
    pm2_home.define("workers", "fork", PORT + 1, cwd=str(late), script=str(late / "app.js"))
    with pytest.raises(EcommusError, match="workers") as caught:
        ask(pm2_home, state="started", name=["api", "workers"], ecosystem_file=str(pm2_home.ecosystem), stable_seconds=4)
    assert caught.value.details["done"] == ["api"] and caught.value.details["failed_name"] == "workers"
    assert any("late crash" in line for line in caught.value.details["log"])


def test_two_runs_at_once_are_told_apart(pm2_home: Shop) -> None:
    api(pm2_home)
    pm2 = Pm2(str(pm2_home.home), (str(pm2_home.bin),))
    with pm2.lock(), pytest.raises(EcommusError, match="another run"), pm2.lock(timeout=0.3):
        pass
