# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends processes and proves that they ended: out of pm2's table, out of /proc, by themselves and not by SIGKILL."""

from __future__ import annotations

import os
import re
import signal
import time

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _pm2_logs, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

_MARGIN = 10.0  # seconds for pm2 itself on top of a process's own time to end
_KILLED = re.compile(r"Process with pid (\d+) still alive after \d+ms, sending SIGKILL")  # pm2 7.0.4 lib/God/Methods.js processIsDead


def stop(pm2: Pm2, entry: Entry) -> None:
    """Stop *entry*; it stays in the table, and pm2 does not start it again.

    :raises EcommusError: when it did not end, or pm2 had to kill it.
    """
    killed = _end(pm2, "stop", entry)
    now = {line.pm_id: line for line in pm2.table()}.get(entry.pm_id)
    if now is None or not now.stopped:
        raise EcommusError(
            f"{entry.name} (id {entry.pm_id}) is {now.status if now else 'gone'} instead of stopped", "look at pm2.log, then run this again"
        )
    if killed:
        raise EcommusError(
            f"{entry.name} (id {entry.pm_id}, pid {entry.pid}) did not end within {entry.kill_timeout_ms} ms and was killed by pm2",
            "what it was working on is cut off: check it; raise kill_timeout in the ecosystem file above the longest job",
            process=entry.name,
            killed=[entry.pid],
        )


def delete(pm2: Pm2, entry: Entry) -> bool:
    """Stop *entry* and take it out of pm2's table; whether pm2 had to kill it.

    :raises EcommusError: when it is still there afterwards, in the table or in /proc.
    """
    killed = False
    for _ in range(2):  # pm2 may start a crashing process once more while it is being deleted: Unitech/pm2 issue 6129
        current = {line.pm_id: line for line in pm2.table()}.get(entry.pm_id)
        if current is None:
            break
        killed = _end(pm2, "delete", current) or killed
        time.sleep(0.1)
    else:
        if any(line.pm_id == entry.pm_id for line in pm2.table()):
            raise EcommusError(
                f"{entry.name} (id {entry.pm_id}) is still in pm2's table after `pm2 delete`",
                "look at pm2.log, then run `pm2 delete` by hand",
            )
    bury(pm2, entry.pid)
    return killed


def bury(pm2: Pm2, pid: int) -> None:
    """Kill *pid* if it lives on as an orphan: still a child of the daemon, but unknown to its table."""
    if any(orphan.pid == pid for orphan in pm2.orphans()):
        os.kill(pid, signal.SIGKILL)
        _process.wait_gone([pid], 5)


def _end(pm2: Pm2, action: str, entry: Entry) -> bool:
    seconds = entry.kill_timeout_ms / 1000 + _MARGIN
    before = _pm2_logs.size(pm2.daemon_log)
    pm2.command(action, str(entry.pm_id), timeout=seconds + _MARGIN)
    if entry.pid and _process.wait_gone([entry.pid], seconds):
        raise EcommusError(
            f"{entry.name} (id {entry.pm_id}, pid {entry.pid}) did not end within {seconds:.0f} s",
            "look at what it is doing, then end it by hand",
        )
    return bool(entry.pid) and str(entry.pid) in _KILLED.findall(_pm2_logs.read_from(pm2.daemon_log, before))
