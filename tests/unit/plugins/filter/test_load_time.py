"""The filters run on the controller, one of them between a failed gate and its way back: there each tenth of a second counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[4]
FILTERS = sorted(path.stem for path in (REPO / "plugins/filter").glob("[a-z]*.py"))
SLOW = {"psycopg", "requests", "ansible.module_utils.basic"}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_loads_neither_drivers_nor_what_modules_need(name: str) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(REPO / "playbooks/collections")!r})
import ansible_collections.mdlabs.ecommus.plugins.filter.{name}
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert f"ansible_collections.mdlabs.ecommus.plugins.filter.{name}" in loaded
    assert SLOW.isdisjoint(loaded)
