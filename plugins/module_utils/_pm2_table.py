# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pm2's process table: the few fields that can be trusted and shown.

pm2 keeps the whole environment of every process in its table, each secret of it twice. So nothing but the fields of
:class:`Entry` ever leaves this file, and what is known to lie is left out: ``instances`` (count the entries instead),
``cwd`` (``pm_cwd`` is the one in force), ``versioning`` (absent since pm2 7).
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# pm2 7.0.4 constants.js: KILL_TIMEOUT and GRACEFUL_LISTEN_TIMEOUT, in force when a process does not set its own
DEFAULT_KILL_TIMEOUT_MS = 1600
DEFAULT_LISTEN_TIMEOUT_MS = 3000

_MODES = {"cluster_mode": "cluster", "cluster": "cluster", "fork_mode": "fork", "fork": "fork"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of pm2's table. ``pid`` is 0 when nothing runs; times ending in ``_ms`` are milliseconds.

    ``started_ms`` is the time of this start since the epoch; ``restarts`` counts since the entry was made. ``cwd`` and ``script`` are
    as pm2 was given them, with links unresolved: that is what a restart resolves anew.
    """

    name: str
    pm_id: int
    pid: int
    status: str
    exec_mode: str
    instance: int | None
    started_ms: int
    restarts: int
    unstable_restarts: int
    exit_code: int | None
    cwd: str
    script: str
    version: str | None
    node_version: str | None
    namespace: str
    wait_ready: bool
    listen_timeout_ms: int
    kill_timeout_ms: int
    autorestart: bool
    merge_logs: bool
    cron_restart: str | None
    watch: bool
    out_log: str | None
    error_log: str | None
    memory_bytes: int

    @property
    def online(self) -> bool:
        """pm2 believes that it runs."""
        return self.status == "online" and self.pid > 0

    def variable(self, name: str) -> str | None:
        """What the running process was given as the environment variable *name*, None when nothing."""
        given = _process.environment(self.pid)
        try:  # in cluster mode pm2 hands everything over in one variable (pm2 7.0.4 lib/God/ClusterMode.js, lib/ProcessContainer.js)
            handed = json.loads(given.get("pm2_env", "{}"))
        except ValueError:
            handed = {}
        value = handed.get(name, given.get(name))
        return None if value is None else str(value)

    @property
    def stopped(self) -> bool:
        """It stands still because somebody stopped it; a crashed process is ``errored`` or ``waiting restart``."""
        return self.status == "stopped" and self.pid == 0

    def shown(self) -> dict[str, t.Any]:
        """What a module returns of it, the kernel's view of the process included."""
        info = _process.inspect(self.pid) if self.pid else None
        return {
            **dataclasses.asdict(self),
            "started": datetime.datetime.fromtimestamp(self.started_ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "real_cwd": info.cwd if info else None,
            "real_script": os.path.realpath(self.script),
            "follows_link": os.path.realpath(self.script) != self.script,
        }


def parse_jlist(output: str) -> list[dict[str, t.Any]]:
    """The raw table out of what ``pm2 jlist`` printed; pm2 puts notices in front of it, on the same stream.

    :raises EcommusError: when there is no table in it; the output is not quoted, it may hold secrets.
    """
    for line in reversed(output.splitlines()):
        if line == "[]" or line.startswith("[{"):
            try:
                return t.cast("list[dict[str, t.Any]]", json.loads(line))
            except ValueError:
                break
    raise EcommusError("`pm2 jlist` printed no process table", "run it by hand as the user that owns the shop, and see whether pm2 answers")


def entries(raw: t.Iterable[t.Mapping[str, t.Any]]) -> list[Entry]:
    """The table as :class:`Entry` objects, pm2's own modules (such as pm2-logrotate) left out, by ascending id.

    :raises EcommusError: when a line is not as every pm2 that is known writes it.
    """
    try:
        return sorted((_entry(process) for process in raw if not process["pm2_env"].get("pmx_module")), key=lambda entry: entry.pm_id)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EcommusError(
            f"pm2's process table has a line that cannot be read ({type(error).__name__})", "report the version of pm2 to this project"
        ) from None


def secrets(raw: t.Iterable[t.Mapping[str, t.Any]]) -> set[str]:
    """Values of the processes' environments that must not appear in a log excerpt."""
    found: set[str] = set()
    for process in raw:
        environment = process["pm2_env"].get("env")
        for key, value in (environment if isinstance(environment, dict) else {}).items():
            if isinstance(value, str) and _is_secret(key):
                found.add(value)
    return found


def _is_secret(key: str) -> bool:
    return any(part in key.upper() for part in ("SECRET", "TOKEN", "PASS", "KEY", "JWT", "CREDENTIAL", "_URL", "DSN", "AUTH"))


def _entry(process: t.Mapping[str, t.Any]) -> Entry:
    env = process["pm2_env"]
    monit = process.get("monit") or {}
    return Entry(
        name=str(process["name"]),
        pm_id=int(process["pm_id"]),
        pid=_number(process.get("pid"), 0),
        status=str(env.get("status", "unknown")),
        exec_mode=_MODES.get(str(env.get("exec_mode")), "fork"),
        instance=_number(env.get("NODE_APP_INSTANCE"), None),
        started_ms=_number(env.get("pm_uptime"), 0),
        restarts=_number(env.get("restart_time"), 0),
        unstable_restarts=_number(env.get("unstable_restarts"), 0),
        exit_code=_number(env.get("exit_code"), None),
        cwd=str(env.get("pm_cwd", "")),
        script=str(env.get("pm_exec_path", "")),
        version=_text(env.get("version")),
        node_version=_text(env.get("node_version")),
        namespace=str(env.get("namespace", "default")),
        wait_ready=env.get("wait_ready") in (True, "true"),
        listen_timeout_ms=_number(env.get("listen_timeout"), DEFAULT_LISTEN_TIMEOUT_MS),
        kill_timeout_ms=_number(env.get("kill_timeout"), DEFAULT_KILL_TIMEOUT_MS),
        autorestart=env.get("autorestart") not in (False, "false"),
        merge_logs=env.get("merge_logs") in (True, "true"),
        cron_restart=_text(env.get("cron_restart")),
        watch=bool(env.get("watch")),
        out_log=_text(env.get("pm_out_log_path")),
        error_log=_text(env.get("pm_err_log_path")),
        memory_bytes=_number(monit.get("memory"), 0),
    )


_D = t.TypeVar("_D")


def _number(value: t.Any, default: _D) -> int | _D:
    try:
        return int(value)
    except (TypeError, ValueError):
        return default


def _text(value: t.Any) -> str | None:
    return value if isinstance(value, str) and value else None
