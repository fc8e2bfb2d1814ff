"""One pm2 daemon per shop, in a PM2_HOME of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from . import commands, processes
from .config import LabConfig, Shop
from .tools import environment


class Pm2:
    """Runs pm2 for one shop, with an environment in which nothing of ours can leak into the processes."""

    def __init__(self, config: LabConfig, shop: Shop) -> None:
        self.config = config
        self.shop = shop

    def __call__(self, *arguments: str, timeout: float = 120) -> str:
        # Every pm2 command starts a daemon where there is none, and greets over the network in a new home
        # unless this file is there (pm2 7.0.4, lib/API.js).
        home = self.shop.pm2_home
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "touch").touch()
        env = environment(self.config, PM2_HOME=str(home), PM2_DISCRETE_MODE="1", NO_COLOR="1")
        return commands.run([str(self.config.bin / "pm2"), *arguments], self.shop.directory, env, timeout)

    def start(self, ecosystem: Path) -> None:
        """Starts the shop's processes and keeps the list for ``pm2 resurrect``."""
        self("start", str(ecosystem))
        self("save")
        # pm2 writes every process's environment into it, readable for all (measured, 7.0.4).
        for dump in self.shop.pm2_home.glob("dump.pm2*"):
            dump.chmod(0o600)

    def processes(self) -> list[dict[str, Any]]:
        """What ``pm2 jlist`` says; starts no daemon."""
        if self.daemon() is None:
            return []
        for line in self("-s", "jlist").splitlines():
            if line.startswith(("[{", "[]")):
                found: list[dict[str, Any]] = json.loads(line)
                return found
        return []

    def daemon(self) -> int | None:
        """Pid of the shop's daemon, if the process of that number is really it."""
        try:
            pid = int((self.shop.pm2_home / "pm2.pid").read_text())
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except (FileNotFoundError, PermissionError, ProcessLookupError, ValueError):
            return None
        return pid if os.fsencode(f"PM2_HOME={self.shop.pm2_home}") in environ else None

    def kill(self) -> None:
        """Ends the daemon and everything it started, also what its own list has lost."""
        pid = self.daemon()
        if pid is None:
            return
        children = _children(pid)
        try:
            self("kill")
        finally:
            processes.end([pid, *children])


def _children(parent: int) -> list[int]:
    try:
        tasks = Path(f"/proc/{parent}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
