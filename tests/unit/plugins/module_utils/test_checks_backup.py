# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_backup, _layout
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Subject

JOB = "ecommus /opt/ecommus/scripts/backup.sh >> /var/log/ecommus-backup.log 2>&1"


def subject(**given: Any) -> Subject:
    return Subject(paths=_layout.Paths("/shop", "/shop.d"), layout="releases", version="v1.4.0", commit="", **given)


@pytest.mark.parametrize(
    ("files", "ok", "says"),
    [
        ({}, False, "holds no backup"),
        ({"old.dump": 30}, False, "old.dump, 30.0 h old"),
        ({"old.dump": 30, "daily/new.dump": 23}, True, "new.dump, 23.0 h old"),
        ({"old.dump": 30, "20260101T000000Z-upgrade.dump": 1, "20260101T000000Z-upgrade.dump.json": 1}, False, "old.dump"),
    ],
)
def test_backup_recent(tmp_path: Path, files: dict[str, float], ok: bool, says: str) -> None:
    for name, hours in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - hours * 3600,) * 2)
    found = _checks_backup.backup_recent(subject(backup_dir=str(tmp_path)))
    assert found.ok is ok
    assert says in found.found


def test_no_backup_directory(tmp_path: Path) -> None:
    found = _checks_backup.backup_recent(subject(backup_dir=str(tmp_path / "none")))
    assert not found.ok
    assert "ecommus_backup_dir" in found.remedy


@pytest.mark.parametrize(
    ("line", "now", "ok"),
    [
        (f"0 * * * * {JOB}", "12:49", True),
        (f"0 * * * * {JOB}", "12:50", False),
        (f"0 * * * * {JOB}", "13:00", False),
        (f"0 * * * * {JOB}", "13:01", True),
        (f"*/15 * * * * {JOB}", "12:05", False),
        (f"0,30 * * * * {JOB}", "12:25", False),
        (f"0 3 * * * {JOB}", "12:55", True),
        (f"0 0-4/2 * * * {JOB}", "23:55", False),
        (f"@hourly {JOB}", "12:55", False),
        (f"# 0 * * * * {JOB}", "12:55", True),
        ("MAILTO=root", "12:55", True),
        (f"x y * * * {JOB}", "12:55", True),
    ],
)
def test_backup_collision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, now: str, ok: bool) -> None:
    (tmp_path / "job").write_text(f"SHELL=/bin/sh\n{line}\n")
    moment = datetime.datetime.fromisoformat(f"2026-03-01T{now}:30+02:00")
    monkeypatch.setattr(_checks_backup, "_now", lambda: moment)
    assert _checks_backup.backup_collision(subject(backup_cron_file=str(tmp_path / "job"))).ok is ok


def test_no_cron_file(tmp_path: Path) -> None:
    assert _checks_backup.backup_collision(subject(backup_cron_file=str(tmp_path / "none"))).ok


@pytest.mark.parametrize(
    ("given", "ok", "says"),
    [
        ({}, True, "neither encrypted nor shipped"),
        ({"snapshot_ship": ["cp", "{path}", "/mnt/"]}, True, "cp ships them"),
        ({"snapshot_ship": ["cp", "/mnt/"]}, False, "does not say where {path} goes"),
        ({"snapshot_ship": ["no-such-program", "{path}"]}, False, "no-such-program of ecommus_snapshot_ship is not on this host"),
    ],
)
def test_snapshot_kept_safe(given: dict[str, Any], ok: bool, says: str) -> None:
    finding = _checks_backup.snapshot_kept_safe(subject(**given))
    assert (finding.ok, says in finding.found) == (ok, True), finding


def test_snapshots_cannot_be_encrypted_without_age(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EcommusError, match="the command age is not on this host"):
        _checks_backup.snapshot_kept_safe(subject(snapshot_recipients=["age1x"]))
