# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several checks want room for is added up by disk. The disks, and what is wanted, are made up."""

from __future__ import annotations

import collections
import contextlib
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_database, _checks_disk, _checks_host, _files, _layout
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Finding, Need, Subject

MIB = 1024 * 1024
RELEASE, SNAPSHOT, COPY = ("room_for_release", 300), ("room_for_snapshot", 100), ("room_for_copy", 500)


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return Subject(paths=_layout.Paths(str(tmp_path / "shop"), f"{tmp_path}/shop.d"), layout="releases", version="v1.4.0", commit="")


class Host:
    """Disks by the directory that is on each, and the limit of the server's WAL."""

    def __init__(self, base: Path, patch: pytest.MonkeyPatch) -> None:
        self.base, self.patch = base, patch
        self.free: dict[str, int] = {}
        self.disk: dict[str, str] = {}
        self.limit: int | None = None
        patch.setattr(_checks_disk, "_device", lambda place: self.disk[place])
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=self._free(path)))
        patch.setattr(_checks_disk._snapshot, "_space", lambda path: (self._free(path), 10 * MIB))
        patch.setattr(_checks_disk._postgres, "session", lambda _target: contextlib.nullcontext())
        patch.setattr(_checks_disk._postgres, "value", lambda _connection, _query: self.limit)
        patch.setattr(Subject, "database", None)
        for name in (RELEASE[0], SNAPSHOT[0], COPY[0]):
            patch.setattr(self._module(name), name, lambda _subject: Finding(True, "not seen from here"))

    @staticmethod
    def _module(check: str) -> ModuleType:
        return _checks_host if check == "room_for_release" else _checks_database

    def _free(self, path: str) -> int:
        return self.free[self.disk[str(path)]] * MIB

    def wants(self, check: tuple[str, int], disk: str, sub: str = "") -> None:
        name, size = check
        place = self.base / name / sub
        place.mkdir(parents=True, exist_ok=True)
        self.disk[str(place)] = disk
        self.patch.setattr(self._module(name), name, lambda _subject: Finding(True, "", needs=(Need(name, str(place), size * MIB),)))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


@pytest.mark.parametrize(("free", "ok"), [(1410, True), (1409, False)])
def test_one_disk_has_to_take_the_sum_and_leave_the_reserve(subject: Subject, host: Host, free: int, ok: bool) -> None:
    for check in (RELEASE, SNAPSHOT, COPY):
        host.wants(check, "only")
    host.free = {"only": free}
    found = _checks_disk.room_for_all(subject)
    base = host.base
    assert (found.ok, found.found) == (
        ok,
        f"{free} MiB free, up to 1400 MiB needed: 300 MiB for room_for_release in {base}/room_for_release,"
        f" 100 MiB for room_for_snapshot in {base}/room_for_snapshot, 500 MiB for room_for_copy in {base}/room_for_copy,"
        f" 500 MiB for the WAL of that copy in {base}/room_for_copy",
    )
    assert ok or f"disk of {base}/room_for_release," in found.remedy


@pytest.mark.parametrize(("limit", "wal"), [(None, 500), (200, 200), (900, 500)])
def test_wal_is_bounded_by_the_copy_and_where_nothing_keeps_it_by_the_server(
    subject: Subject, host: Host, limit: int | None, wal: int
) -> None:
    host.wants(COPY, "data")
    host.limit = limit and limit * MIB
    for spare, ok in ((0, True), (-1, False)):
        host.free = {"data": 500 + wal + 10 + spare}
        assert _checks_disk.room_for_all(subject).ok is ok


def test_each_disk_is_judged_by_itself_and_one_need_alone_by_its_own_check(subject: Subject, host: Host) -> None:
    host.wants(RELEASE, "small")
    host.wants(SNAPSHOT, "backup")
    host.wants(COPY, "data")
    wal = host.base / "room_for_copy/pg_wal"
    wal.mkdir()
    host.disk[str(wal)] = "wal"
    host.free = {"small": 1, "backup": 1, "data": 1, "wal": 510}
    assert _checks_disk.room_for_all(subject).ok
    host.free["wal"] = 509  # no other check looks at it
    assert not _checks_disk.room_for_all(subject).ok
    host.disk[str(wal)] = "backup"
    found = _checks_disk.room_for_all(subject)
    assert not found.ok
    assert f"disk of {host.base}/room_for_snapshot," in found.remedy and "room_for_release" not in found.remedy


def test_a_copy_that_does_not_fit_at_all_is_not_made_and_not_counted(subject: Subject, host: Host) -> None:
    host.wants(RELEASE, "only")
    host.wants(SNAPSHOT, "only")

    def full(_subject: Subject) -> Finding:
        raise EcommusError("it does not fit", "free space")

    host.patch.setattr(_checks_database, "room_for_copy", full)
    host.free = {"only": 410}
    assert _checks_disk.room_for_all(subject).ok
    host.free = {"only": 409}
    assert not _checks_disk.room_for_all(subject).ok


def test_nothing_known_stops_nothing(subject: Subject, host: Host) -> None:
    found = _checks_disk.room_for_all(subject)
    assert (found.ok, found.found) == (True, "nothing is known of what is needed")


def test_the_live_release_is_measured_once(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: collections.Counter[str] = collections.Counter()

    def slowly(path: str) -> int:
        asked[path] += 1
        time.sleep(0.05)
        return 7

    monkeypatch.setattr(_files, "size_below", slowly)
    found: list[int] = []
    measured = lambda: found.append(subject.finding(_checks_host.room_for_release).facts["release_bytes"])  # noqa: E731
    both = [threading.Thread(target=measured) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert (found, dict(asked)) == ([7, 7], {subject.live: 1})


def test_the_release_wants_a_tenth_more_than_the_live_one(tmp_path: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_files, "size_below", lambda _path: 100)
    assert _checks_host.room_for_release(subject).needs == (Need("the release", str(tmp_path), 110),)
