"""What counts as working workers, from pm2's table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _report, _workers


def pm2(*states: str) -> Any:
    return SimpleNamespace(table=lambda name: [SimpleNamespace(status=state) for state in states if name == "workers"])


@pytest.mark.parametrize(
    ("states", "running", "note"),
    [
        (["online", "online"], 2, ""),
        (["online", "stopped"], 1, ""),
        (["waiting restart"], 1, ""),
        (["stopped"], 0, "workers was stopped when the run began"),
        (["stopped", "errored"], 0, "workers was errored and stopped when the run began"),
        ([], 0, "pm2 did not know workers when the run began"),
    ],
)
def test_what_counts_as_working(states: list[str], running: int, note: str) -> None:
    assert _workers.observe(pm2(*states), "workers") == {"process": "workers", "running": running, "note": note}


def test_a_shop_without_workers_has_nothing_to_tell() -> None:
    assert _workers.observe(pm2("online"), "") == {"process": "", "running": 0, "note": ""}


def test_the_report_says_why_the_workers_rest() -> None:
    facts = {"workers": _workers.observe(pm2("stopped"), "workers")}
    report = _report.build("shop", "upgrade", {"facts": facts}, {}, "", "")
    assert report["notices"] == ["the workers are left as they were: workers was stopped when the run began"]
    assert _report.build("shop", "upgrade", {}, {}, "", "")["notices"] == []
