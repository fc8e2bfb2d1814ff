# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talks to the pm2 daemon of one user. Reading never starts a daemon; acting has a deadline and a scrubbed environment.

pm2's exit codes and check marks are not believed here or by any caller: what happened is read from the process table
and from /proc afterwards.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _files, _pm2_rpc, _pm2_table, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result, clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# NO_COLOR and PM2_DISCRETE_MODE keep notices out of the answer (pm2 7.0.4 lib/Client.js); they never reach a process of the shop.
_QUIET = {"NO_COLOR": "1", "PM2_DISCRETE_MODE": "true"}
_RPC_TIMEOUT = 10.0  # seconds; an answer takes milliseconds, a host under load some hundred of them
_RESURRECT_TIMEOUT = 300.0  # seconds; pm2 starts the processes two at a time and waits until each is ready
_RELOAD_LOCK = 30.0  # seconds that pm2 honours its reload.lock (pm2 7.0.4 constants.js: RELOAD_LOCK_TIMEOUT)


@dataclasses.dataclass(frozen=True)
class Pm2:
    """A pm2 installation and the daemon of one PM2_HOME.

    :param home: PM2_HOME, absolute.
    :param path_prefix: directories in front of PATH in which ``pm2`` and ``node`` are looked for first.
    :param secrets_file: an environment file that the processes read themselves.
    """

    home: str
    path_prefix: tuple[str, ...] = ()
    secrets_file: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every pm2 command; nothing of the deploy shell beyond what any program needs."""
        return clean_environment({"PM2_HOME": self.home, **_QUIET}, self.path_prefix)

    @property
    def rpc_socket(self) -> str:
        return os.path.join(self.home, "rpc.sock")

    @property
    def daemon_log(self) -> str:
        return os.path.join(self.home, "pm2.log")

    @property
    def dump(self) -> str:
        """The list of processes that ``pm2 save`` writes."""
        return os.path.join(self.home, "dump.pm2")

    def program(self, name: str) -> str:
        """Where *name* (``pm2``, ``node``) is.

        :raises EcommusError: when it is nowhere in PATH.
        """
        found = shutil.which(name, path=self.environment["PATH"])
        if found is None:
            raise EcommusError(f"{name} is not in PATH of this user", f"name the directory of the shop's own {name} in path_prefix")
        return found

    @property
    def package(self) -> str:
        """The directory of pm2's own package, behind the ``pm2`` command.

        :raises EcommusError: when the command is not the one that npm installs.
        """
        directory = os.path.dirname(os.path.realpath(self.program("pm2")))
        while directory != "/":
            with contextlib.suppress(OSError, ValueError), open(os.path.join(directory, "package.json"), encoding="utf-8") as file:
                if json.load(file).get("name") == "pm2":
                    return directory
            directory = os.path.dirname(directory)
        raise EcommusError(
            f"{self.program('pm2')} is a wrapper, not pm2 itself", "put the directory of the real pm2 command first in path_prefix"
        )

    @property
    def command_version(self) -> str:
        """Version of the pm2 command, read from its package: asking it would start a daemon."""
        with open(os.path.join(self.package, "package.json"), encoding="utf-8") as file:
            return str(json.load(file)["version"])

    @property
    def daemon_version(self) -> str:
        """Version of the running daemon, which differs after pm2 was updated without ``pm2 update``."""
        return str(_pm2_rpc.call(self.rpc_socket, "getVersion", {}, timeout=_RPC_TIMEOUT))

    def daemon_pid(self) -> int:
        """The process id of the living daemon.

        :raises EcommusError: when there is none, or it belongs to somebody else. Nothing is started.
        """
        pid = self.living()
        if pid is None:
            raise EcommusError(
                f"no pm2 daemon for {self.home}",
                "start pm2 as the user that owns the shop (`pm2 resurrect`), or correct pm2_home or become_user",
            )
        owner = os.stat(f"/proc/{pid}").st_uid
        if owner != os.geteuid():
            raise EcommusError(
                f"the pm2 daemon of {self.home} belongs to uid {owner}, this runs as uid {os.geteuid()}",
                "set become_user to the user that owns the shop",
            )
        return pid

    def living(self) -> int | None:
        """The process id in ``pm2.pid``, unless that process is gone."""
        try:
            with open(os.path.join(self.home, "pm2.pid"), encoding="ascii") as file:
                pid = int(file.read().strip())
        except (OSError, ValueError):
            return None
        return pid if _process.alive(pid) and os.path.exists(self.rpc_socket) else None

    def raw(self) -> list[dict[str, t.Any]]:
        """The whole table, secrets and all: for :mod:`_pm2_table` only."""
        self.daemon_pid()
        try:
            return t.cast("list[dict[str, t.Any]]", _pm2_rpc.call(self.rpc_socket, "getMonitorData", {}, timeout=_RPC_TIMEOUT))
        except _pm2_rpc.RpcError:
            self.daemon_pid()  # it may have died over the question, and the command would start an empty one
            return _pm2_table.parse_jlist(run([self.program("pm2"), "-s", "jlist"], env=self.environment, timeout=20).output)

    def table(self, name: str | None = None) -> list[_pm2_table.Entry]:
        """The processes that pm2 knows, all or those called *name*."""
        return [entry for entry in _pm2_table.entries(self.raw()) if name is None or entry.name == name]

    def secrets(self) -> set[str]:
        """What no output may quote: of what pm2 gives the processes, and of what they read themselves.

        :raises EcommusError: when that is not known.
        """
        read = _dotenv.secrets(_dotenv.read(self.secrets_file)) if self.secrets_file else []
        return _pm2_table.secrets(self.raw()).union(read)

    def orphans(self) -> list[_process.ProcessInfo]:
        """Children of the daemon that its table does not know: they may still answer on a port, and no pm2 command reaches them."""
        known = {process["pid"] for process in self.raw()}
        return [child for child in _process.children(self.daemon_pid()) if child.pid not in known]

    def command(self, *arguments: str, timeout: float) -> Result:
        """Run ``pm2`` with *arguments* against the living daemon; the caller judges by the table, not by the answer.

        :param timeout: seconds; the command hangs for ever when the daemon dies under it.
        """
        self.daemon_pid()
        return run([self.program("pm2"), *arguments], env=self.environment, cwd="/", timeout=timeout)

    def end(self, action: str, pm_id: int, timeout: float) -> None:
        """``stop`` or ``delete`` one process; returns when the daemon says that it has ended.

        :param timeout: seconds; the daemon waits for as long as ``kill_timeout`` of the process.
        """
        try:
            _pm2_rpc.call(self.rpc_socket, f"{action}ProcessId", pm_id, timeout=timeout)
        except _pm2_rpc.RpcError:
            self.command(action, str(pm_id), timeout=timeout)

    def reload(self, pm_id: int, timeout: float) -> Result:
        """``pm2 reload`` one id; waits out the lock that another reload of this daemon holds, or that a killed one left behind."""
        deadline = time.monotonic() + _RELOAD_LOCK + 5
        while True:
            result = self.command("reload", str(pm_id), timeout=timeout)
            if "already in progress" not in result.output + result.error or time.monotonic() > deadline:
                return result
            time.sleep(1)

    def resurrect(self) -> bool:
        """Start a daemon in the place of one that died, with the processes that were saved last.

        One that knows no process although some were saved is none either: any pm2 command starts such a one, as by a cron job.

        :returns: whether there was none; the daemon of somebody else is left alone.
        :raises EcommusError: when there is no saved list, or its processes are not in the table afterwards.
        """
        path = self.dump
        saved = sorted(saved_names(path))
        if self.living() is not None and (self.table() or not saved):
            return False
        if not saved:
            raise EcommusError(f"no pm2 daemon for {self.home}, and no list of processes in {path}", "start the shop's processes by hand")
        with self.lock():
            result = run([self.program("pm2"), "resurrect"], env=self.environment, cwd="/", timeout=_RESURRECT_TIMEOUT)
        if sorted(entry.name for entry in self.table()) != saved:
            raise EcommusError(f"`pm2 resurrect` did not bring back what {path} lists: {result.tail(3)}", "look at pm2.log")
        return True

    def save(self) -> str:
        """Write the process list that ``pm2 resurrect`` restores, readable by its owner only; returns its path.

        pm2 writes it world-readable, with every secret of every process in it.

        :raises EcommusError: when the file is not the table afterwards.
        """
        path = self.dump
        previous = os.umask(0o077)
        try:
            self.command("save", timeout=30)
        finally:
            os.umask(previous)
        for name in (path, f"{path}.bak"):
            with contextlib.suppress(FileNotFoundError):
                os.chmod(name, 0o600)
        if sorted(saved_names(path)) != sorted(entry.name for entry in self.table()):
            raise EcommusError(f"`pm2 save` did not write the running processes to {path}", "look at pm2.log, then run `pm2 save` by hand")
        return path

    @contextlib.contextmanager
    def lock(self, timeout: float = 30) -> t.Iterator[None]:
        """Hold this PM2_HOME for oneself: two changes at once leave processes that nobody counts.

        :raises EcommusError: when another run does not let go within *timeout* seconds.
        """
        descriptor = os.open(os.path.join(self.home, "ecommus.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            busy = EcommusError(f"another run is changing the processes of {self.home}", "wait until it has ended, then run this again")
            _files.hold(descriptor, timeout, busy)
            yield
        finally:
            os.close(descriptor)


def saved_names(path: str) -> list[str]:
    """Names of the processes in the dump file *path*; none when there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return [str(process["name"]) for process in json.load(file)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
