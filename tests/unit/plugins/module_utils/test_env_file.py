# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _env_file
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

CONTENT = b"# shop\r\nA=one\r\nB='t\xff o'\r\n"


@pytest.fixture
def env(tmp_path: Path) -> Path:
    """A file behind a link, as in a release directory."""
    real = tmp_path / "shared" / ".env"
    real.parent.mkdir()
    real.write_bytes(CONTENT)
    real.chmod(0o640)
    link = tmp_path / "release" / ".env"
    link.parent.mkdir()
    link.symlink_to(real)
    return link


def test_update_and_restore(env: Path) -> None:
    inode = env.stat().st_ino
    change = _env_file.update(str(env), {"A": "1", "C": "new"})
    assert (change.changed, change.added, change.updated) == (True, ("C",), ("A",))
    assert env.is_symlink()
    assert env.read_bytes() == b"# shop\r\nA=1\r\nB='t\xff o'\r\nC=new\r\n"
    assert env.stat().st_ino != inode, "the file was replaced in one step, not written in place"
    assert env.stat().st_mode & 0o7777 == 0o640
    assert change.backup
    backup = Path(change.backup)
    assert backup.parent == env.resolve().parent
    assert backup.read_bytes() == CONTENT
    assert backup.stat().st_mode & 0o7777 == 0o640

    again = _env_file.update(str(env), {"A": "1", "C": "new"})
    assert (again.changed, again.backup) == (False, None)

    back = _env_file.restore(str(env), str(backup))
    assert (back.changed, back.updated, back.removed) == (True, ("A",), ("C",))
    assert env.is_symlink()
    assert env.read_bytes() == CONTENT
    assert not _env_file.restore(str(env), str(backup)).changed
    assert sorted(p.name for p in env.resolve().parent.iterdir()) == [".env", backup.name], "nothing temporary is left"


def test_only_missing(env: Path) -> None:
    change = _env_file.update(str(env), {"A": "other", "C": "new"}, only_missing=True)
    assert (change.added, change.updated) == (("C",), ())
    assert b"A=one\r\n" in env.read_bytes()


def test_check_writes_nothing(env: Path) -> None:
    change = _env_file.update(str(env), {"A": "2"}, check=True)
    assert change.updated == ("A",)
    assert env.read_bytes() == CONTENT
    assert len(list(env.resolve().parent.iterdir())) == 1


def test_a_retry_keeps_the_first_backup(env: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "before")
    _env_file.update(str(env), {"A": "2"}, backup=backup)
    _env_file.update(str(env), {"A": "3"}, backup=backup)
    assert Path(backup).read_bytes() == CONTENT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_stays(env: Path) -> None:
    os.chown(env, 65534, 65534)
    change = _env_file.update(str(env), {"A": "2"})
    assert (env.stat().st_uid, env.stat().st_gid) == (65534, 65534)
    assert change.backup
    assert os.stat(change.backup).st_uid == 65534


def test_a_failed_write_leaves_the_file(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EcommusError, match="No space left"):
        _env_file.update(str(env), {"A": "2"})
    assert env.read_bytes() == CONTENT
    assert len(list(env.resolve().parent.iterdir())) == 1


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EcommusError, match="does not exist"):
        _env_file.update(str(tmp_path / "none"), {"A": "1"})
