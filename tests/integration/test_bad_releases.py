"""Releases that must not go live: the play fails and says why, and nobody but the operator notices."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import shopstate
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ecommus_lab.config import WORKERS
from ecommus_lab.running import RunningShop
from playbook import play

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("version", "says", "data_back"),
    [
        ("v1.4.1-crash", r"api of the release crashed at boot \(exit code 1\).*no pool for", True),
        pytest.param("v1.4.1-hang", r"api of the release hangs at boot: it does not listen", False, marks=pytest.mark.exhaustive),
        ("v1.4.1-500", r"api of the release answers /api/storefront/categories badly: status 500", False),
        pytest.param("v1.4.1-lies", r"should be v1\.4\.1-lies and says .* that it is v1\.4\.0", False, marks=pytest.mark.exhaustive),
    ],
)
def test_a_bad_release_ends_before_anything_live_is_touched(
    fresh_shop: Callable[[str], RunningShop], tmp_path: Path, version: str, says: str, data_back: bool
) -> None:
    shop = fresh_shop("aurora")
    before, schema = shopstate.identity(shop), shopstate.columns(shop)
    outcome = play("upgrade", tmp_path, limit="aurora", version=version, ecommus_prober_rate=20, rollback_data=data_back)
    assert outcome.code != 0
    report = outcome.report("aurora")
    assert report["outcome"] == "failed", outcome.said[-5000:]
    assert re.search(says, report["problem"]), report["problem"]
    assert shop.secrets.database_password not in outcome.said + str(report)
    assert shop.wait_healthy(10) == []

    after = shopstate.identity(shop)
    assert (after["version"], after["env"]) == (before["version"], before["env"])
    assert [name for name, _pid in after["pids"]] == [name for name, _pid in before["pids"]]
    serving = shopstate.serving(shop)
    assert set(serving) == {process.name for process in shop.shop.processes.values()}  # the workers are back
    assert all(f"/{before['version']}-" in directory for directories in serving.values() for directory in directories), serving
    assert not list(shop.shop.base.glob(f"releases/{version}-*"))
    assert_no_service_was_replaced(shop, report)

    # All of aurora runs in cluster mode. What is left is the moment in which the databases change places, where they do.
    assert report["requests"] > 100
    if data_back:
        assert (after["ledgers"], shopstate.columns(shop)) == (before["ledgers"], schema)
        failed = [line["t"] for line in asked(tmp_path) if line.get("ok") is False]
        assert not failed or failed[-1] - failed[0] < 1.0, failed
    else:
        assert report["requests_failed"] == 0, report["services"]


def assert_no_service_was_replaced(shop: RunningShop, report: dict) -> None:
    """Every process of a service is older than the phase in which the release was to go live."""
    (activate,) = (phase for phase in report["evidence"]["run"]["phases"] if phase["name"] == "activate")
    began = datetime.datetime.fromisoformat(activate["started"].replace("Z", "+00:00")).timestamp()
    for process in shop.processes():
        info = _process.inspect(process["pid"])
        assert info is not None
        if process["name"] != shop.shop.processes[WORKERS].name:
            assert info.started < began + 1, process["name"]  # the journal has whole seconds


def asked(runs: Path) -> list[dict]:
    """What the prober has seen."""
    (log,) = runs.glob("**/requests.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]
