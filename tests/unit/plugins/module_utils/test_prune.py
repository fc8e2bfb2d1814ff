# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prune reports, and what it reads off the disk; tests/integration removes things."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files, _layout, _prune, _snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._prune import Outcome
from ansible_collections.mdlabs.ecommus.plugins.module_utils._retention import Release, Stored, Verdict

MIB = 2**20
LIVE = Verdict("release", "/r/live", 8 * MIB, True, "it is live")
KEPT = Verdict("snapshot", "/s/b.dump", 3 * MIB // 2, True, "the last good snapshot")
GONE = Verdict("snapshot", "/s/a.dump", MIB, False, "its window has ended")
STUCK = {"kind": "database", "name": "shop_old", "bytes": 5, "why": "its window has ended", "error": "in use"}


def test_a_prune_reports_what_went_what_stayed_and_why() -> None:
    assert Outcome([GONE], [LIVE, KEPT], [STUCK], "2026-12-02T10:00:00Z").as_dict() == {
        "changed": True,
        "removed": [{"kind": "snapshot", "name": "/s/a.dump", "bytes": MIB, "why": "its window has ended"}],
        "kept": [
            {"kind": "release", "name": "/r/live", "bytes": 8 * MIB, "why": "it is live"},
            {"kind": "snapshot", "name": "/s/b.dump", "bytes": 3 * MIB // 2, "why": "the last good snapshot"},
        ],
        "errors": [STUCK],
        "bytes_freed": MIB,
        "bytes_kept": 3 * MIB // 2,
        "summary": [
            "removed snapshot /s/a.dump (1.0 MiB): its window has ended",
            "kept release /r/live (8.0 MiB): it is live",
            "kept snapshot /s/b.dump (1.5 MiB): the last good snapshot",
            "rollback with the standby database: 2026-12-02T10:00:00Z",
        ],
        "diff": {
            "before": "database shop_old\nrelease /r/live\nsnapshot /s/a.dump\nsnapshot /s/b.dump\n",
            "after": "database shop_old\nrelease /r/live\nsnapshot /s/b.dump\n",
        },
        "rollback_available_until": "2026-12-02T10:00:00Z",
    }


def test_a_prune_with_nothing_to_do_says_so() -> None:
    report = Outcome().as_dict()
    assert (report["changed"], report["diff"]) == (False, {"before": "", "after": ""})
    assert report["summary"] == ["rollback with the standby database: not available"]
    assert "rollback_available_until" not in report


def test_what_could_not_be_removed_is_one_error() -> None:
    assert Outcome([GONE], [KEPT]).problem() is None
    problem = Outcome(errors=[STUCK, {**STUCK, "name": "other", "error": "no right"}]).problem()
    assert problem is not None
    assert problem.message == "could not be removed: database shop_old: in use; database other: no right"
    assert "prune.yml" in problem.remedy


def test_only_what_a_removal_sets_free_is_counted(tmp_path: Path) -> None:
    def blocks(*paths: Path) -> int:
        return sum(os.lstat(path).st_blocks * 512 for path in paths)

    place = tmp_path / "release"
    (place / "deep").mkdir(parents=True)
    (place / "deep/file").write_bytes(b"x" * 10_000)
    (tmp_path / "elsewhere").write_bytes(b"x" * 50_000)
    os.link(tmp_path / "elsewhere", place / "object")
    (place / "link").symlink_to(tmp_path / "elsewhere")
    assert _prune.size(str(place)) == blocks(place, place / "deep", place / "deep/file", place / "link")
    assert _prune.size(str(place / "object")) == _prune.size(str(tmp_path / "none")) == 0
    assert _prune._directories(str(tmp_path)) == [str(place)]
    assert _prune._directories(str(tmp_path / "none")) == []


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A checkout that carries no marker."""
    env = {**os.environ, **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
    (tmp_path / "one").mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", *command], cwd=tmp_path / "one", env=env, check=True)
    return tmp_path / "one"


def test_a_release_is_seen_with_and_without_its_marker(release: Path) -> None:
    place = str(release)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=release, capture_output=True, text=True, check=True).stdout.strip()
    assert _prune._release_at(place, False) == Release(place, commit, _prune.size(place), prepared=False)
    _layout.write_marker(place, commit="c" * 40, prepared="built")
    os.utime(release / _layout.MARKER, (1e9, 1e9))
    made = datetime.datetime(2001, 9, 9, 1, 46, 40, tzinfo=datetime.timezone.utc)
    assert _prune._release_at(place, True) == Release(place, "c" * 40, _prune.size(place), live=True, made=made)
    (release.parent / "two").mkdir()
    assert _prune._release_at(str(release.parent / "two"), False).commit == ""


def test_what_is_mounted_in_a_release_is_seen(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "mounts_below", lambda path: [f"{path}/uploads"])
    assert _prune._release_at(str(release), False).mounts == (f"{release}/uploads",)


def test_changes_of_the_operator_count_in_an_adopted_checkout(release: Path) -> None:
    _layout.write_marker(str(release), commit="c", adopted=True)
    assert _prune._release_at(str(release), False).edited is False
    (release / "mine").touch()
    assert _prune._release_at(str(release), False).edited is True
    (release / ".git/HEAD").unlink()
    (release / "mine").unlink()
    assert _prune._release_at(str(release), False).edited is True, "not known is not unchanged"
    _layout.write_marker(str(release), adopted=False)
    assert _prune._release_at(str(release), False).edited is False


def test_a_snapshot_is_whole_when_its_manifest_fits(tmp_path: Path) -> None:
    path = tmp_path / "x.dump"
    assert _prune._snapshot_at(str(path)) is None
    path.write_bytes(b"dump")
    size = _prune.size(str(path))
    assert _prune._snapshot_at(str(path)) == Stored(size, whole=False)
    for manifest, whole in (({"size": 4}, True), ({"size": 5}, False), ({"size": 4, "encrypted": True}, False)):
        _snapshot.write_manifest(str(path), {"format": 1, **manifest})
        both = size + _prune.size(str(tmp_path / "x.manifest.json"))
        assert _prune._snapshot_at(str(path)) == Stored(both, whole)
    (tmp_path / "x.manifest.json").write_text("{")
    found = _prune._snapshot_at(str(path))
    assert found is not None and not found.whole
