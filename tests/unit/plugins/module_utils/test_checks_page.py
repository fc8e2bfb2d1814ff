# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the checks says what the checks are, no more and no less."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import CHECKS
from ansible_collections.mdlabs.ecommus.plugins.modules import preflight  # noqa: F401  (importing it registers the checks)

PAGE = Path(__file__).resolve().parents[4] / "docs/checks.md"


def rows() -> dict[str, tuple[str, str, str]]:
    """Label, severity and remedy of each check, as the page has them."""
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {name.strip("`"): (label, severity, remedy) for name, label, severity, remedy in cells}


def test_the_page_names_every_check() -> None:
    said = rows()
    assert sorted(said) == sorted(CHECKS)
    for name, (label, severity, remedy) in said.items():
        assert label == CHECKS[name].label
        assert severity.partition(",")[0] == CHECKS[name].severity
        assert remedy


def test_the_page_names_every_variable_that_a_remedy_names() -> None:
    lacking = {}
    for name, (_label, _severity, remedy) in rows().items():
        named = set(re.findall(r"\b(?:ecommus|upgrade)_[a-z_]+\b", inspect.getsource(CHECKS[name].run)))
        lacking[name] = sorted(variable for variable in named if f"`{variable}`" not in remedy)
    assert {name: variables for name, variables in lacking.items() if variables} == {}
