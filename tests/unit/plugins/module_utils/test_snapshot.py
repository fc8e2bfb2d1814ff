# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies on the disk of a snapshot; tests/integration makes and restores them."""

from __future__ import annotations

import hashlib
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import Tools


@pytest.mark.parametrize("path", ["relative.dump", "/x/y", "/x/y.dump.partial"])
def test_a_snapshot_has_an_absolute_path_and_an_ending(path: str) -> None:
    with pytest.raises(EcommusError) as caught:
        snapshot.manifest_path(path)
    assert caught.value.message == f"{path} is no path of a snapshot"
    assert "ends in .dump" in caught.value.remedy
    assert snapshot.manifest_path("/x/y.dump") == "/x/y.manifest.json"


@pytest.mark.parametrize(
    ("encrypted", "file"), [({}, "x.dump"), ({"encrypted": False}, "x.dump"), ({"encrypted": True}, "x.dump.age")]
)
def test_a_manifest_says_which_file_holds_the_snapshot(tmp_path: Path, encrypted: dict[str, bool], file: str) -> None:
    path = str(tmp_path / "x.dump")
    assert snapshot.load(path) is None
    snapshot.write_manifest(path, {"format": 1, "size": 3, **encrypted})
    assert snapshot.load(path) == {"format": 1, "size": 3, **encrypted, "path": path, "file": str(tmp_path / file)}


@pytest.mark.parametrize(
    ("content", "says"), [("{", "cannot be read: Expecting"), ("[]", "is not of format 1"), ("{}", "is not of format 1")]
)
def test_a_manifest_that_cannot_be_trusted_is_an_error(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.manifest.json").write_text(content)
    with pytest.raises(EcommusError) as caught:
        snapshot.load(str(tmp_path / "x.dump"))
    assert caught.value.message.startswith(f"the manifest {tmp_path}/x.manifest.json {says}")
    assert "make another" in caught.value.remedy


def stored(directory: Path, **changes: Any) -> str:
    path = directory / "x.dump"
    path.write_bytes(b"dump")
    manifest = {"format": 1, "size": 4, "sha256": hashlib.sha256(b"dump").hexdigest(), **changes}
    snapshot.write_manifest(str(path), {**manifest, "path": "elsewhere", "file": "elsewhere"})
    return str(path)


def test_a_snapshot_that_is_as_it_was_written_is_taken(tmp_path: Path) -> None:
    path = stored(tmp_path)
    found = {"format": 1, "size": 4, "sha256": hashlib.sha256(b"dump").hexdigest(), "path": path, "file": path}
    assert snapshot.verify_checksum(path) == found
    (tmp_path / "large").write_bytes(b"x" * (2**20 + 1))
    assert snapshot.sha256(str(tmp_path / "large")) == hashlib.sha256(b"x" * (2**20 + 1)).hexdigest()


def test_a_snapshot_that_changed_since_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path)
    for content, says in ((b"dum", "is damaged: 3 bytes instead of 4"), (b"dumb", "is damaged: its content does not match the SHA-256")):
        Path(path).write_bytes(content)
        with pytest.raises(EcommusError) as caught:
            snapshot.verify_checksum(path)
        assert caught.value.message.startswith(f"the snapshot {path} {says}")
        assert "do not restore from it" in caught.value.remedy
    os.unlink(path)
    with pytest.raises(EcommusError) as caught:
        snapshot.verify_checksum(path)
    assert caught.value.message == f"the snapshot {path} cannot be read: No such file or directory"
    assert "do not restore from it" in caught.value.remedy


def test_without_a_manifest_there_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "x.dump").touch()
    with pytest.raises(EcommusError) as caught:
        snapshot.verify_checksum(str(tmp_path / "x.dump"))
    assert caught.value.message == f"there is no snapshot at {tmp_path}/x.dump: it has no manifest"
    assert "state=present" in caught.value.remedy


def test_a_removal_takes_all_that_may_be_left_and_the_manifest_first(tmp_path: Path) -> None:
    path = str(tmp_path / "x.dump")
    files = (f"{tmp_path}/x.manifest.json", path, f"{path}.age", f"{path}.age.partial", f"{path}.partial")
    assert snapshot.files_of(path) == files
    for left in ([files[0], files[1]], [files[4]], files):
        for name in left:
            Path(name).touch()
        (tmp_path / "other.dump").touch()
        assert snapshot.remove(path) is True
        assert os.listdir(tmp_path) == ["other.dump"]
    assert snapshot.remove(path) is False


def disk(monkeypatch: pytest.MonkeyPatch, place: Path, size: int, free: int) -> None:
    """The file system of *place* has *size* bytes, of them *free* ones."""
    statistics = namedtuple("statistics", "f_frsize f_blocks f_bavail")
    monkeypatch.setattr(os, "statvfs", {str(place): statistics(1024, size // 1024, free // 1024)}.__getitem__)


@pytest.mark.parametrize(
    ("size", "free", "needed", "enough"),
    [
        (100 * 2**20, 30 * 2**20, 20 * 2**20, True),  # a tenth must stay free
        (100 * 2**20, 30 * 2**20, 20 * 2**20 + 1, False),
        (100 * 2**30, 3 * 2**30, 2 * 2**30, True),  # on a large one 1 GiB
        (100 * 2**30, 3 * 2**30, 2 * 2**30 + 1, False),
    ],
)
def test_a_disk_keeps_its_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, free: int, needed: int, enough: bool
) -> None:
    disk(monkeypatch, tmp_path, size, free)
    place = str(tmp_path / "not/yet")
    if enough:
        snapshot.check_space(place, needed)
        return
    with pytest.raises(EcommusError) as caught:
        snapshot.check_space(place, needed)
    assert caught.value.message.startswith(f"{tmp_path} has ")
    assert "free disk space" in caught.value.remedy
    assert caught.value.details == {"free_bytes": free, "needed_bytes": needed}


def test_a_disk_that_is_full_is_told_in_mib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, tmp_path, 1000 * 2**20, 150 * 2**20)
    with pytest.raises(EcommusError) as caught:
        snapshot.check_space(str(tmp_path), 60 * 2**20)
    assert caught.value.message == f"{tmp_path} has 150 MiB free; about 60 MiB are needed and 100 MiB must stay free"


def test_an_archive_is_read_by_its_path_or_through_a_pipe(tmp_path: Path) -> None:
    restore = tmp_path / "pg_restore"
    restore.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/asked; cat >> {tmp_path}/asked; grep -q good {tmp_path}/asked || seq 5 >&2\n')
    restore.chmod(0o755)
    tools = Tools(str(tmp_path), (17, 1))
    snapshot.read_through("/s/good.dump", tools, 60)
    assert (tmp_path / "asked").read_text() == "--file /dev/null /s/good.dump\n"
    (tmp_path / "pipe").write_text("good")
    with open(tmp_path / "pipe", "rb") as stdin:
        snapshot.read_through("/s/x.dump.age", tools, 60, stdin.fileno())
    assert (tmp_path / "asked").read_text() == "--file /dev/null\ngood"
    with pytest.raises(EcommusError) as caught:
        snapshot.read_through("/s/bad.dump", tools, 60)
    assert caught.value.message == "the snapshot /s/bad.dump cannot be read to its end: 3\n4\n5"
    assert "make a new one" in caught.value.remedy
