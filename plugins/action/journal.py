# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the module journal which process of the controller asks, and whether the holder of a lock has ended.

Only the controller can know that: the holder was a process of this machine and user, and is no more.
"""

from __future__ import annotations

import getpass
import os
import socket
import typing as t

from ansible.plugins.action import ActionBase
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock import Controller, boot_id


def this_controller() -> Controller:
    """This playbook run. Tasks run in processes that ansible-playbook forks, so it is their parent."""
    try:
        # Containers of one host share its boot id and may share a name, but each has its own process numbers.
        machine = f"{boot_id()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux: nothing to tell machines apart by, so a lock is never taken over by itself
        machine = ""
    return Controller(getpass.getuser(), socket.gethostname(), machine, os.getppid())


class ActionModule(ActionBase):
    """Runs the module, and once more when the lock's holder is known to be gone."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        me = this_controller()
        result = self._ask(me, "", task_vars)
        if result.get("failed") and result.get("holder"):
            holder = Controller(**result["holder"]["controller"])
            if me.same_place(holder) and not _process.alive(holder.pid):
                result = self._ask(me, result["holder"]["run_id"], task_vars)
        return result

    def _ask(self, me: Controller, gone: str, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        controller = {"owner": me.owner, "host": me.host, "machine": me.machine, "pid": me.pid, "gone": gone}
        result: dict[str, t.Any] = self._execute_module(module_args={**self._task.args, "controller": controller}, task_vars=task_vars)
        return result
