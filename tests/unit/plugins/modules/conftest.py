# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module as Ansible does, a process that takes JSON and answers JSON, and sees that the answer is as documented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

import documented
import pytest

Call = t.Callable[..., tuple[dict[str, t.Any], str]]


@pytest.fixture
def call() -> Call:
    """``call(module, **arguments)`` answers the module's result, and all that it printed for people."""

    def run(module: t.Any, **arguments: t.Any) -> tuple[dict[str, t.Any], str]:
        process = subprocess.run(
            [sys.executable, module.__file__],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            check=False,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        result = json.loads(process.stdout)
        # From ansible-core 2.22 on a module tells the controller in this way what to mask, which takes it out again
        # (ansible/module_utils/basic.py, _return_formatted). What people see is the rest.
        result.pop("_ansible_new_secrets", None)
        documented.check(module.__name__.rpartition(".")[2], result)
        return result, json.dumps(result, ensure_ascii=False) + process.stderr

    return run
