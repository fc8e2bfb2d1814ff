# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a release, taken over into it and removed of it; test_layout.py and test_packages.py check out real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _layout, _release
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

COMMIT = "c" * 40


@pytest.fixture
def paths(tmp_path: Path) -> _layout.Paths:
    """An install with the releases one, which is live, and two."""
    for name in ("one", "two"):
        (tmp_path / "base/releases" / name / ".git").mkdir(parents=True)
    (tmp_path / "base/current").symlink_to("releases/one")
    return _layout.Paths(str(tmp_path / "base/current"), str(tmp_path / "base"))


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("---\na: 1\nb: 2\n---\ntext\n---\n", "a: 1\nb: 2"),
        ("---\na: 1\n---", "a: 1"),
        ("---\na: 1\n", ""),
        ("text\n---\na: 1\n---\n", ""),
        (" ---\na: 1\n---\n", ""),
        ("", ""),
    ],
)
def test_the_block_at_the_head_of_release_notes(text: str, block: str) -> None:
    assert _release.front_matter(text) == block
    assert _release.notes_path("v1.4.0") == "docs/08-changelog/v1.4.0.md"


@pytest.mark.parametrize(
    ("prepared", "commit", "reached"),
    [
        ("checked_out", COMMIT, [True, False, False]),
        ("installed", COMMIT, [True, True, False]),
        ("built", COMMIT, [True, True, True]),
        ("built", "d" * 40, [False, False, False]),
        ("otherwise", COMMIT, [False, False, False]),
        (None, COMMIT, [False, False, False]),
    ],
)
def test_how_far_a_release_is_prepared(paths: _layout.Paths, prepared: str | None, commit: str, reached: list[bool]) -> None:
    directory = f"{paths.releases}/two"
    _layout.write_marker(directory, commit=COMMIT, **({"prepared": prepared} if prepared else {}))
    assert [_release.reached(directory, commit, stage) for stage in _release.STAGES] == reached


def test_caches_of_builds_are_copied_as_they_are(tmp_path: Path) -> None:
    live, new = tmp_path / "live[1]", tmp_path / "new"
    for name in ("apps/web/.astro", "apps/admin/.cache", "apps/api/.cache"):
        (live / name).mkdir(parents=True)
        (live / name / "entry").write_text(name)
    (live / "apps/web/.astro/link").symlink_to("entry")
    (live / "apps/plain.cache").write_text("a file")
    (new / "apps/api/.cache").mkdir(parents=True)
    taken = _release.take_caches(str(live), str(new), ["apps/*/.cache", "apps/web/.astro", "apps/*.cache", "none"])
    assert taken == ["apps/admin/.cache", "apps/web/.astro"]
    assert (new / "apps/admin/.cache/entry").read_text() == "apps/admin/.cache"
    assert os.readlink(new / "apps/web/.astro/link") == "entry"
    assert os.listdir(new / "apps/api/.cache") == [], "what is there already stays"
    assert (live / "apps/admin/.cache/entry").exists()
    assert _release.take_caches(str(live), str(new), ["apps/*/.cache"]) == []


def test_a_release_that_nothing_uses_is_removed(paths: _layout.Paths) -> None:
    two = f"{paths.releases}/two"
    os.makedirs(f"{two}.removed/left by a removal that was stopped")
    assert _release.set_aside(paths, two) == f"{two}.removed"
    assert sorted(os.listdir(paths.releases)) == ["one", "two.removed"]
    assert os.listdir(f"{two}.removed") == [".git"]
    assert _release.set_aside(paths, f"{two}.removed") == f"{two}.removed"
    assert _release.remove(paths, f"{two}.removed") is True
    assert _release.remove(paths, two) is False
    assert os.listdir(paths.releases) == ["one"]


def test_the_live_release_and_what_is_none_stay(paths: _layout.Paths) -> None:
    for directory, says, remedy in (
        (f"{paths.releases}/one", f"{paths.releases}/one is the live release and stays", "activate another"),
        (paths.base, f"{paths.base} is not a release in {paths.releases}", "name the directory"),
        (f"{paths.releases}/two/.git", f"{paths.releases}/two/.git is not a release in {paths.releases}", "name the directory"),
    ):
        with pytest.raises(EcommusError) as caught:
            _release.remove(paths, directory)
        assert caught.value.message == says
        assert remedy in caught.value.remedy
        assert os.path.isdir(directory)


def test_a_release_that_a_process_works_in_stays(paths: _layout.Paths) -> None:
    two = f"{paths.releases}/two"
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=two, stdin=subprocess.PIPE) as process:
        try:
            with pytest.raises(EcommusError) as caught:
                _release.remove(paths, two)
        finally:
            process.kill()
    assert caught.value.message == f"{two} is used by the processes {process.pid} and stays"
    assert "stop or replace them" in caught.value.remedy
    assert caught.value.details == {"pids": [process.pid]}
    assert os.path.isdir(two)
