"""The scene of each fault, and the table of all."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from aftermath import Scene
from ecommus_lab.lab import Lab
from ecommus_lab.pytest_plugin import lab  # noqa: F401  (fixture)

TABLE = pytest.StashKey[dict[str, dict[str, Any]]]()


@pytest.fixture
def make_scene(lab: Lab, tmp_path: Path) -> Iterator[Callable[..., Scene]]:  # noqa: F811
    """``make_scene("aurora")``: a shop as the lab first made it, in use from now on."""
    made: list[Scene] = []

    def give(name: str = "boreal") -> Scene:
        made.append(Scene(lab, name, tmp_path / f"scene{len(made)}"))
        return made[-1]

    yield give
    for scene in made:
        scene.close()


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    """The shop boreal: releases layout, API in cluster mode, the other services in fork mode, a name that needs quoting."""
    return make_scene("boreal")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = {}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if Path(__file__).parent not in item.path.parents:
        return
    row = item.config.stash[TABLE].setdefault(
        item.nodeid.split("::", 1)[1], {"group": item.path.stem.removeprefix("test_"), "broken": False, "seconds": 0.0}
    )
    row["seconds"] = round(row["seconds"] + report.duration, 1)
    if report.skipped:
        row["skipped"] = str(report.longrepr[-1]).removeprefix("Skipped: ")
    if report.failed:
        row["broken"] = True
        row["why"] = str(report.longrepr)[-2000:]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line, and the table beside the lab. The quick run is no table of all, and does not take the place of one."""
    table = config.stash.get(TABLE, {})
    if not table:
        return
    path = config.rootpath / ".lab" / ("faults-quick.json" if config.option.markexpr == "quick" else "faults.json")
    path.parent.mkdir(exist_ok=True)
    rows = [{"fault": name, **row} for name, row in table.items()]
    path.write_text(json.dumps({"ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "faults": rows}, indent=2) + "\n")
    print(f"\ntable: {path.relative_to(config.rootpath)}\n{total(rows)}")


def total(rows: list[dict[str, Any]]) -> str:
    """``N faults, M broken``, and how many of others were not made, and why not."""
    skipped = [row["skipped"] for row in rows if "skipped" in row]
    line = f"{len(rows) - len(skipped)} faults, {sum(row['broken'] for row in rows)} broken"
    return f"{line}, {len(skipped)} skipped: {'; '.join(sorted(set(skipped)))}" if skipped else line
