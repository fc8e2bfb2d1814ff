# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory that users copy: it parses, and every shop in it passes the argument specs of the roles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "inventories/example"
BIN = Path(sys.executable).parent


def ansible(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(REPO / "playbooks/collections")}
    return subprocess.run(
        [str(BIN / program), *arguments], cwd=REPO, env=env, text=True, capture_output=True, timeout=120, check=False
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The example as a user has it after following its README."""
    inventory = tmp_path / "mine"
    shutil.copytree(EXAMPLE, inventory)
    for example in inventory.glob("group_vars/*/vault.yml.example"):
        example.rename(example.with_suffix(""))
    return inventory


def test_as_it_is_it_parses_without_a_secret() -> None:
    done = ansible("ansible-inventory", "-i", str(EXAMPLE), "--list")
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    found = json.loads(done.stdout)
    assert set(found["ecommus"]["children"]) == {"staging", "production"}
    assert not any(name.startswith("vault_") for host in found["_meta"]["hostvars"].values() for name in host)


def test_every_shop_passes_the_argument_specs(copied: Path) -> None:
    play = copied.parent / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  connection: local\n"
        "  roles: [mdlabs.ecommus.install]\n"
        "  tasks:\n    - ansible.builtin.debug:\n        var: ecommus_services\n"
    )
    done = ansible("ansible-playbook", str(play), "-i", str(copied))
    assert done.returncode == 0, done.stdout + done.stderr
    hosts = [line for line in done.stdout.splitlines() if "unreachable=0" in line and "failed=0" in line]
    assert len(hosts) == 5
    assert "https://api.bazaar.example/health" in done.stdout
