"""A playbook at work in the background, what it is doing, and how it is interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecommus_lab import processes
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop
from playbook import Outcome, command

PATIENCE = 600  # seconds


def state(shop: RunningShop) -> Path:
    """The state directory of the install."""
    return Path(f"{shop.root}.d") / "state"


def runs(shop: RunningShop) -> list[dict[str, Any]]:
    """All in the journal of the install, oldest first."""
    try:
        found: list[dict[str, Any]] = json.loads((state(shop) / "journal.json").read_text())["runs"]
    except FileNotFoundError:
        return []
    return found


def last_run(shop: RunningShop) -> dict[str, Any]:
    """The newest run in the journal of the install."""
    return (runs(shop) or [{"phases": [], "facts": {}, "outcome": ""}])[-1]


def phase(shop: RunningShop) -> str:
    """The phase that the newest run has entered last."""
    name: str = (last_run(shop)["phases"] or [{"name": ""}])[-1]["name"]
    return name


def below(pid: int) -> list[int]:
    """*pid* and all its descendants, oldest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):  # once: it is asked for again and again
        with contextlib.suppress(OSError):
            parent = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1]
            children.setdefault(int(parent), []).append(int(entry.name))
    found = [pid]
    for parent_pid in found:
        found += children.get(parent_pid, [])
    return found


def kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def modules_on_the_host(lab: Lab) -> list[int]:
    """All that the SSH server of the lab has started. What pm2 runs is not below it."""
    daemon = processes.running(lab.sshd.pid_file)
    return below(daemon)[1:] if daemon else []


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def program(pid: int) -> str:
    """The name of what runs as *pid*."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class Running:
    """A playbook at work in the background."""

    def __init__(self, lab: Lab, playbook: str, runs: Path, *, limit: str, **variables: object) -> None:
        argv, env, cwd = command(playbook, runs, limit=limit, **variables)
        self._lab, self._runs = lab, runs
        self._log = runs.parent / f"{runs.name}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def until(self, reached: Callable[[], object]) -> None:
        """Wait for a moment of the run."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert self.process.poll() is None, f"it ended before that\n{self._log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, "that did not come"
            time.sleep(0.02)

    def kill_controller(self) -> None:
        """ansible-playbook with all that it has started, at once; a module on the host goes on alone."""
        kill(below(self.process.pid))
        self.process.wait(10)

    def kill_everything(self) -> None:
        self.kill_controller()
        self.kill_connections()

    def kill_connections(self) -> None:
        """All that came to the host over SSH, as when it reboots; the controller lives and finds it unreachable."""
        kill(modules_on_the_host(self._lab))

    def kill_module(self) -> None:
        """The module at work on the host, with what it has started; the controller lives and sees it fail."""
        # Not the shells that SSH started it by: when they are killed as well, the controller takes the host for unreachable.
        pids = modules_on_the_host(self._lab)
        kill([pid for top in pids if program(top).startswith("python") for pid in below(top)])

    def outcome(self) -> Outcome:
        """Wait for the end."""
        code = self.process.wait(PATIENCE * 3)
        return Outcome(code, self._log.read_text(), self._runs)
