"""One pm2 daemon per shop, in a PM2_HOME of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

from . import commands, processes
from .accounts import Account, give
from .config import LabConfig, Shop
from .tools import environment


class Pm2:
    """Runs pm2 for one shop, with an environment in which nothing of ours can leak into the processes."""

    def __init__(self, config: LabConfig, shop: Shop, owner: Account | None = None) -> None:
        self.config = config
        self.shop = shop
        self.owner = owner

    def __call__(self, *arguments: str, timeout: float = 120) -> str:
        # Every pm2 command starts a daemon where there is none, and greets over the network in a new home
        # unless this file is there (pm2 7.0.4, lib/API.js).
        home = self.shop.pm2_home
        if not (home / "touch").exists():
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            (home / "touch").touch()
            give(home, self.owner)
        env = environment(self.config, PM2_HOME=str(home), PM2_DISCRETE_MODE="1", NO_COLOR="1")
        return commands.run([str(self.config.bin / "pm2"), *arguments], self.shop.directory, env, timeout, self.owner)

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
            return pid if self._marked(Path(f"/proc/{pid}")) else None
        except (FileNotFoundError, PermissionError, ProcessLookupError, ValueError):
            return None

    def kill(self) -> None:
        """Ends the daemon at once, then everything it started, also what its own list has lost."""
        daemon = self.daemon()
        if daemon is not None:
            processes.end([daemon], signal.SIGKILL)  # first, or it would start the others anew
        processes.end(self._processes_of_home(), signal.SIGKILL)

    def _processes_of_home(self) -> list[int]:
        """Our node's processes with this PM2_HOME; the shell of somebody who looks at the shop is none."""
        node = (self.config.tools / "node/bin/node").resolve()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, PermissionError, ProcessLookupError):
                if (entry / "exe").readlink() == node and self._marked(entry):
                    found.append(int(entry.name))
        return found

    def _marked(self, entry: Path) -> bool:
        return os.fsencode(f"PM2_HOME={self.shop.pm2_home}") in (entry / "environ").read_bytes().split(b"\0")
