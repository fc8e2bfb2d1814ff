"""The workers come back to exactly what they were before the first attempt of a run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import shopstate
from ecommus_lab.config import WORKERS
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop, WriteLoad
from interruption import Running, last_run, phase
from maintenance_window import hook
from playbook import play

pytestmark = pytest.mark.lab

NAME = "boreal"
BAD = "v1.4.1-500"  # found out after its migrations


@pytest.fixture
def shop(fresh_shop: Callable[[str], RunningShop]) -> RunningShop:
    """The operator has stopped the workers."""
    shop = fresh_shop(NAME)
    shop.pm2("stop", shop.shop.processes[WORKERS].name)
    return shop


def resting(shop: RunningShop) -> bool:
    """The services are well, the workers stand still."""
    return shop.health() == {} and not shop.workers_running()


@pytest.mark.exhaustive
def test_stopped_workers_stay_stopped_there_and_back(shop: RunningShop, tmp_path: Path) -> None:
    up = play("upgrade", tmp_path / "up", limit=NAME, version="v1.4.0")
    assert up.code == 0, up.said[-5000:]
    assert shopstate.version(shop) == "v1.4.0"
    assert resting(shop)
    told = f"the workers are left as they were: {shop.shop.processes[WORKERS].name} was stopped when the run began"
    assert up.report(NAME)["notices"] == [told]
    assert f"notice    {told}" in up.said
    back = play("rollback", tmp_path / "back", limit=NAME)
    assert back.code == 0, back.said[-5000:]
    assert shopstate.version(shop) == "v1.3.2"
    assert resting(shop)
    assert back.report(NAME)["notices"] == [told]


@pytest.mark.exhaustive
def test_stopped_workers_stay_stopped_when_an_upgrade_fails(shop: RunningShop, tmp_path: Path) -> None:
    failed = play("upgrade", tmp_path, limit=NAME, version=BAD)
    assert failed.code != 0
    assert last_run(shop)["outcome"] == "rolled_back", failed.said[-5000:]
    assert shopstate.version(shop) == "v1.3.2"
    assert resting(shop)


@pytest.mark.exhaustive
def test_a_rollback_of_an_interrupted_run_starts_workers_that_this_run_has_stopped(
    lab: Lab, fresh_shop: Callable[[str], RunningShop], tmp_path: Path
) -> None:
    shop = fresh_shop(NAME)
    running = Running(lab, "upgrade", tmp_path / "killed", limit=NAME, version="v1.4.0")
    running.until(lambda: phase(shop) == "migrate")
    running.kill_everything()
    assert not shop.workers_running()
    back = play("rollback", tmp_path / "back", limit=NAME)
    assert back.code == 0, back.said[-5000:]
    assert shop.wait_healthy(10) == []  # the workers too
    assert back.report(NAME)["notices"] == []


class Jobs:
    """Jobs of two seconds that come in all the time, more than one at once can do; a context manager."""

    def __init__(self, shop: RunningShop) -> None:
        self._shop = shop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Jobs:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._ended.wait(1.5):
            with contextlib.suppress(psycopg.Error):  # while the databases change places
                self._shop.query("""INSERT INTO jobs (kind, payload) VALUES ('noop', '{"sleep_ms": 2000}') RETURNING id""")


def all_jobs_end_well(shop: RunningShop) -> None:
    """None is lost, cut off or run twice; a job of an order books each of its lines once."""
    deadline = time.monotonic() + 60
    while shop.query("SELECT 1 FROM jobs WHERE status <> 'done'") and time.monotonic() < deadline:
        time.sleep(0.5)
    assert shop.query("SELECT status, count(*) FROM jobs WHERE status <> 'done' GROUP BY 1") == []
    booked = """
        SELECT l.order_id, count(*), (SELECT count(*) FROM stock_movements m WHERE m.order_id = l.order_id AND reason = 'order')
        FROM order_lines l WHERE l.order_id = ANY(%s) GROUP BY 1"""
    orders = [number for (number,) in shop.query("SELECT (payload->>'orderId')::bigint FROM jobs WHERE payload ? 'orderId'")]
    assert orders
    assert [row for row in shop.query(booked, orders) if row[1] != row[2]] == []


def none_began_while_they_rested(shop: RunningShop) -> None:
    phases = {phase["name"]: phase["started"] for phase in last_run(shop)["phases"]}
    begin, end = phases["snapshot"], phases.get("resume") or phases["way_back"]
    assert shop.query("SELECT id FROM jobs WHERE started_at BETWEEN %s AND %s", begin, end) == []


@pytest.mark.exhaustive
def test_a_window_that_cannot_be_opened_stops_the_upgrade_before_the_workers(
    fresh_shop: Callable[[str], RunningShop], tmp_path: Path
) -> None:
    shop = fresh_shop(NAME)
    pids = shopstate.identity(shop)["pids"]
    maintenance = hook(tmp_path)
    (tmp_path / "no-open").touch()
    failed = play("upgrade", tmp_path, limit=NAME, version="v1.4.0", ecommus_maintenance=maintenance)
    assert failed.code != 0
    assert "the hook of the maintenance window" in failed.report(NAME)["problem"]
    assert shopstate.identity(shop)["pids"] == pids
    assert shop.wait_healthy(10) == []


@pytest.mark.exhaustive
def test_workers_inside_the_api_rest_and_go_on(fresh_shop: Callable[[str], RunningShop], tmp_path: Path) -> None:
    """Through an upgrade that fails when all has been replaced, and through one that succeeds."""
    shop = fresh_shop(NAME)
    file, api = shop.root / ".env", shop.shop.processes["api"].name
    file.resolve().write_text(file.read_text().replace("ECOMMUS_WORKERS=false", "ECOMMUS_WORKERS=true"))
    shop.pm2("delete", shop.shop.processes[WORKERS].name)
    shop.pm2("restart", api)
    shop.pm2("save")
    env = file.read_bytes()
    inside = {"limit": NAME, "ecommus_workers_mode": "api", "ecommus_maintenance": hook(tmp_path)}
    with WriteLoad(shop, per_second=1), Jobs(shop):
        failed = play("upgrade", tmp_path / "failed", version=BAD, **inside)
        assert last_run(shop)["outcome"] == "rolled_back", failed.said[-5000:]
        assert file.read_bytes() == env
        assert shopstate.version(shop) == "v1.3.2"
        assert (tmp_path / "log").read_text().split() == ["open", "closed"]
        none_began_while_they_rested(shop)
        (tmp_path / "no-closed").touch()
        up = play("upgrade", tmp_path / "up", version="v1.4.0", **inside)
        assert up.code == 0, up.said[-5000:]
        none_began_while_they_rested(shop)
    assert shop.health() == {}
    assert shopstate.version(shop) == "v1.4.0"
    assert b"ECOMMUS_WORKERS=true" in file.read_bytes()
    assert last_run(shop)["facts"]["workers"]["running"] == 2
    assert up.report(NAME)["services"]["api"]["failed"] == 0
    all_jobs_end_well(shop)
    report = up.report(NAME)
    assert [notice for notice in report["notices"] if notice.startswith("THE MAINTENANCE WINDOW IS STILL OPEN.")]
    assert (tmp_path / "window").read_text() == "open\n"
    assert report["manual_steps"] == ["Re-import the niche-package preset (super-admin, Plans) to get the return reasons."]
    assert "JWT_SECRET, use JWT_PRIVATE_KEY_FILE and JWT_KEY_ID (removed in 2.0.0)" in report["deprecations"]
    assert up.said.count("Re-import the niche-package preset") >= 3  # in the plan, at the end, on the last screen
