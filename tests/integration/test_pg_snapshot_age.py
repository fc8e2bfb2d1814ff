# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encrypted snapshots, with the real age and real servers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot_away as away
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from postgres_cluster import Shop
from snapshot_calls import BIN, call, left

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(shutil.which("age") is None, reason="the package age is not installed")]


def identity(path: Path) -> str:
    """Make a private key in the file *path*; the public one."""
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def encrypted(pg_database: Shop, path: Path, tmp_path: Path) -> dict:
    """A snapshot that was encrypted for two people."""
    recipients = [identity(tmp_path / "key"), identity(tmp_path / "other")]
    call(database_url=pg_database.url, path=str(path))
    wanted = {"state": "encrypted", "database_url": pg_database.url, "path": str(path), "recipients": recipients}
    assert call(**wanted, _ansible_check_mode=True)["changed"]
    assert left(path) == {"pre.dump", "pre.manifest.json"}
    made = call(**wanted)
    assert made["changed"], made
    assert not call(**wanted)["changed"]
    return made["manifest"]


def test_is_no_longer_plain_and_is_restored_through_a_pipe(pg_database: Shop, path: Path, tmp_path: Path, encrypted: dict) -> None:
    assert left(path) == {"pre.dump.age", "pre.manifest.json"}
    file = Path(encrypted["file"])
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (encrypted["size"], encrypted["sha256"]) == (file.stat().st_size, snapshot.sha256(str(file)))
    for key in ("key", "other"):
        wanted = {"database_url": pg_database.url, "path": str(path), "identity_file": str(tmp_path / key)}
        assert call(state="verified", **wanted)["manifest"]["encrypted"]
        done = call(state="restored", target_database=f"copy_{key}", jobs=2, **wanted)
        assert done["restored"]["rows"] > 5000, done
        assert not call(state="restored", target_database=f"copy_{key}", **wanted)["changed"]
        assert left(path) == {"pre.dump.age", "pre.manifest.json"}
    # What runs again finds it, and makes no plain one.
    assert not call(database_url=pg_database.url, path=str(path))["changed"]
    call(state="absent", database_url=pg_database.url, path=str(path))
    assert left(path) == set()


def test_without_the_right_identity_nothing_is_restored(pg_database: Shop, path: Path, tmp_path: Path, encrypted: dict) -> None:
    identity(tmp_path / "stranger")
    wanted = {"state": "restored", "database_url": pg_database.url, "path": str(path), "target_database": "copy"}
    for given, says in (
        ({"identity_file": str(tmp_path / "stranger")}, "age cannot decrypt .*no identity matched any of the recipients"),
        ({"identity_file": str(tmp_path / "nowhere")}, "its identity .*nowhere cannot be read"),
        ({}, "the snapshot is encrypted, and no identity was given"),
    ):
        answer = call(**wanted, **given)
        assert answer["failed"]
        assert re.search(says, answer["msg"]), answer["msg"]
        databases = call(state="described", database_url=pg_database.url)["server"]["databases"]
        assert not [database["name"] for database in databases if database["name"].startswith("copy")]
    # Without one it can still be told whether it is what was made.
    assert "failed" not in call(state="verified", database_url=pg_database.url, path=str(path))
    assert call(state="verified", database_url=pg_database.url, path=str(path), identity_file=str(tmp_path / "stranger"))["failed"]


def test_damage_is_found(pg_database: Shop, path: Path, tmp_path: Path, encrypted: dict) -> None:
    file = Path(encrypted["file"])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "does not match the SHA-256" in call(state="verified", database_url=pg_database.url, path=str(path))["msg"]
    # And by age itself, had the manifest been forged as well.
    with pytest.raises(EcommusError, match="age cannot decrypt"), _age.decrypted(str(file), str(tmp_path / "key")) as stdin:
        snapshot.read_through(str(path), snapshot.newest_tools("", BIN), 60, stdin)


def test_a_killed_encryption_leaves_one_whole_snapshot(pg_database: Shop, path: Path, tmp_path: Path) -> None:
    """Whatever was there when it was killed: the manifest says which file counts, and the next run ends with that one alone."""
    options = snapshot.Options(recipients=[identity(tmp_path / "key")], identity_file=str(tmp_path / "key"))
    wanted = {"database_url": pg_database.url, "path": str(path), "identity_file": str(tmp_path / "key")}
    call(**wanted)
    plain = path.read_bytes()
    for half in (".age.partial", ".age"):  # before the manifest was written
        Path(f"{path}{half}").write_bytes(b"age-encryption.org/v1\nhalf")
        assert "failed" not in call(state="verified", **wanted)
    assert away.encrypt(str(path), options)
    path.write_bytes(plain)  # after the manifest was written
    assert "failed" not in call(state="verified", **wanted)
    assert away.encrypt(str(path), options) and not away.encrypt(str(path), options)
    assert left(path) == {"pre.dump.age", "pre.manifest.json"}


def test_is_shipped_as_it_is(pg_database: Shop, path: Path, tmp_path: Path, encrypted: dict) -> None:
    wanted = {"state": "shipped", "database_url": pg_database.url, "path": str(path)}
    assert call(**wanted, ship=["cp", "{path}", str(tmp_path / "away")])["changed"]
    assert snapshot.sha256(str(tmp_path / "away")) == encrypted["sha256"]
    answer = call(**wanted, ship=["cp", "{path}", str(tmp_path / "nowhere" / "away")])
    assert re.search("the snapshot was not shipped: cp ended with exit code 1: .*No such file", answer["msg"]), answer


def test_what_is_missing_is_said(pg_database: Shop, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EcommusError, match="malformed recipient"):
        _age.check_recipients(["age1nonsense"])
    _age.check_recipients([identity(tmp_path / "key")])
    call(database_url=pg_database.url, path=str(path))
    answer = call(state="encrypted", database_url=pg_database.url, path=str(path), recipients=["age1nonsense"])
    assert "malformed recipient" in answer["msg"]
    assert left(path) == {"pre.dump", "pre.manifest.json"}
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EcommusError, match="the command age is not on this host"):
        _age.program()
