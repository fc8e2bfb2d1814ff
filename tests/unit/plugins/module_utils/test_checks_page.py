# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the checks says what the checks are, no more and no less."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import CHECKS
from ansible_collections.mdlabs.ecommus.plugins.modules import preflight  # noqa: F401  (importing it registers the checks)

PAGE = Path(__file__).resolve().parents[4] / "docs/checks.md"


def test_the_page_names_every_check() -> None:
    rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    said = {name.strip("`"): (label, severity, remedy) for name, label, severity, remedy in rows}
    assert sorted(said) == sorted(CHECKS)
    for name, (label, severity, remedy) in said.items():
        assert label == CHECKS[name].label
        assert severity.partition(",")[0] == CHECKS[name].severity
        assert remedy
