# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells the module uptime_prober which playbook run it works for: when that is killed, nobody stops the prober."""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Runs the module with ``while_pid`` filled in, where it runs on this machine."""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        # Tasks run in processes that ansible-playbook forks, so it is their parent.
        here = {"while_pid": os.getppid()} if self._connection.transport in ("local", "ansible.builtin.local") else {}
        result: dict[str, t.Any] = self._execute_module(module_args={**here, **self._task.args}, task_vars=task_vars)
        return result
