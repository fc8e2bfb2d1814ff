"""The filters run on the controller, one of them between a failed gate and its way back: there each tenth of a second counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.filter import defect

FILTERS = sorted(path.stem for path in Path(defect.__file__).parent.glob("[a-z]*.py"))
COLLECTIONS = next(path.parent for path in Path(defect.__file__).parents if path.name == "ansible_collections")
SLOW = {"psycopg", "requests", "ansible.module_utils.basic"}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_loads_neither_drivers_nor_what_modules_need(name: str) -> None:
    filter_of = f"ansible_collections.mdlabs.ecommus.plugins.filter.{name}"
    code = f"import sys; sys.path.insert(0, {str(COLLECTIONS)!r}); import {filter_of}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert filter_of in loaded
    assert SLOW.isdisjoint(loaded)
