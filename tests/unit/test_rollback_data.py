# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a rollback takes the data back, however the operator says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("rollback_data=false", False), ("rollback_data=no", False), ('{"rollback_data": false}', False), ("rollback_data=true", True)],
)
def test_the_data_stays_where_the_operator_says_so(tmp_path: Path, given: str, expected: bool) -> None:
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"rollback_of": {"phases": [], "facts": {"schema_touched": True}}, "ecommus_layout": "releases"},
        "vars_files": [str(REPO / "roles/rollback/vars/main.yml")],
        "tasks": [{"ansible.builtin.debug": {"msg": "data goes back: {{ rollback_data_changed }}"}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml"), "-i", "localhost,", "-e", given],
        cwd=tmp_path,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert f"data goes back: {expected}" in done.stdout, done.stdout + done.stderr
