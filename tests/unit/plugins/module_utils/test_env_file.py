# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _env_file
from ansible_collections.mdlabs.ecommus.plugins.module_utils._env_file import Change
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
    names = [".env", backup.name, f"{backup.name}.json"]
    assert sorted(p.name for p in env.resolve().parent.iterdir()) == names, "nothing temporary is left"


def later(env: Path, old: bytes, new: bytes) -> None:
    """What an operator does to the file, days after the update."""
    content = env.read_bytes()
    assert old in content
    env.resolve().write_bytes(content.replace(old, new))


def test_what_was_changed_since_stays_and_only_what_was_added_goes(env: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "before")
    _env_file.update(str(env), {"C": "new", "D": "two\nlines"}, only_missing=True, backup=backup)
    later(env, b"A=one", b"A=rotated # 2026")
    later(env, b"C=new", b"E=added by hand\r\nC=new")
    predicted = _env_file.restore(str(env), backup, check=True)
    assert (predicted.changed, predicted.added, predicted.updated, predicted.removed) == (True, (), (), ("C", "D"))
    assert (predicted.keys_before, predicted.keys_after) == (("A", "B", "E", "C", "D"), ("A", "B", "E"))
    assert b"C=new" in env.read_bytes()
    assert _env_file.restore(str(env), backup) == predicted
    assert env.read_bytes() == b"# shop\r\nA=rotated # 2026\r\nB='t\xff o'\r\nE=added by hand\r\n"
    assert (env.is_symlink(), env.stat().st_mode & 0o7777) == (True, 0o640)
    assert not _env_file.restore(str(env), backup).changed


def test_a_value_that_was_updated_stays_when_the_file_was_changed_since(env: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "before")
    _env_file.update(str(env), {"A": "updated", "C": "new"}, backup=backup)
    later(env, b"B=", b"# rotated\r\nB=")
    assert _env_file.restore(str(env), backup).removed == ("C",)
    assert env.read_bytes() == b"# shop\r\nA=updated\r\n# rotated\r\nB='t\xff o'\r\n"


def test_what_somebody_else_added_stays(env: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "before")
    _env_file.update(str(env), {"A": "updated"}, backup=backup)
    later(env, b"B=", b"E=added by hand\r\nB=")
    assert not _env_file.restore(str(env), backup).changed


def test_a_retry_knows_what_the_attempts_before_added(env: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "before")
    _env_file.update(str(env), {"C": "1"}, backup=backup)
    _env_file.update(str(env), {"C": "1", "D": "2"}, backup=backup)
    assert _env_file.restore(str(env), backup, check=True).removed == ("C", "D")
    later(env, b"A=one", b"A=rotated")
    _env_file.update(str(env), {"F": "3"}, backup=backup)
    assert _env_file.restore(str(env), backup).removed == ("C", "D", "F")
    assert env.read_bytes() == b"# shop\r\nA=rotated\r\nB='t\xff o'\r\n"


def test_a_backup_without_a_note_removes_what_it_lacks_and_keeps_what_differs(env: Path, tmp_path: Path) -> None:
    """An older version of the collection made the backup only."""
    backup = tmp_path / "before"
    _env_file.update(str(env), {"A": "updated", "C": "new"}, backup=str(backup))
    Path(f"{backup}.json").unlink()
    back = _env_file.restore(str(env), str(backup))
    assert (back.updated, back.removed) == ((), ("C",))
    assert env.read_bytes() == b"# shop\r\nA=updated\r\nB='t\xff o'\r\n"


def test_the_note_tells_no_value_and_goes_with_its_backup(env: Path, tmp_path: Path) -> None:
    backup = tmp_path / "before"
    _env_file.update(str(env), {"C": "s3cret"}, backup=str(backup))
    note = Path(f"{backup}.json")
    assert (json.loads(note.read_text())["added"], note.stat().st_mode & 0o7777) == (["C"], 0o640)
    assert "s3cret" not in note.read_text()
    note.write_text("{")
    assert _env_file.restore(str(env), str(backup)).removed == ("C",)
    _env_file.forget(str(backup))
    assert list(tmp_path.glob("before*")) == []
    backup.touch()
    _env_file.forget(str(backup))
    assert list(tmp_path.glob("before*")) == []


def test_only_missing(env: Path) -> None:
    change = _env_file.update(str(env), {"A": "other", "C": "new"}, only_missing=True)
    assert (change.added, change.updated) == (("C",), ())
    assert b"A=one\r\n" in env.read_bytes()


def test_check_writes_nothing(env: Path) -> None:
    change = _env_file.update(str(env), {"A": "2"}, check=True)
    assert change.updated == ("A",)
    assert env.read_bytes() == CONTENT
    assert len(list(env.resolve().parent.iterdir())) == 1


def test_what_was_done_is_told_whole(env: Path, tmp_path: Path) -> None:
    backup = str(tmp_path / "before")
    keys = {"keys_before": ("A", "B"), "keys_after": ("A", "B", "C")}
    done = Change(changed=True, **keys, added=("C",), updated=("A",), backup=backup)
    assert _env_file.update(str(env), {"C": "new", "A": "2", "B": "t\udcff o"}, backup=backup, check=True) == done
    assert _env_file.update(str(env), {"C": "new", "A": "2", "B": "t\udcff o"}, backup=backup) == done
    unchanged = Change(changed=False, keys_before=("A", "B", "C"), keys_after=("A", "B", "C"))
    assert _env_file.update(str(env), {"A": "2"}) == unchanged
    assert _env_file.update(str(env), {"A": "2"}, backup=str(tmp_path / "none")) == unchanged
    assert _env_file.update(str(env), {"A": "2"}, backup=backup) == dataclasses.replace(unchanged, backup=backup)
    back = Change(changed=True, keys_before=("A", "B", "C"), keys_after=("A", "B"), updated=("A",), removed=("C",), backup=backup)
    assert _env_file.restore(str(env), backup, check=True) == back
    assert env.read_bytes() != CONTENT
    assert _env_file.restore(str(env), backup, missing_ok=True) == back
    assert _env_file.restore(str(env), backup) == Change(False, ("A", "B"), ("A", "B"), backup=backup)


def test_a_backup_is_named_after_its_file_and_its_time(env: Path) -> None:
    backup = _env_file.update(str(env), {"A": "2"}).backup
    assert backup and re.fullmatch(rf"{env.resolve()}\.\d{{8}}T\d{{6}}Z\.{os.getpid()}~", backup)


def test_a_file_that_is_gone_comes_back_with_the_mode_of_its_backup(env: Path, tmp_path: Path) -> None:
    backup = tmp_path / "before"
    _env_file.update(str(env), {"A": "2"}, backup=str(backup))
    env.resolve().unlink()
    backup.chmod(0o600)
    back = _env_file.restore(str(env), str(backup))
    assert back == Change(True, (), ("A", "B"), added=("A", "B"), backup=str(backup))
    assert (env.read_bytes(), env.stat().st_mode & 0o7777) == (CONTENT, 0o600)


def test_without_a_backup_the_file_was_never_changed(env: Path, tmp_path: Path) -> None:
    none = str(tmp_path / "none")
    assert _env_file.restore(str(env), none, missing_ok=True) == Change(False, ("A", "B"), ("A", "B"))
    with pytest.raises(EcommusError, match="none does not exist"):
        _env_file.restore(str(env), none)


def test_attributes_stay(env: Path) -> None:
    try:
        os.setxattr(env, "user.note", b"n")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    _env_file.update(str(env), {"A": "2"})
    assert os.getxattr(env, "user.note") == b"n"


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
    with pytest.raises(EcommusError) as caught:
        _env_file.update(str(env), {"A": "2"}, backup=f"{env.resolve()}.before")
    assert caught.value.message == f"{env.resolve()}.before cannot be written: No space left on device"
    assert "free space" in caught.value.remedy
    assert env.read_bytes() == CONTENT
    assert len(list(env.resolve().parent.iterdir())) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(env: Path) -> None:
    folder = env.resolve().parent
    folder.chmod(0o500)
    try:
        with pytest.raises(EcommusError) as caught:
            _env_file.update(str(env), {"A": "2"})
    finally:
        folder.chmod(0o700)
    assert caught.value.message == f"{folder} cannot be written: Permission denied"
    assert "owns the shop" in caught.value.remedy


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EcommusError, match="does not exist"):
        _env_file.update(str(tmp_path / "none"), {"A": "1"})
