# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Yes and no on the command line are texts: what is done is what the operator says, however it is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]


def said(place: Path, role: str, shown: str, variables: dict[str, Any], given: str) -> str:
    """What the expression *shown* is for *role*, when the operator adds ``-e given``."""
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": variables,
        "vars_files": [str(REPO / f"roles/{role}/vars/main.yml")],
        "tasks": [{"ansible.builtin.debug": {"msg": f"it is {{{{ {shown} }}}}"}}],
    }
    (place / "play.yml").write_text(json.dumps([play]))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), str(place / "play.yml"), "-i", "localhost,", "-e", given],
        cwd=place,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [("rollback_data=false", False), ("rollback_data=no", False), ('{"rollback_data": false}', False), ("rollback_data=true", True)],
)
def test_the_data_stays_where_the_operator_says_so(tmp_path: Path, given: str, expected: bool) -> None:
    variables = {"rollback_of": {"phases": [], "facts": {"schema_touched": True}}, "ecommus_layout": "releases"}
    told = said(tmp_path, "rollback", "rollback_data_changed", variables, given)
    assert f"it is {expected}" in told, told


@pytest.mark.parametrize(
    ("given", "phases", "expected"),
    [
        ("ecommus_hold_failed_verify=false", ["activate", "verify"], False),
        ("ecommus_hold_failed_verify=true", ["activate", "verify"], True),
        ("ecommus_hold_failed_verify=true", ["verify", "resume"], False),
        ('{"ecommus_hold_failed_verify": true}', [], False),
    ],
)
def test_a_release_is_held_where_the_operator_says_so(tmp_path: Path, given: str, phases: list[str], expected: bool) -> None:
    variables = {"upgrade_run": {"phases": [{"name": name} for name in phases]}}
    told = said(tmp_path, "upgrade", "upgrade_holds", variables, given)
    assert f"it is {expected}" in told, told
