# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an upgrade that failed when the release was live takes to have the old release serve alone again.

From the moment in which the task that fails ends, until all processes of the services run from the old release, the four
services are healthy and, where the schema was changed, the database is the old one. Seen from outside, with customers who
place orders. Measured for a release without migrations (only the code goes back) and for one with (the data go back as
well), on databases of two sizes.

Exit code 1: it took longer than the bars allow, or longer on the larger database.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / path) for path in ("tests/lab", "tests/integration", "tests/unit/plugins", "tests", "playbooks/collections")]

import shopstate  # noqa: E402
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process  # noqa: E402
from ecommus_lab.config import DEFAULT_ORDERS, SERVICES, LabConfig, LabError  # noqa: E402
from ecommus_lab.lab import Lab  # noqa: E402
from ecommus_lab.running import RunningShop, WriteLoad  # noqa: E402
from interruption import Running, last_run, phase  # noqa: E402

SHOP = "boreal"  # the API in cluster mode, the other services in fork mode
OLD = "v1.3.2"
RELEASES = {"code only": "v1.3.3", "with data": "v1.4.0"}
BARS = {"code only": 5.0, "with data": 10.0}  # seconds
RATIO = 1.5  # of the larger database to the smaller one, with data: more is not noise any more
PLUGIN = "@northstar/loyalty"
_LOOK = 0.05  # seconds


class Watcher(threading.Thread):
    """Looks again and again whether the old release serves alone, and notes when that becomes so."""

    def __init__(self, shop: RunningShop) -> None:
        super().__init__(daemon=True)
        self.since: float | None = None
        self._shop = shop
        self._ledgers = shopstate.ledgers(shop)
        self._wanted = sum(shop.shop.processes[name].instances for name in SERVICES)
        self._home = str(shop.root.resolve())
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_LOOK):
            began = time.monotonic()
            if not self._old_alone():
                self.since = None
            elif self.since is None:
                self.since = began

    def stop(self) -> None:
        self._ended.set()
        self.join(20)

    def _old_alone(self) -> bool:
        """The processes first, for that costs least. The workers rest meanwhile, or are from the old release too."""
        directories = self._directories()
        if len(directories) < self._wanted or not all(directory.startswith(self._home) for directory in directories):
            return False
        with contextlib.suppress(Exception):  # the database may just change its name
            return self._shop.health() == {} and shopstate.ledgers(self._shop) == self._ledgers
        return False

    def _directories(self) -> list[str]:
        with contextlib.suppress(OSError, ValueError):
            daemon = int((self._shop.shop.pm2_home / "pm2.pid").read_text())
            return [child.cwd for child in _process.children(daemon) if child.cwd and "/releases/" in child.cwd]
        return []


def measure(lab: Lab, version: str, runs: Path) -> dict[str, Any]:
    """One upgrade that fails in its proof: seconds until the old release served alone, and those of each task until the end."""
    lab.reset([SHOP], keep_files=True)
    shop = lab.shop(SHOP)
    watcher, log = Watcher(shop), runs.with_name(f"{runs.name}.log")
    with WriteLoad(shop, per_second=3) as load:
        running = Running(lab, "upgrade", runs, limit=SHOP, version=version)
        running.until(lambda: phase(shop) == "activate")
        watcher.start()
        with shop.connect() as connection:  # the comparison of the plugins does not let that pass
            connection.execute("INSERT INTO settings (key, value) VALUES (%s, 'false')", [f"plugin:{PLUGIN}:enabled"])
        running.until(lambda: "fatal: " in log.read_text())
        failed = time.monotonic()
        outcome = running.outcome()
        watcher.stop()
    run = last_run(shop)
    problems = [] if run["outcome"] == "rolled_back" else [f"it ended as {run['outcome']}: {outcome.said[-2000:]}"]
    problems += shop.wait_healthy(20)
    if watcher.since is None or watcher.since < failed:
        problems.append("the old release never served alone again")
        return {"seconds": None, "problems": problems}
    lost = set(load.accepted) - {number for (number,) in shop.query("SELECT id FROM orders")}
    problems += [f"{len(lost)} orders are lost"] if lost else []
    return {"seconds": round(watcher.since - failed, 2), "orders_refused": len(load.refused), "problems": problems}


def main() -> int:
    options = _options()
    results: dict[str, dict[int, dict[str, Any]]] = {what: {} for what in RELEASES}
    try:
        for orders in options.orders:
            lab = _lab(orders)
            try:
                with tempfile.TemporaryDirectory(prefix="ecommus-way-back-") as scratch:
                    for what, version in RELEASES.items():
                        tries = []
                        for number in range(options.repeat):
                            tries.append(measure(lab, version, Path(scratch) / f"{version}-{number}"))
                            _say(f"{orders} orders, {what}: {json.dumps(tries[-1])}")
                        # The machine only ever adds to the time: the quickest says most about the collection.
                        results[what][orders] = min(tries, key=lambda one: (len(one["problems"]), one["seconds"] or 0))
            finally:
                lab.down()
    except LabError as error:
        print(f"[way back] ERROR: {error}", file=sys.stderr)
        return 1
    return verdict(results)


def verdict(results: dict[str, dict[int, dict[str, Any]]]) -> int:
    """Print what was measured; the exit code."""
    bad = [problem for sizes in results.values() for one in sizes.values() for problem in one["problems"]]
    sizes_of = "".join(f"{orders:>12,}" for orders in results["with data"])
    print(f"\n{'from the failed gate to the old release alone':<48}{sizes_of}  ratio")
    for what, sizes in results.items():
        seconds = [one["seconds"] for one in sizes.values()]
        if None in seconds:
            print(f"{what:<48}" + "".join(f"{value or '-':>12}" for value in seconds))
            continue
        ratio = seconds[-1] / seconds[0]
        print(f"{what:<48}" + "".join(f"{value:>10.2f} s" for value in seconds) + f"{ratio:>7.2f}")
        bad += [f"{what}: {value:.2f} s, the bar is {BARS[what]:.0f} s" for value in seconds if value > BARS[what]]
        if what == "with data" and ratio > RATIO:
            bad.append(f"{what}: {ratio:.2f} times as long on the larger database, the bar is {RATIO}")
    for problem in bad:
        print(f"[way back] {problem}", file=sys.stderr)
    return 1 if bad else 0


def _lab(orders: int) -> Lab:
    """A lab of our own with that many orders in the shop."""
    config = LabConfig.from_environment()
    if config.state_file.exists():
        raise LabError("a lab runs already: stop it first (make lab-down), this needs two, one after the other")
    return Lab.up(config, flavour="light", shops=[SHOP], orders=orders)


def _say(text: str) -> None:
    print(f"[way back] {text}", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, nargs=2, default=[DEFAULT_ORDERS, 4 * DEFAULT_ORDERS], help="the two sizes (%(default)s)")
    parser.add_argument("--repeat", type=int, default=2, help="how often each is measured; the quickest counts (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
