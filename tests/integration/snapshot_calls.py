# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of pg_snapshot call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import documented
from ansible_collections.mdlabs.ecommus.plugins.modules import pg_snapshot
from postgres_cluster import PASSWORD, installed_majors

# All of them: which one fits is for the module to find out.
BIN = [str(directory) for directory in installed_majors().values()]


def call(**arguments: Any) -> dict[str, Any]:
    """Run the module as Ansible does; no secret may be in anything that it says."""
    arguments.setdefault("path_prefix", BIN)
    done = subprocess.run(
        [sys.executable, pg_snapshot.__file__],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    result: dict[str, Any] = json.loads(done.stdout)
    result.pop("invocation", None)
    print(result.get("msg"), result.get("exception"), done.stderr)
    documented.check("pg_snapshot", result)
    assert PASSWORD not in json.dumps(result, ensure_ascii=False)
    return result


def left(path: Path) -> set[str]:
    return {entry.name for entry in path.parent.iterdir()} if path.parent.exists() else set()
