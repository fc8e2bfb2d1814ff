# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a command from outside, whoever it is: nothing here relies on what a contender says of itself."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _prober_control as prober_control
from ansible_collections.mdlabs.ecommus.plugins.module_utils._prober import Plan, Target
from ecommus_lab.config import WORKERS
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop, WriteLoad

RATE = 20  # requests per second over the four services
ORDERS_PER_SECOND = 5
TIMEOUT = 1800  # seconds for one command
TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\]")
RESULT = re.compile(r"^(?:ok|changed|skipping|included|fatal|failed): ")
STEP = re.compile(r"^== (.*)")
# What pg_dump calls itself on the server: by itself, and when the collection starts it.
DUMPS = """
    SELECT count(*), pg_database_size(%(name)s) FROM pg_stat_activity
    WHERE datname = %(name)s AND application_name ~ '^(pg_dump|ecommus [0-9a-f]{16})$'"""
# Names of the tables and columns, and of the migrations that the ledgers know.
SCHEMA = """
    SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'core ' || name FROM _ecommus_core_migrations
    UNION ALL SELECT plugin || ' ' || name FROM _ecommus_plugin_migrations"""
_LOOK = 0.05  # seconds between two looks at the workers and at pg_dump


class Watcher:
    """Looks, twenty times a second, whether the workers live and whether a dump is being made; a context manager."""

    def __init__(self, lab: Lab, shop: RunningShop) -> None:
        self.workers: list[tuple[float, bool]] = []
        self.dump_seconds = 0.0
        self.database_bytes = 0
        self._pids = shop.shop.pm2_home / "pids"
        self._pattern = f"{shop.shop.processes[WORKERS].name}-*.pid"
        self._name = shop.shop.database.name
        self._connection = lab.postgres.connect()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)
        self._connection.close()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(_LOOK):
            now = time.monotonic()
            alive = self._workers_alive()
            if not self.workers or self.workers[-1][1] != alive:
                self.workers.append((now, alive))
            row = self._connection.execute(DUMPS, {"name": self._name}).fetchone()
            if row and row[0]:
                self.dump_seconds += now - before
                self.database_bytes = max(self.database_bytes, row[1])
            before = now

    def _workers_alive(self) -> bool:
        for path in self._pids.glob(self._pattern):
            try:
                os.kill(int(path.read_text()), 0)
            except (OSError, ValueError):
                continue
            return True
        return False

    def window(self) -> float | None:
        """Seconds from the first stop of the workers to their last start; None when they were never seen to stop and start."""
        stops = [at for at, alive in self.workers if not alive]
        starts = [at for at, alive in self.workers if alive and stops and at > stops[0]]
        return starts[-1] - stops[0] if starts else None

    def report(self) -> dict[str, Any]:
        return {
            "window_seconds": self.window(),
            "dump_seconds": self.dump_seconds,
            "dump_bytes_per_second": self.database_bytes / self.dump_seconds if self.dump_seconds else None,
        }


class Steps:
    """Seconds of each step, told from when its lines come: a script names a step before it, Ansible's results come after a task."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._name = "start"
        self._since = time.monotonic()

    def hear(self, line: str) -> None:
        """Take note of a line that was just printed."""
        task, step = TASK.match(line), STEP.match(line)
        if step or RESULT.match(line):
            self.close()
        if task or step:
            self._name = (task or step).group(1)  # type: ignore[union-attr]

    def close(self) -> None:
        """Give the time since the last close to the step that was named last."""
        now = time.monotonic()
        self.seconds[self._name] = round(self.seconds.get(self._name, 0.0) + now - self._since, 2)
        self._since = now


def command(argv: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> dict[str, Any]:
    """Run *argv*, its output into *log*; returns wall and CPU seconds here and the seconds of each step that it named."""
    cpu, began, steps = _cpu(), time.monotonic(), Steps()
    with (
        log.open("w") as copy,
        subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as process,
    ):
        deadline = threading.Timer(TIMEOUT, process.kill)
        deadline.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                copy.write(line)
                steps.hear(line)
            code = process.wait()
        finally:
            deadline.cancel()
    steps.close()
    return {"code": code, "wall_seconds": time.monotonic() - began, "cpu_seconds": _cpu() - cpu, "steps": steps.seconds}


def _cpu() -> float:
    """CPU seconds of the children that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stretch(lab: Lab, shop: RunningShop, argv: Sequence[str], env: Mapping[str, str], cwd: Path, directory: Path) -> dict[str, Any]:
    """Run a command on a shop that is in use, and return all that was measured.

    :param directory: where the command's output and the prober's log go; new.
    """
    directory.mkdir(parents=True)
    pid = prober_control.start(str(directory / "prober"), plan(lab, shop))
    try:
        with Watcher(lab, shop) as watcher, WriteLoad(shop, per_second=ORDERS_PER_SECOND) as load:
            measured = command(argv, cwd, env, directory / "output.log")
    finally:
        prober_control.stop(str(directory / "prober"), pid, patience=20)
    receipt = prober_control.read(str(directory / "prober"))
    return {
        **measured,
        **watcher.report(),
        "requests": receipt["totals"]["requests"],
        "requests_failed": receipt["totals"]["failed"],
        "longest_gap_ms": receipt["totals"]["longest_gap_ms"],
        "failures": {name: figures["gaps"] for name, figures in receipt["targets"].items() if figures["failed"]},
        "orders_accepted": len(load.accepted),
        "orders_refused": len(load.refused),
    }


def plan(lab: Lab, shop: RunningShop) -> Plan:
    """What the prober asks: the four services, as a visitor would."""
    host = lab.state["inventory"][shop.name]
    where = {"resolve": host["ecommus_resolve"], "ca_path": host["ecommus_ca_path"]}
    targets = [
        Target(
            name=service["name"],
            url=service["health_url"],
            expect_json=service.get("expect_json", {}),
            expect_text=service.get("expect_text", ""),
            **where,
        )
        for service in host["ecommus_services"]
    ]
    return Plan(targets=targets, rate=RATE, max_seconds=TIMEOUT + 60)


class Data:
    """What becomes of a shop's data from now on: of its customers' orders, and of what a rollback should have undone."""

    def __init__(self, lab: Lab, shop: RunningShop) -> None:
        self._lab, self._shop = lab, shop
        self._last = int(shop.query("SELECT coalesce(max(id), 0) FROM orders")[0][0])
        self._schema = set(shop.query(SCHEMA))

    def after_rollback(self, accepted: int) -> dict[str, int]:
        """How many of *accepted* orders the shop has no more, and how many of those no database of the server has;
        how many columns and migrations are there that were not before, or are not there any more.

        After a restore numbers are given out again; number and time together tell one order from another.
        """
        database = self._shop.shop.database
        live = self._new_orders(database.name)
        kept = set(live)
        for name in self._lab.postgres.databases_of(database.role):
            kept |= self._new_orders(name)
        return {
            "orders_missing": max(0, accepted - len(live)),
            "orders_lost": max(0, accepted - len(kept)),
            "schema_left_over": len(set(self._shop.query(SCHEMA)) ^ self._schema),
        }

    def _new_orders(self, name: str) -> set[tuple[int, Any]]:
        with self._lab.postgres.connect(name) as connection:
            return set(connection.execute("SELECT id, placed_at FROM orders WHERE id > %s", [self._last]).fetchall())
