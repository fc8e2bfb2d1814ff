"""The prober as a real process that outlives the module that started it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _prober_control as control
from ansible_collections.mdlabs.ecommus.plugins.modules import uptime_prober
from http_lab import Authority, serve


@pytest.fixture
def prober(call, tmp_path):
    """``prober(state, **options)``; whatever was started is ended in the end."""

    def run(state: str, **options):
        result, _ = call(uptime_prober, state=state, run_dir=str(tmp_path), **options)
        return result

    yield run
    for directory in tmp_path.iterdir():
        pid = control.running(str(directory))
        if pid:
            os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds: float = 10.0):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_constant_rate_over_all_targets_as_new_visitors(prober, authority: Authority):
    certificate = authority.issue("api.shop.example", "shop.example")
    with serve(lambda request: (200, {"ok": True}, {"X-Release": "v1.3.2"}), certificate) as server:
        common = {"resolve": server.address, "ca_path": str(authority.path), "identity_header": "X-Release"}
        targets = [
            {"name": "api", "url": "https://api.shop.example/health", "expect_json": {"ok": True}, **common},
            {"name": "web", "url": "https://shop.example/", **common},
        ]
        first = prober("started", targets=targets, rate=20)
        second = prober("started", targets=targets, rate=20)
        other = prober("started", targets=targets, rate=5)
        time.sleep(2)
        seen = prober("read")
        leader = os.getsid(first["pid"])
        result = prober("stopped")
    assert (first["changed"], first["status"]) == (True, "running")
    assert leader == first["pid"]  # a hang-up of the operator's terminal does not reach it
    assert (second["changed"], second["pid"]) == (False, first["pid"])
    assert "warnings" not in second
    assert "runs with other settings" in str(other["warnings"])
    assert (seen["changed"], seen["status"]) == (False, "running")
    assert (result["changed"], result["status"], result["ended_because"], result["pid"]) == (True, "ended", "stopped", 0)
    totals = result["totals"]
    assert totals["failed"] == 0, result
    assert totals["requests"] / totals["seconds"] == pytest.approx(20, rel=0.15)
    assert totals["requests"] >= seen["totals"]["requests"] > 0
    api, web = result["targets"]["api"], result["targets"]["web"]
    assert abs(api["requests"] - web["requests"]) <= 1
    assert api["requests"] + web["requests"] == totals["requests"] == len(server.asked)
    assert [found["identity"] for found in api["identities"]] == ["v1.3.2"]
    assert len({request.connection for request in server.asked}) == len(server.asked)
    assert {request.server_name for request in server.asked} == {"api.shop.example", "shop.example"}


def test_it_ends_with_the_process_that_it_works_for(prober):
    with serve(lambda request: "ok") as server, subprocess.Popen(["sleep", "60"]) as controller:
        target = {"name": "a", "url": f"http://{server.address}/"}
        prober("started", targets=[target], rate=20, while_pid=controller.pid)
        time.sleep(1.5)
        assert prober("read")["status"] == "running"
        controller.kill()
        controller.wait()
        wait_for(lambda: prober("read")["status"] == "ended")
    assert prober("read")["ended_because"] == "controller ended"


def test_connections_are_kept_when_asked(prober):
    with serve(lambda request: "ok") as server:
        prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}], rate=20, keepalive=True)
        wait_for(lambda: len(server.asked) >= 10)
        prober("stopped")
    assert len({request.connection for request in server.asked}) < len(server.asked) / 2


def test_every_kind_of_failure_is_counted_and_grouped(prober, authority):
    def app(request):
        return {"/status": (503, "down"), "/json": {"ok": False}, "/slow": "late", "/text": "other"}[request.path]

    def slow(request):
        if request.path == "/slow":
            time.sleep(4)
        return app(request)

    with serve(slow) as server, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://{server.address}"
        targets = [
            {"name": "status", "url": f"{url}/status"},
            {"name": "json", "url": f"{url}/json", "expect_json": {"ok": True}},
            {"name": "slow", "url": f"{url}/slow"},
            {"name": "text", "url": f"{url}/text", "expect_text": "shop"},
            {"name": "refused", "url": f"http://127.0.0.1:{unused.getsockname()[1]}/"},
        ]
        # longer than a busy machine lets the others wait
        prober("started", targets=targets, rate=20, timeout=2)
        time.sleep(2.5)
        result = prober("stopped", timeout=2)
    reasons = {name: found["first_failure"]["reason"] for name, found in result["targets"].items()}
    assert reasons["status"] == 'status 503 instead of 200, body "down"'
    assert reasons["json"] == "JSON at ok: expected true, found false"
    assert "no complete answer within 2 s" in reasons["slow"]
    assert reasons["text"] == 'the body lacks "shop", it is "other"'
    assert "connection refused" in reasons["refused"]
    assert result["totals"]["failed"] == result["totals"]["requests"] > 0
    assert all(len(found["gaps"]) == 1 and not found["gaps"][0]["over"] for found in result["targets"].values())


def test_outage_is_measured_and_the_releases_before_and_after_are_noted(prober):
    release = {"now": "v1.3.2"}

    def app(request):
        return (502, "gone") if release["now"] is None else f"<script src=app.{release['now']}.js>"

    with serve(app) as server:
        target = {"name": "web", "url": f"http://{server.address}/", "identity_regex": r"app\.(v[\d.]+)\.js"}
        prober("started", targets=[target], rate=40)
        wait_for(lambda: len(server.asked) > 5)
        release["now"] = None
        time.sleep(1)
        release["now"] = "v1.4.0"
        time.sleep(0.5)
        result = prober("stopped")
    web = result["targets"]["web"]
    assert 950 < web["longest_gap_ms"] < 1300
    assert len(web["gaps"]) == 1
    assert web["gaps"][0]["over"] is True
    assert web["failed"] == web["gaps"][0]["failed"] == pytest.approx(40, abs=6)
    assert [found["identity"] for found in web["identities"]] == ["v1.3.2", "v1.4.0"]


def test_hanging_server_does_not_slow_the_rate(prober):
    release = threading.Event()
    with serve(lambda request: release.wait(20) and "ok") as server:
        prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}], rate=20, timeout=1)
        time.sleep(2)
        result = prober("stopped", timeout=1)
        release.set()
    assert len(server.asked) == pytest.approx(20 * result["totals"]["seconds"], rel=0.45)
    assert result["totals"]["failed"] == result["totals"]["requests"]


def test_requests_that_cannot_be_sent_are_said_and_the_rest_goes_on(prober):
    release = threading.Event()
    with serve(lambda request: release.wait(20) and "ok") as server:
        prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}], rate=300, timeout=1.5)
        time.sleep(1)
        result = prober("stopped", timeout=1.5)
        release.set()
    assert result["totals"]["skipped"] > 10
    assert result["totals"]["requests"] >= 128


def test_killed_prober_reports_what_its_log_has_and_may_be_started_again(prober):
    with serve(lambda request: "ok") as server:
        targets = [{"name": "a", "url": f"http://{server.address}/"}]
        pid = prober("started", targets=targets, rate=20)["pid"]
        wait_for(lambda: len(server.asked) >= 5)
        os.kill(pid, signal.SIGKILL)
        dead = wait_for(lambda: (found := prober("stopped"))["status"] == "died" and found)
        assert dead["changed"] is False
        assert dead["totals"]["requests"] >= 4
        assert "died; its log ends at 20" in str(dead["warnings"])
        again = prober("started", targets=targets, rate=20)
        assert again["changed"] is True
        wait_for(lambda: len(server.asked) >= 10)
        result = prober("stopped")
    assert result["status"] == "ended"
    assert result["totals"]["requests"] > dead["totals"]["requests"]


def test_stranger_with_the_pid_is_not_killed(prober, tmp_path):
    with serve(lambda request: "ok") as server:
        pid = prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}])["pid"]
    os.kill(pid, signal.SIGKILL)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        (tmp_path / "uptime" / "prober.pid").write_text(json.dumps({"pid": stranger.pid, "started": "2026-01-01T00:00:00Z"}))
        result = prober("stopped")
        survived = stranger.poll() is None
        stranger.kill()
    assert survived
    assert (result["changed"], result["status"]) == (False, "died")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_it_cleanly_with_a_summary(prober, tmp_path, number):
    with serve(lambda request: "ok") as server:
        pid = prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}], rate=20)["pid"]
        wait_for(lambda: len(server.asked) >= 3)
        os.kill(pid, number)
        wait_for(lambda: control.running(str(tmp_path / "uptime")) is None)
    summary = json.loads((tmp_path / "uptime" / "summary.json").read_text())
    assert summary["ended_because"] == "stopped"
    assert summary["totals"]["requests"] == len(server.asked)
    assert prober("read")["totals"] == summary["totals"]


def test_it_ends_by_itself_after_its_time(prober, tmp_path):
    with serve(lambda request: "ok") as server:
        prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}], max_seconds=1)
        wait_for(lambda: control.running(str(tmp_path / "uptime")) is None, 5)
    assert prober("read")["ended_because"] == "max_seconds"


def test_it_ends_when_its_directory_is_gone(prober, tmp_path):
    with serve(lambda request: "ok") as server:
        pid = prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}])["pid"]
        shutil.rmtree(tmp_path / "uptime")
        try:
            wait_for(lambda: not alive(pid), 5)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_check_mode_predicts(prober, tmp_path):
    targets = [{"name": "a", "url": "http://127.0.0.1:1/"}]
    assert prober("started", targets=targets, _ansible_check_mode=True)["changed"] is True
    assert list(tmp_path.iterdir()) == []
    pid = prober("started", targets=targets)["pid"]
    assert prober("started", targets=targets, _ansible_check_mode=True)["changed"] is False
    assert prober("stopped", _ansible_check_mode=True)["changed"] is True
    assert control.running(str(tmp_path / "uptime")) == pid
    prober("stopped")
    assert prober("stopped", _ansible_check_mode=True)["changed"] is False


def test_prober_that_never_ran_is_absent(prober):
    for state in ("read", "stopped"):
        result = prober(state)
        assert (result["changed"], result["status"], result["totals"]["requests"]) == (False, "absent", 0)


def test_two_probers_live_side_by_side(prober):
    with serve(lambda request: "ok") as server:
        targets = [{"name": "a", "url": f"http://{server.address}/"}]
        one, two = prober("started", targets=targets, id="one"), prober("started", targets=targets, id="two")
        assert one["pid"] != two["pid"]
        prober("stopped", id="one")
        assert prober("read", id="two")["status"] == "running"
        prober("stopped", id="two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": [{"name": "a", "url": "nowhere"}]}, "not an http:// or https:// URL"),
        ({"targets": [{"name": "a", "url": "https://x/", "ca_path": "/nowhere"}]}, "/nowhere cannot be used: No such file"),
        ({"targets": [{"name": "a", "url": "http://x/"}] * 2}, "a name each"),
        ({"targets": []}, "there must be one"),
        ({"targets": [{"name": "a", "url": "http://x/", "identity_regex": "("}]}, "no regular expression"),
        ({"targets": [{"name": "a", "url": "http://x/"}], "rate": 0}, "rate is 0"),
        ({"targets": [{"name": "a", "url": "http://x/"}], "id": "../x"}, "cannot be the id"),
        ({}, "targets"),
    ],
)
def test_bad_input_starts_nothing(prober, tmp_path, options, message):
    result = prober("started", **options)
    assert result["failed"] is True
    assert message in result["msg"]
    assert list(tmp_path.iterdir()) == []


def test_program_runs_without_the_collection_or_ansible(prober, tmp_path):
    """What it imports is all in its file: the checkout may be gone, as the payload of a module is."""
    with serve(lambda request: "ok") as server:
        prober("started", targets=[{"name": "a", "url": f"http://{server.address}/"}], max_seconds=1)
        wait_for(lambda: control.running(str(tmp_path / "uptime")) is None, 5)
        before = len(server.asked)
        program = str(tmp_path / "uptime" / "prober.pyz")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([sys.executable, program, str(tmp_path / "uptime")], cwd="/", env=environment, check=True, timeout=10)
        assert len(server.asked) > before
