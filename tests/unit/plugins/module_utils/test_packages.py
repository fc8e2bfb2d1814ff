# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkout in place goes to another release and back without a registry, killed wherever it may be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _git, _layout, _packages, _release

PLACES = ("node_modules", "plugins/node_modules", "apps/api/node_modules")


class Killed(BaseException):
    """Not an error that anybody handles."""


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    work = tmp_path / "vendor"
    (work / "apps/api").mkdir(parents=True)
    (work / "plugins").mkdir()
    (work / ".gitignore").write_text("node_modules\n")
    env = {**os.environ, **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
    for version in ("v1.0.0", "v1.1.0"):
        (work / "apps/api/code").write_text(version)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", version], ["tag", version]):
            subprocess.run(["git", *command], cwd=work, env=env, check=True)
    return work


@pytest.fixture
def paths(tmp_path: Path, remote: Path) -> _layout.Paths:
    root = tmp_path / "shop"
    subprocess.run(["git", "clone", "-q", "-b", "v1.0.0", str(remote), str(root)], check=True, capture_output=True)
    npm_ci(root, "v1.0.0")
    return _layout.Paths(str(root), f"{root}.d")


def npm_ci(root: Path, release: str, places: tuple[str, ...] = PLACES) -> None:
    """What npm ci leaves: nothing of what was there, and packages of the release."""
    for place in PLACES:
        shutil.rmtree(root / place, ignore_errors=True)
    for place in places:
        (root / place / "pkg").mkdir(parents=True)
        (root / place / "pkg/of").write_text(release)
        (root / place / "link").symlink_to("pkg")


def packages(paths: _layout.Paths) -> dict[str, str]:
    root = Path(paths.root)
    return {str(path.parent.parent.relative_to(root)): path.read_text() for place in PLACES for path in root.glob(f"{place}/pkg/of")}


def go(paths: _layout.Paths, remote: Path, version: str) -> bool:
    return _release.check_out_in_place(paths, str(remote), version, str(_git.commit_of(str(remote), version)))


def ready(paths: _layout.Paths, remote: Path, version: str) -> bool:
    return _release.reached(paths.root, str(_git.commit_of(str(remote), version)), "installed")


@pytest.mark.parametrize("places", [(), PLACES[:1], PLACES], ids=len)
def test_the_way_back_has_the_packages_of_before(paths: _layout.Paths, remote: Path, places: tuple[str, ...]) -> None:
    """However far npm ci of the new release came."""
    assert go(paths, remote, "v1.1.0") and not ready(paths, remote, "v1.1.0")
    assert packages(paths) == {}
    npm_ci(Path(paths.root), "v1.1.0", places)
    assert go(paths, remote, "v1.0.0") and ready(paths, remote, "v1.0.0")
    assert packages(paths) == dict.fromkeys(PLACES, "v1.0.0")
    assert (Path(paths.root) / "node_modules/link/of").read_text() == "v1.0.0"
    assert not go(paths, remote, "v1.0.0")
    assert list(Path(paths.root, ".git/ecommus-packages").iterdir()) == []
    assert _git.changed_files(paths.root) == []


def test_an_installed_release_can_be_gone_forth_and_back_to(paths: _layout.Paths, remote: Path) -> None:
    go(paths, remote, "v1.1.0")
    npm_ci(Path(paths.root), "v1.1.0")
    _layout.write_marker(paths.root, prepared="built")
    assert not go(paths, remote, "v1.1.0") and ready(paths, remote, "v1.1.0")
    for version in ("v1.0.0", "v1.1.0", "v1.0.0"):
        assert go(paths, remote, version) and ready(paths, remote, version)
        assert packages(paths) == dict.fromkeys(PLACES, version)
        assert len(list(Path(paths.root, ".git/ecommus-packages").iterdir())) == 1


def test_the_way_back_needs_no_remote(paths: _layout.Paths, remote: Path) -> None:
    go(paths, remote, "v1.1.0")
    before = str(_git.commit_of(str(remote), "v1.0.0"))
    assert _release.check_out_in_place(paths, "/nowhere.git", "v1.0.0", before)
    assert packages(paths) == dict.fromkeys(PLACES, "v1.0.0")


def test_packages_that_cannot_be_moved_stay(paths: _layout.Paths, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.rename

    def rename(source: str, target: str) -> None:
        if "apps/api" in source and "ecommus-packages" in target:
            raise OSError(18, "Invalid cross-device link")
        original(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert go(paths, remote, "v1.1.0")
    assert packages(paths) == dict.fromkeys(PLACES, "v1.0.0")
    assert not _packages.began(paths.root, str(_git.commit_of(paths.root, "v1.0.0")))


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The *step*-th change of a directory is the last one; the answer tells how many there were."""
    count = 0

    def counted(original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == step:
                raise Killed
            return original(*arguments, **options)

        return call

    for name in ("rename", "makedirs", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))
    return lambda: count


@pytest.mark.parametrize("back_first", [False, True], ids=["tried again", "gone back at once"])
def test_killed_anywhere_no_package_is_lost(paths: _layout.Paths, remote: Path, back_first: bool) -> None:
    """There, then back; each killed at each of its steps, and the command typed again."""
    go(paths, remote, "v1.1.0")  # leaves a remote's tags and a marker, so that both ways take the same steps each time
    go(paths, remote, "v1.0.0")
    for step in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            steps = killed_at(step, patch)
            try:
                go(paths, remote, "v1.1.0")
                npm_ci(Path(paths.root), "v1.1.0", PLACES[:2])
                go(paths, remote, "v1.0.0")
            except Killed:
                pass
            else:
                break
        if not back_first:
            go(paths, remote, "v1.1.0")
        go(paths, remote, "v1.0.0")
        assert packages(paths) == dict.fromkeys(PLACES, "v1.0.0"), f"killed at step {step}"
        assert ready(paths, remote, "v1.0.0"), f"killed at step {step}"
    assert 10 < step == steps() + 1 < 99
