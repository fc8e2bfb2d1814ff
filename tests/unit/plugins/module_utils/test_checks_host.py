# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of the environment that a release needs, by its example file and by its notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_host, _git, _layout
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Finding, Subject


def environment_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: str, coming: str | None, **given: Any) -> Finding:
    """With A in the environment file."""
    (tmp_path / ".env").write_text("A=1\n")
    paths = _layout.Paths(str(tmp_path / "root"), str(tmp_path / "base"))
    monkeypatch.setattr(_git, "file_at", lambda place, _commit, _path: coming if place == paths.repository else live)
    subject = Subject(paths=paths, layout="releases", version="v1.4.0", commit="c", env_file=str(tmp_path / ".env"), **given)
    return _checks_host.environment_keys(subject)


@pytest.mark.parametrize(
    ("live", "coming", "given", "missing"),
    [
        ("A=", "A=\nB=", {}, "B"),
        ("A=\nB=", "A=\nB=", {}, ""),  # the shop goes without it already
        ("A=", "A=\nB=", {"env_given": ["B"]}, ""),
        ("A=", "A=", {"env_required": ["C"]}, "C"),  # only the notes name it
        ("A=\nC=", "A=\nC=", {"env_required": ["C"]}, "C"),  # it was optional until now
        ("A=", None, {"env_required": ["C"]}, "C"),
        ("A=", "A=\nB=", {"env_required": ["C", "B"]}, "C, B"),
        ("A=", "A=", {"env_required": ["A"]}, ""),
        ("A=", None, {}, ""),
    ],
)
def test_missing_keys_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, live: str, coming: str | None, given: dict[str, list[str]], missing: str
) -> None:
    found = environment_keys(tmp_path, monkeypatch, live, coming, **given)
    assert found.ok is not bool(missing)
    assert not missing or found.found == f"v1.4.0 needs {missing}"


def test_the_plan_says_what_will_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment_keys(tmp_path, monkeypatch, "", "A=\nB=", env_required=["C"], env_given=["A", "B", "C", "D"])
    assert found.found == "2 keys of .env.example and 1 of the release notes looked at; to be added: B, C"
