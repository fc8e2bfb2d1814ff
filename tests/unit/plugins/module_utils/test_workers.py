"""What counts as working workers, from pm2's table."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _report, _workers
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


def pm2(*states: str, given: str | None = None) -> Any:
    table = [SimpleNamespace(status=state, variable={_workers.SWITCH: given}.get) for state in states]
    return SimpleNamespace(table=lambda name: table if name == "workers" else [])


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
    found = _workers.observe(pm2(*states), "process", "workers")
    assert found == {"mode": "process", "process": "workers", "running": running, "note": note}


def test_a_shop_without_workers_has_nothing_to_tell() -> None:
    for mode, process in (("process", ""), ("none", "workers")):
        assert _workers.observe(pm2("online"), mode, process) == {"mode": mode, "process": process, "running": 0, "note": ""}


@pytest.mark.parametrize(
    ("given", "in_file", "running"),
    [
        (None, "ECOMMUS_WORKERS=true\n", 2),
        (None, "ECOMMUS_WORKERS=false\n", 0),
        (None, "", 0),
        ("false", "ECOMMUS_WORKERS=true\n", 0),  # the variable goes before the file
        ("true", "ECOMMUS_WORKERS=false\n", 2),
    ],
)
def test_the_api_works_as_its_environment_says(tmp_path: Path, given: str | None, in_file: str, running: int) -> None:
    file = tmp_path / ".env"
    file.write_text(in_file)
    found = _workers.observe(pm2("online", "online", "stopped", given=given), "api", "workers", str(file))
    assert found["running"] == running
    assert found["note"] == ("" if running else "workers ran without them (ECOMMUS_WORKERS) when the run began")
    _workers.check(found, working=running > 0)
    with pytest.raises(EcommusError) as caught:
        _workers.check(found, working=running == 0)
    assert caught.value.message == f"the workers {'still work in 2 processes of workers' if running else 'do not work'}"
    assert "look at ECOMMUS_WORKERS" in caught.value.remedy


def test_without_a_file_the_api_works_as_its_own_variable_says() -> None:
    assert [_workers.observe(pm2("online", given=given), "api", "workers")["running"] for given in ("true", None)] == [1, 0]


def test_the_report_says_why_the_workers_rest() -> None:
    facts = {"workers": _workers.observe(pm2("stopped"), "process", "workers")}
    report = _report.build("shop", "upgrade", {"facts": facts}, {}, "", "")
    assert report["notices"] == ["the workers are left as they were: workers was stopped when the run began"]
    assert _report.build("shop", "upgrade", {}, {}, "", "")["notices"] == []
