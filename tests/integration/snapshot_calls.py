# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of pg_snapshot call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.mdlabs.ecommus.plugins.modules import pg_snapshot
from pg_calls import run
from postgres_cluster import installed_majors

# All of them: which one fits is for the module to find out.
BIN = [str(directory) for directory in installed_majors().values()]


def call(**arguments: Any) -> dict[str, Any]:
    return run(pg_snapshot, {"path_prefix": BIN, **arguments})


def left(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()} if path.parent.exists() else set()
