# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is killed when, a file is the old or the new one."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("old")
    path.chmod(0o644)
    _files.write_atomic(str(path), "nou: ț\n")
    assert path.read_bytes() == "nou: ț\n".encode()
    assert mode(path) == 0o600
    _files.write_atomic(str(path), "again", 0o644)
    assert (path.read_text(), mode(path)) == ("again", 0o644)
    assert os.listdir(tmp_path) == ["list"]


def test_data_is_written_so_that_people_can_compare_it(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    _files.write_json(str(path), {"b": [1], "a": "x"}, 0o640)
    assert path.read_text() == '{\n  "a": "x",\n  "b": [\n    1\n  ]\n}\n'
    assert mode(path) == 0o640
    _files.write_json(str(path), {})
    assert mode(path) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list"
    path.write_text("old")
    seen: list[list[str]] = []

    def full(_descriptor: int) -> None:
        seen.append(sorted(os.listdir(tmp_path)))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        _files.write_atomic(str(path), "new")
    assert (os.listdir(tmp_path), path.read_text()) == (["list"], "old")
    assert len(seen) == 1 and seen[0][0].startswith(".list."), "beside it, so that it can be renamed, and named after it"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_is_mounted_in_a_directory_is_known_bind_mounts_too(tmp_path: Path) -> None:
    inside = tmp_path / "release" / "two words"
    inside.mkdir(parents=True)
    (tmp_path / "release.removed").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "release")
    for place in (inside, tmp_path / "release.removed"):
        subprocess.run(["mount", "--bind", str(tmp_path), str(place)], check=True)
    try:
        assert _files.mounts_below(str(tmp_path / "link")) == [str(inside)]
        assert _files.mounts_below(str(inside)) == [str(inside)]
        assert _files.mounts_below(str(tmp_path / "none")) == []
    finally:
        subprocess.run(["umount", str(inside), str(tmp_path / "release.removed")], check=True)


def test_a_link_is_replaced_and_what_is_no_link_stays(tmp_path: Path) -> None:
    link = tmp_path / "current"
    (tmp_path / f"current.{os.getpid()}.tmp").symlink_to("left by a process of this number that was killed")
    _files.link_atomic("releases/one", str(link))
    _files.link_atomic("releases/two", str(link))  # neither is there: a link may be made before its target
    assert os.readlink(link) == "releases/two"
    assert os.listdir(tmp_path) == ["current"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EcommusError) as caught:
        _files.link_atomic("releases/one", str(tmp_path / "file"))
    assert caught.value.message == f"{tmp_path / 'file'} is in the way: it is not a link"
    assert "move it aside" in caught.value.remedy
    assert (tmp_path / "file").read_text() == "mine"


def test_two_directories_change_places(tmp_path: Path) -> None:
    for name in ("a/x", "b/y"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "was").write_text(name)
    _files.exchange(str(tmp_path / "a/x"), str(tmp_path / "b/y"))
    assert [(tmp_path / name / "was").read_text() for name in ("a/x", "b/y")] == ["b/y", "a/x"]


def test_an_exchange_that_cannot_be_says_why(tmp_path: Path) -> None:
    first, second = str(tmp_path / "none"), str(tmp_path)
    with pytest.raises(EcommusError) as caught:
        _files.exchange(first, second)
    assert caught.value.message == f"cannot exchange {first} and {second}: No such file or directory"
    assert "owns both" in caught.value.remedy


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a second file system")
def test_an_exchange_across_file_systems_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(EcommusError) as caught:
        _files.exchange(str(tmp_path), "/proc/self")
    assert caught.value.message == f"{tmp_path} and /proc/self are on different file systems, so they cannot be exchanged in one step"
    assert "ecommus_base" in caught.value.remedy


def test_a_lock_is_held_until_its_file_is_closed(tmp_path: Path) -> None:
    busy = EcommusError("busy")
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    _files.hold(first, 0, busy)
    with pytest.raises(EcommusError) as caught:
        _files.hold(second, 0.1, busy)
    assert caught.value is busy
    os.close(first)
    _files.hold(second, 0, busy)
    third = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(third, fcntl.LOCK_SH | fcntl.LOCK_NB)
    for descriptor in (second, third):
        os.close(descriptor)
