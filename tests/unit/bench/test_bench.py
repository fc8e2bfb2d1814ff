"""What the bench makes of what it saw; that it sees anything is shown by running it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(REPO / "tests/bench"), str(REPO / "tests/lab")]

import bench  # noqa: E402
import measure  # noqa: E402


def results(ours: float, documented: float, **more: Any) -> bench.Results:
    def part(seconds: float) -> dict[str, Any]:
        return {"upgrade": {"wall_seconds": seconds, "problems": []}}

    return {"documented": part(documented), "stock": part(documented), "ours": {"upgrade": {**part(ours)["upgrade"], **more}}}


@pytest.mark.parametrize(
    ("ours", "more", "code", "said"),
    [
        (107.0, {}, 0, "wall time, ours / documented: 1.07 (bar 1.30)"),
        (130.0, {}, 0, "wall time, ours / documented: 1.30 (bar 1.30)"),
        (131.0, {}, 1, "wall time, ours / documented: 1.31 (bar 1.30)"),
        (50.0, {"problems": ["the workers do not run"]}, 1, "wall time, ours / documented: 0.50 (bar 1.30)"),
    ],
)
def test_the_verdict(ours: float, more: dict[str, Any], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.verdict(results(ours, 100.0, **more)) == code
    assert capsys.readouterr().out.strip() == said


def test_a_procedure_that_did_not_do_its_work_is_no_measure() -> None:
    measured = results(100.0, 100.0)
    measured["documented"]["upgrade"]["problems"] = ["exit code 1"]
    assert bench.verdict(measured) == 1


def test_the_table_has_a_dash_for_what_was_not_measured() -> None:
    text = bench.table(results(50.0, 100.0))
    rows = {line[:36].strip(): line[36:].split() for line in text.splitlines()}
    assert rows["wall time of the upgrade"] == ["1.00", "0.50", "0.50"]
    assert rows["rollback time"] == ["-", "-", "-"]
    json.dumps(bench.ratios(results(50.0, 100.0)))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def hear(monkeypatch: pytest.MonkeyPatch, *lines: tuple[float, str]) -> dict[str, float]:
    clock = Clock()
    monkeypatch.setattr(measure, "time", clock)
    steps = measure.Steps()
    for at, line in lines:
        clock.now = at
        steps.hear(line)
    steps.close()
    return {name: seconds for name, seconds in steps.seconds.items() if seconds}


def test_a_script_names_a_step_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hear(monkeypatch, (1, "== npm ci"), (6, "added 3 packages"), (9, "== builds"), (13, "done")) == {
        "start": 1,
        "npm ci": 8,
        "builds": 4,
    }


def test_a_task_lasts_until_its_result_also_where_its_name_comes_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the strategies free and host_pinned, Ansible prints a task's name with its result."""
    linear = [(1, "TASK [one] ****"), (4, "changed: [shop]"), (4, "TASK [two] ***"), (9, "ok: [shop]")]
    pinned = [(4, "TASK [one] ****"), (4, "changed: [shop]"), (9, "TASK [two] ***"), (9, "ok: [shop]")]
    assert hear(monkeypatch, *linear) == {"one": 4, "two": 5}
    assert hear(monkeypatch, *pinned) == {"one": 4, "two": 5}


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        ([(0, True)], None),
        ([(0, True), (5, False)], None),
        ([(0, True), (5, False), (7, True)], 2),
        ([(0, True), (5, False), (7, True), (8, False), (9, True)], 4),  # a reload that starts stopped workers
    ],
)
def test_the_change_window_ends_with_the_last_start(seen: list[tuple[float, bool]], seconds: float | None) -> None:
    watcher = object.__new__(measure.Watcher)
    watcher.workers = seen
    assert watcher.window() == seconds
