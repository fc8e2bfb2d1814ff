# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the collection with the documented procedure, on the shops of the lab, in one run.

Three contenders upgrade the same shops, and roll them back: the procedure typed as a shell script, one shop after the
other as a person does it, a playbook of stock modules that does the same, and the collection. Before each the shops are
reset; during each the first one is in use, and what its customers notice is measured. Printed are ratios, since a single
time says more about the machine than about the contender, and counts.

Exit code 1: the collection took longer than the bar allows, or a contender did not do its work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/lab"), str(REPO / "playbooks/collections")]

from contenders import FROM, TO, Contender, contenders, environment, shell  # noqa: E402
from ecommus_lab.commands import run  # noqa: E402
from ecommus_lab.config import DEFAULT_ORDERS, FLAVOURS, LabConfig, LabError  # noqa: E402
from ecommus_lab.lab import Lab, write_private  # noqa: E402
from ecommus_lab.running import RunningShop  # noqa: E402
from ecommus_lab.tools import environment as lab_environment  # noqa: E402
from measure import Data, stretch  # noqa: E402

BAR = 1.30  # wall time of the upgrade, ours / documented

# Measured in each: (label, of the upgrade or the rollback, key).
RATIOS = (
    ("wall time of the upgrade", "upgrade", "wall_seconds"),
    ("change window", "upgrade", "window_seconds"),
    ("rollback time", "rollback", "wall_seconds"),
    ("controller CPU", "upgrade", "cpu_seconds"),
    ("bytes dumped per second", "upgrade", "dump_bytes_per_second"),
)
COUNTS = (
    ("requests failed in the upgrade", "upgrade", "requests_failed"),
    ("  of", "upgrade", "requests"),
    ("orders refused in the upgrade", "upgrade", "orders_refused"),
    ("requests failed in the rollback", "rollback", "requests_failed"),
    ("  of", "rollback", "requests"),
    ("orders refused in the rollback", "rollback", "orders_refused"),
    ("orders missing after the rollback", "rollback", "orders_missing"),
    ("  in no other database either", "rollback", "orders_lost"),
    ("columns, migrations left over", "rollback", "schema_left_over"),
)
Results = dict[str, dict[str, dict[str, Any]]]


def main() -> int:
    options = _options()
    try:
        with _lab(options) as lab, tempfile.TemporaryDirectory(prefix="ecommus-bench-") as scratch:
            results = bench(lab, Path(scratch), rollback=not options.quick)
            path = options.output or lab.config.home / "bench" / f"{time.strftime('%Y%m%dT%H%M%S')}-{options.flavour}.json"
            said = {"flavour": lab.state["flavour"], "orders": lab.state["orders"], "ratios": ratios(results), "counts": counts(results)}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**said, "evidence": results}, indent=2) + "\n")
            _keep_logs(Path(scratch), path.with_suffix(".logs"))
    except LabError as error:
        print(f"[bench] ERROR: {error}", file=sys.stderr)
        return 1
    print(table(results))
    print(f"\nall figures: {path}")
    return verdict(results)


def bench(lab: Lab, scratch: Path, rollback: bool) -> Results:
    """Let each contender do its work; returns what was measured of each."""
    shops = list(lab.shops.values())
    shop = shops[0]  # the one that is in use
    env = environment(lab)
    _warm_up(lab, shop, scratch)
    results: Results = {}
    for contender in contenders(lab, shops, scratch):
        lab.reset(keep_files=True)
        if contender.prepare:
            _say(f"{contender.name}: what is done once, not measured")
            run(list(contender.prepare), REPO, env)
        data = Data(lab, shop)
        measured: dict[str, dict[str, Any]] = {}
        for operation, argv, version in _operations(contender, rollback):
            _say(f"{contender.name}: {operation}")
            directory = scratch / contender.name / operation
            measured[operation] = stretch(lab, shop, argv, env, REPO, directory)
            measured[operation]["problems"] = _problems(shops, version, measured[operation]["code"])
            for problem in measured[operation]["problems"]:
                _say(f"{contender.name}: {operation}: {problem}")
            if measured[operation]["code"]:
                print(*(directory / "output.log").read_text().splitlines()[-25:], sep="\n  ", file=sys.stderr)
                break
        if "rollback" in measured:
            accepted = sum(part["orders_accepted"] for part in measured.values())
            measured["rollback"].update(data.after_rollback(accepted))
        results[contender.name] = measured
    return results


def _operations(contender: Contender, rollback: bool) -> Iterator[tuple[str, list[str], str]]:
    yield "upgrade", list(contender.upgrade), TO
    if rollback:
        yield "rollback", list(contender.rollback), FROM


def _problems(shops: list[RunningShop], version: str, code: int) -> list[str]:
    """What is not as it should be after a contender's work, whatever it says itself."""
    found = [f"exit code {code}"] if code else []
    for shop in shops:
        installed: str = json.loads((shop.root / "package.json").read_text())["version"]
        if f"v{installed}" != version:
            found.append(f"{shop.name}: v{installed} is installed instead of {version}")
        found += [f"{shop.name}: {problem}" for problem in shop.wait_healthy(30)]
    return found


def _warm_up(lab: Lab, shop: RunningShop, scratch: Path) -> None:
    """Install the packages of the new release once, so that the first contender does not fill npm's cache for the others."""
    _say(f"warming npm's cache with {TO}")
    directory = scratch / "warm"
    run(
        ["git", "clone", "--quiet", "--depth", "1", "--branch", TO, f"file://{lab.vendor.remote}", str(directory)],
        scratch,
        environment(lab),
    )
    # Over SSH like the contenders, whose npm settings are the host's.
    facts = f"PATH={lab.config.bin}:$PATH NPM_REGISTRY_TOKEN={shop.secrets.npm_token}"
    run(shell(lab, shop, f"cd {directory} && {facts} npm ci --silent"), scratch, lab_environment(lab.config))


def ratio(results: Results, contender: str, operation: str, key: str, base: str = "documented") -> float | None:
    """How a contender's figure compares with that of *base*; None where one is missing."""
    values = [results.get(name, {}).get(operation, {}).get(key) for name in (contender, base)]
    return round(values[0] / values[1], 3) if values[0] is not None and values[1] else None


def ratios(results: Results) -> dict[str, dict[str, float | None]]:
    return {
        label: {
            "stock / documented": ratio(results, "stock", operation, key),
            "ours / documented": ratio(results, "ours", operation, key),
            "ours / stock": ratio(results, "ours", operation, key, "stock"),
        }
        for label, operation, key in RATIOS
    }


def counts(results: Results) -> list[dict[str, Any]]:
    return [
        {"what": label, **{name: parts.get(operation, {}).get(key) for name, parts in results.items()}} for label, operation, key in COUNTS
    ]


def table(results: Results) -> str:
    """The answer for people."""
    columns = ("stock / documented", "ours / documented", "ours / stock")
    lines = [f"\n{'ratios':<36}" + "".join(f"{name:>20}" for name in columns)]
    for label, values in ratios(results).items():
        lines.append(f"{label:<36}" + "".join(f"{_cell(values[name], '.2f'):>20}" for name in columns))
    lines.append(f"\n{'counts':<36}" + "".join(f"{name:>20}" for name in results))
    for row in counts(results):
        lines.append(f"{row['what']:<36}" + "".join(f"{_cell(row[name], 'd'):>20}" for name in results))
    return "\n".join(lines)


def verdict(results: Results) -> int:
    """The line by which the collection is judged, and the exit code."""
    problems = [
        f"{name}: {operation}: {problem}"
        for name, parts in results.items()
        for operation, part in parts.items()
        for problem in part["problems"]
    ]
    for problem in problems:
        print(f"[bench] {problem}", file=sys.stderr)
    found = ratio(results, "ours", "upgrade", "wall_seconds")
    print(f"wall time, ours / documented: {_cell(found, '.2f')} (bar {BAR:.2f})")
    # The others may end badly, that is their result; ours may not, and without a fair run of the procedure nothing is proven.
    spoilt = any(part["problems"] for part in results["ours"].values()) or results["documented"]["upgrade"]["problems"]
    return 1 if found is None or found > BAR or spoilt else 0


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


@contextlib.contextmanager
def _lab(options: argparse.Namespace) -> Iterator[Lab]:
    """The running lab, or one of our own for this run."""
    config = LabConfig.from_environment()
    began = not config.state_file.exists()
    lab = Lab.up(config, flavour=options.flavour, shops=options.shops, orders=options.orders)
    try:
        yield lab
    finally:
        if began:
            lab.down()


def _keep_logs(scratch: Path, target: Path) -> None:
    """Keep what each contender said and what the prober heard; the secrets in the scratch directory stay behind."""
    for log in (*scratch.glob("*/*/output.log"), *scratch.glob("*/*/prober/requests.jsonl")):
        copy = target / "-".join(log.relative_to(scratch).parts)
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_private(copy, log.read_text())


def _say(text: str) -> None:
    print(f"[bench] {text}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flavour", choices=FLAVOURS, default="full", help="of the lab's shops (%(default)s)")
    parser.add_argument("--shops", type=lambda text: text.split(","), help="names, where the lab is started now (all)")
    parser.add_argument("--orders", type=int, default=DEFAULT_ORDERS, help="in the shop, where the lab is started now (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="no rollbacks")
    parser.add_argument("--output", type=Path, help="JSON file for all figures (default: below .lab/bench)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
