# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules that run a program of the shop itself; documented in the fragment ``program``."""

from __future__ import annotations

import typing as t


def program_options() -> dict[str, t.Any]:
    """The argument spec."""
    return {
        "env_file": {"type": "path"},
        "database_url": {"type": "str", "no_log": True},
        "database_url_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
        "path_prefix": {"type": "list", "elements": "path", "default": []},
    }
