"""A shop in use that something happens to, and what must be true of it afterwards, seen from outside."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import shopstate
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ecommus_lab.config import WORKERS, Process
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop, WriteLoad
from interruption import Running, below, command_line, last_run, state
from playbook import Outcome, play

NEW = "v1.4.0"
OLD = "v1.3.2"
ORDERS_PER_SECOND = 3


class Scene:
    """One shop, fresh, with customers who order all the time."""

    def __init__(self, lab: Lab, name: str, runs: Path) -> None:
        lab.reset([name])
        self.lab = lab
        self.name = name
        self.shop: RunningShop = lab.shop(name)
        self.runs = runs
        runs.mkdir(parents=True)
        self.ledgers, self.columns, self.env = shopstate.ledgers(self.shop), shopstate.columns(self.shop), self.env_file.read_bytes()
        self.load = WriteLoad(self.shop, per_second=ORDERS_PER_SECOND)
        self.started: list[Running] = []
        self.attempts = 0
        self.workers = True  # whether the operator has them at work
        self.undo = contextlib.ExitStack()  # what a test does to the lab, taken back whatever happens
        self.load.__enter__()

    @property
    def env_file(self) -> Path:
        return self.shop.root / ".env"

    @property
    def _at_work(self) -> list[Process]:
        return [process for service, process in self.shop.shop.processes.items() if self.workers or service != WORKERS]

    @property
    def last_run(self) -> dict[str, Any]:
        return last_run(self.shop)

    # --- what an operator does ---------------------------------------------------------------------

    def upgrade(self, version: str = NEW, **variables: object) -> Outcome:
        """The playbook, to its end."""
        return self._play("upgrade", version=version, **variables)

    def rollback(self, **variables: object) -> Outcome:
        return self._play("rollback", **variables)

    def start(self, version: str = NEW, playbook: str = "upgrade", **variables: object) -> Running:
        """The playbook in the background."""
        self.attempts += 1
        running = Running(self.lab, playbook, self.runs / f"attempt{self.attempts}", limit=self.name, version=version, **variables)
        self.started.append(running)
        return running

    def _play(self, playbook: str, **variables: object) -> Outcome:
        self.attempts += 1
        return play(playbook, self.runs / f"attempt{self.attempts}", limit=self.name, **variables)

    # --- what happens to a host --------------------------------------------------------------------

    def reboot(self) -> None:
        """All processes of the shop are gone at once, and come back as the boot script has it (``pm2 resurrect``)."""
        self.shop.pm2.kill()
        self.shop.pm2("resurrect")

    def daemons(self) -> list[int]:
        with contextlib.suppress(OSError, ValueError):
            return [int((self.shop.shop.pm2_home / "pm2.pid").read_text())]
        return []

    def running_from(self, version: str) -> list[int]:
        """What pm2 runs from the directory of that release, by the kernel."""
        return [
            child.pid
            for daemon in self.daemons()
            for child in _process.children(daemon)
            if Path(child.cwd or "/").is_relative_to(self.shop.root.resolve().parent) and f"/{version}-" in f"{child.cwd}"
        ]

    # --- what must be true afterwards --------------------------------------------------------------

    def serves(self, version: str, outcome: str | None = None, *, data: str | None = None) -> None:
        """Everything that is asked of a shop that should serve *version* now, with the data of *data* (default: of the same)."""
        assert [problem for problem in self.shop.wait_healthy(20 if self.workers else 0) if self.workers or "workers" not in problem] == []
        self._runs_only(version)
        self._is_as_the_operator_knows_it()
        self._data_is_of(data or version)
        self._nothing_is_left_over()
        self._no_order_is_lost()
        if outcome is not None:
            assert self.last_run["outcome"] == outcome, self.last_run

    def _runs_only(self, version: str) -> None:
        assert shopstate.version(self.shop) == version
        serving = shopstate.serving(self.shop)
        assert set(serving) == {process.name for process in self._at_work}
        home = str(self.shop.root.resolve())
        for name, directories in serving.items():
            assert all(directory.startswith(home) for directory in directories), (name, directories, home)

    def _is_as_the_operator_knows_it(self) -> None:
        """Names and numbers of the processes, by pm2's table and by what it will bring back at the next boot."""
        wanted = {process.name: process.instances for process in self._at_work}
        online = [process["name"] for process in self.shop.processes() if process["pm2_env"]["status"] == "online"]
        assert {name: online.count(name) for name in online} == wanted
        wanted = {process.name: process.instances for process in self.shop.shop.processes.values()}
        saved = [process["name"] for process in json.loads((self.shop.shop.pm2_home / "dump.pm2").read_text())]
        assert {name: saved.count(name) for name in saved} == wanted

    def _data_is_of(self, version: str) -> None:
        ledgers = shopstate.ledgers(self.shop)
        if version == OLD:
            assert shopstate.columns(self.shop) == self.columns
            assert [[row[1:] for row in ledger] for ledger in ledgers] == [[row[1:] for row in ledger] for ledger in self.ledgers]
            assert self.env_file.read_bytes() == self.env
            return
        for before, after in zip(self.ledgers, ledgers, strict=True):
            assert set(before) <= set(after)
            names = [row[1:3] for row in after]
            assert len(names) == len(set(names)), "a migration was applied twice"

    def _nothing_is_left_over(self) -> None:
        assert not (state(self.shop) / "lock").exists()
        assert not (state(self.shop) / "lock_limit.json").exists()
        limits = self.shop.query("SELECT unnest(setconfig) FROM pg_db_role_setting")
        assert not [limit for (limit,) in limits if "lock_timeout" in limit], limits
        pm2s = {pid for daemon in self.daemons() for pid in below(daemon)}
        strays = [pid for pid in self._pids_at_work() if pid not in pm2s]
        deadline = time.monotonic() + 10  # one that ends just now may end
        while strays and time.monotonic() < deadline:
            time.sleep(0.2)
            strays = [pid for pid in strays if _process.alive(pid)]
        assert not strays, [_process.inspect(pid) for pid in strays]

    def _pids_at_work(self) -> list[int]:
        """What works in the shop's directory, and what a playbook of this scene has started and left, such as a prober."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                in_the_shop = str((entry / "cwd").resolve()).startswith(f"{self.shop.shop.directory}/")
                if in_the_shop or f"{self.runs}/" in command_line(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def _no_order_is_lost(self) -> None:
        """Every order that the shop acknowledged is in the live database, or in the file for people to look at."""
        self.load.__exit__(None, None, None)
        accepted = set(self.load.accepted)
        assert accepted, self.load.refused[:3]
        there = {number for (number,) in self.shop.query("SELECT id FROM orders")}
        kept: set[int] = set()
        for review in self.shop.shop.snapshot_dir.glob("*.review.jsonl"):
            for line in review.read_text().splitlines():
                row = json.loads(line)
                if row.get("table") in {"orders", "public.orders"}:
                    kept.add(int(row["row"]["id"]))
        assert accepted <= there | kept, sorted(accepted - there - kept)

    def close(self) -> None:
        self.load.__exit__(None, None, None)
        self.undo.close()
        for running in self.started:
            if running.process.poll() is None:
                running.kill_everything()
