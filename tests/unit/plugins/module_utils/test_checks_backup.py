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
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Finding, Subject

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
    assert (found.ok, found.found) == (False, f"there is no directory {tmp_path / 'none'}")
    assert "within 24 h" in found.remedy and "ecommus_backup_dir" in found.remedy
    (tmp_path / "none").mkdir()
    empty = _checks_backup.backup_recent(subject(backup_dir=str(tmp_path / "none"), backup_max_age_hours=1.5))
    assert (empty.ok, empty.found) == (False, f"{tmp_path / 'none'} holds no backup")
    assert "within 1.5 h" in empty.remedy


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
        ("@hourly", "23:55", False),
        (f"@hourly2 {JOB}", "12:55", True),
        (f"@daily {JOB}", "23:55", True),
        ("0 * * * * ecommus backup", "12:55", False),
        ("0 * * * * backup", "12:55", True),
        (f"50-59 8-18/2 * * * {JOB}", "12:45", False),
        (f"50-59 8-18/2 * * * {JOB}", "13:45", True),
        (f"70 * * * * {JOB}", "12:55", True),
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


def test_a_collision_is_told_with_both_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job"
    monkeypatch.setattr(_checks_backup, "_now", lambda: datetime.datetime(2026, 3, 1, 12, 55))

    def found(text: str, margin: int = 10) -> Finding:
        job.write_text(text)
        return _checks_backup.backup_collision(subject(backup_cron_file=str(job), backup_margin_minutes=margin))

    hit = found(f"0 * * * * {JOB}\n")
    assert (hit.ok, hit.found) == (False, f"by {job} a backup starts at 13:00, it is 12:55")
    assert "start after it" in hit.remedy
    assert found(f"0 * * * * {JOB}\n", 4) == Finding(True, f"none within 4 min by {job}")
    assert found(f"0 * * * * {JOB}\n", 5).ok is False
    assert found("MAILTO=root\n") == Finding(True, f"{job} holds no job that is understood")
    assert _checks_backup.backup_collision(subject(backup_cron_file="")) == Finding(True, "there is no cron file to ask")


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("@hourly", ({0}, set(range(24)))),
        ("*/20 1,5 * * * u c", ({0, 20, 40}, {1, 5})),
        ("5 22-99 * * * u c", ({5}, {22, 23})),
        ("5-9/2 */12 * * * u c", ({5, 7, 9}, {0, 12})),
        ("60 * * * * u c", (set(), set(range(24)))),
        ("*/0 * * * * u c", None),
        ("-5 * * * * u c", None),
    ],
)
def test_which_minutes_and_hours_a_line_means(line: str, times: tuple[set[int], set[int]] | None) -> None:
    assert _checks_backup._schedule(line) == times


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
