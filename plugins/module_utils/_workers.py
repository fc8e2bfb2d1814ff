# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's workers: whether they work, so that they can be brought back to exactly that."""

from __future__ import annotations

import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2

# What the operator wants to run: also one that is between two lives at the moment. One that pm2 gave up (errored) is not started by us.
_RESTING = frozenset(["stopped", "stopping", "errored"])


def observe(pm2: Pm2, process: str) -> dict[str, t.Any]:
    """What the workers do now.

    :param process: their pm2 name; empty where there are none.
    :returns: ``process``, ``running`` (how many of its processes work) and ``note``, why none does (empty: they do).
    """
    table = pm2.table(process) if process else []
    running = sum(entry.status not in _RESTING for entry in table)
    return {"process": process, "running": running, "note": "" if running or not process else _why(process, [e.status for e in table])}


def _why(process: str, states: t.Sequence[str]) -> str:
    if not states:
        return f"pm2 did not know {process} when the run began"
    return f"{process} was {' and '.join(sorted(set(states)))} when the run began"
