# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests call a module that works on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import documented
from postgres_cluster import PASSWORD


def run(module: ModuleType, arguments: dict[str, Any], timeout: float = 120) -> dict[str, Any]:
    """Run *module* as Ansible does; what it returns is as documented, and no secret is in it."""
    done = subprocess.run(
        [sys.executable, str(module.__file__)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment(),
    )
    result: dict[str, Any] = json.loads(done.stdout)
    result.pop("invocation", None)
    print(result, done.stderr)
    documented.check(module.__name__.rpartition(".")[2], result)
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)
    return result


def environment() -> dict[str, str]:
    """What a process needs to import what we do."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
