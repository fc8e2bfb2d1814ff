"""The workers come back to exactly what they were before the first attempt of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import shopstate
from ecommus_lab.config import WORKERS
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop
from interruption import Running, last_run, phase
from playbook import play

pytestmark = pytest.mark.lab

NAME = "boreal"
BAD_PROBE = {"ecommus_storefront_probe_url": "https://boreal.test/no-such-route"}  # found out when all has been replaced


@pytest.fixture
def shop(fresh_shop: Callable[[str], RunningShop]) -> RunningShop:
    """The operator has stopped the workers."""
    shop = fresh_shop(NAME)
    shop.pm2("stop", shop.shop.processes[WORKERS].name)
    return shop


def resting(shop: RunningShop) -> bool:
    """The services are well, the workers stand still."""
    return shop.health() == {} and not shop.workers_running()


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


def test_stopped_workers_stay_stopped_when_an_upgrade_fails(shop: RunningShop, tmp_path: Path) -> None:
    failed = play("upgrade", tmp_path, limit=NAME, version="v1.4.0", **BAD_PROBE)
    assert failed.code != 0
    assert last_run(shop)["outcome"] == "rolled_back", failed.said[-5000:]
    assert shopstate.version(shop) == "v1.3.2"
    assert resting(shop)


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
