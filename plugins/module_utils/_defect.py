# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed task says about the release.

It runs on the controller while a shop waits for its way back, so it loads nothing but the standard library.
"""

from __future__ import annotations

import typing as t

# What an error of a module has in its details when the release is to blame: the first of each must not be empty.
_KINDS: dict[str, tuple[str, ...]] = {
    "migration": ("attempts", "failed_migrations", "before", "applied", "pending", "unknown", "blocked"),
    "candidate": ("service", "reason"),
    "build": ("workspaces",),
    "process": ("process", "reason"),
}


def defect(result: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the *result* of a task that failed says about the release; empty when it says nothing about it.

    A service that does not stay alive when it goes live is the release's as well.
    """
    for kind, keys in _KINDS.items():
        # One that says nothing was not started; but of migrations it counts that they were, not what they said. Ansible itself gives
        # `attempts` to a task that was retried, as a number.
        told = isinstance(result.get("attempts"), dict) if kind == "migration" else result.get("log")
        if result.get(keys[0]) and told:
            return {"kind": kind, "msg": str(result.get("msg", "")), **{key: result[key] for key in (*keys, "log") if key in result}}
    return {}
