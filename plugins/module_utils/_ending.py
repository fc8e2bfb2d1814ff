# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends processes and proves that they ended: out of pm2's table, out of /proc, by themselves and not by SIGKILL."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import signal
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _pm2_logs, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

_MARGIN = 10.0  # seconds for pm2 itself on top of a process's own time to end
_CLOCK = 0.05  # seconds; the kernel counts start times in hundredths of a second
_KILLED = re.compile(r"Process with pid (\d+) still alive after \d+ms, sending SIGKILL")  # pm2 7.0.4 lib/God/Methods.js processIsDead


def stop(pm2: Pm2, entries: t.Sequence[Entry], *, allow_killed: bool = False) -> list[int]:
    """Stop *entries*, all at once; they stay in the table, and pm2 does not start them again. The process ids of those that it had to kill.

    :param allow_killed: whether it may kill them, as services that are given up. One that works at a job must not be cut off.
    :raises EcommusError: when one did not end, or pm2 had to kill it.
    """
    killed = _end(pm2, "stop", entries)
    now = {line.pm_id: line for line in pm2.table()}
    for entry in entries:
        line = now.get(entry.pm_id)
        if line is None or not line.stopped:
            raise EcommusError(
                f"{entry.name} (id {entry.pm_id}) is {line.status if line else 'gone'} instead of stopped",
                "look at pm2.log, then run this again",
                process=entry.name,
            )
    for entry in entries:
        if entry.pid in killed and not allow_killed:
            raise EcommusError(
                f"{entry.name} (id {entry.pm_id}, pid {entry.pid}) did not end within {entry.kill_timeout_ms} ms and was killed by pm2",
                "what it was working on is cut off: check it; raise kill_timeout in the ecosystem file above the longest job",
                process=entry.name,
                killed=killed,
            )
    return killed


def delete(pm2: Pm2, entries: t.Sequence[Entry], *, quiet: float = 0.1) -> list[int]:
    """Stop *entries*, all at once, and take them out of pm2's table; the process ids of those that pm2 had to kill.

    :param quiet: seconds for which they must stay out of the table: pm2 may start a crashing process once more while it is being
        deleted (Unitech/pm2 issue 6129).
    :raises EcommusError: when one is still there afterwards, in the table or in /proc.
    """
    killed: list[int] = []
    seen, began = list(entries), time.time()
    for _attempt in range(3):
        left = _still_listed(pm2, entries)
        killed += _end(pm2, "delete", left)
        seen += left
        if _stay_away(pm2, entries, quiet):
            break
    bury(pm2, seen, since=began)
    for entry in _still_listed(pm2, entries):
        raise EcommusError(
            f"{entry.name} (id {entry.pm_id}) is still in pm2's table after `pm2 delete`",
            "look at pm2.log, then run `pm2 delete` by hand",
            process=entry.name,
        )
    return killed


def bury(pm2: Pm2, entries: t.Collection[Entry], *, since: float | None = None) -> None:
    """Kill what lives on of *entries* as orphans: still children of the daemon, but unknown to its table.

    :param since: seconds since the epoch; orphans that started after it are meant too. When pm2 7 is told to delete a process that has
        not said yet that it is ready, it takes the end of it for a crash, starts it again and forgets the new one (pm2 7.0.4
        lib/God.js executeApp: an exit before the ready callback sets the status back to online, and handleExit restarts).
    """
    pids = {entry.pid for entry in entries}
    first, second = pm2.orphans(), {orphan.pid for orphan in pm2.orphans()}  # twice: a restart between two readings is none
    meant = [o.pid for o in first if o.pid in pids or (since is not None and o.started >= since - _CLOCK)]
    orphans = [pid for pid in meant if pid in second]
    for pid in orphans:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _process.wait_gone(orphans, 5)


def _still_listed(pm2: Pm2, entries: t.Collection[Entry]) -> list[Entry]:
    ids = {entry.pm_id for entry in entries}
    return [line for line in pm2.table() if line.pm_id in ids]


def _stay_away(pm2: Pm2, entries: t.Collection[Entry], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not _still_listed(pm2, entries):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    return False


def _end(pm2: Pm2, action: str, entries: t.Sequence[Entry]) -> list[int]:
    """Let pm2 *action* all *entries* at the same time; the process ids of those that it had to kill."""
    if not entries:
        return []
    seconds = max(entry.kill_timeout_ms for entry in entries) / 1000 + _MARGIN
    before = _pm2_logs.size(pm2.daemon_log)
    with concurrent.futures.ThreadPoolExecutor(len(entries)) as pool:
        list(pool.map(lambda entry: pm2.end(action, entry.pm_id, seconds + _MARGIN), entries))
    late = _process.wait_gone([entry.pid for entry in entries], seconds)
    for entry in entries:
        if entry.pid in late:
            raise EcommusError(
                f"{entry.name} (id {entry.pm_id}, pid {entry.pid}) did not end within {seconds:.0f} s",
                "look at what it is doing, then end it by hand",
                process=entry.name,
            )
    killed = {int(pid) for pid in _KILLED.findall(_pm2_logs.read_from(pm2.daemon_log, before))}
    return [entry.pid for entry in entries if entry.pid in killed]
