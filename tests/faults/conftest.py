"""The scene of each fault, and the table of all."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from aftermath import Scene
from ecommus_lab.config import LabConfig
from ecommus_lab.lab import Lab
from ecommus_lab.pytest_plugin import lab  # noqa: F401  (fixture)

PORTS = 100  # that a lab may use
_table: dict[str, dict[str, Any]] = {}


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
    worker = getattr(config, "workerinput", {}).get("workerid", "gw0")  # of pytest-xdist
    if worker != "gw0":
        _use_another_lab(int(worker.removeprefix("gw")))


def _use_another_lab(number: int) -> None:
    """Each process breaks the shops of a lab of its own; the programs are those of the first one."""
    first = LabConfig.from_environment()
    home = first.home / f"lab{number + 1}"
    home.mkdir(exist_ok=True)
    if not (home / "tools").is_symlink():
        (home / "tools").symlink_to("../tools")
    os.environ.update(ECOMMUS_LAB_HOME=str(home), ECOMMUS_LAB_PORT=str(first.port + PORTS * number))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.nodeid.startswith("tests/faults/"):
        return
    path, _separator, name = report.nodeid.partition("::")
    row = _table.setdefault(name, {"group": Path(path).stem.removeprefix("test_"), "broken": False, "seconds": 0.0})
    row["seconds"] = round(row["seconds"] + report.duration, 1)
    if report.skipped:
        row["skipped"] = str(report.longrepr[-1]).removeprefix("Skipped: ")  # type: ignore[index]
    if report.failed:
        row["broken"] = True
        row["why"] = str(report.longrepr)[-2000:]


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line, and the table beside the lab. The quick run is no table of all, and does not take the place of one."""
    if not _table or hasattr(config, "workerinput"):
        return
    path = config.rootpath / ".lab" / ("faults-quick.json" if config.option.markexpr == "quick" else "faults.json")
    path.parent.mkdir(exist_ok=True)
    rows = [{"fault": name, **row} for name, row in _table.items()]
    path.write_text(json.dumps({"ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "faults": rows}, indent=2) + "\n")
    print(f"\ntable: {path.relative_to(config.rootpath)}\n{total(rows)}")


def total(rows: list[dict[str, Any]]) -> str:
    """``N faults, M broken``, and how many of others were not made, and why not."""
    skipped = [row["skipped"] for row in rows if "skipped" in row]
    line = f"{len(rows) - len(skipped)} faults, {sum(row['broken'] for row in rows)} broken"
    return f"{line}, {len(skipped)} skipped: {'; '.join(sorted(set(skipped)))}" if skipped else line
