# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of each disk as a whole: what the other checks want room for may lie on the same one."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_database, _checks_host, _postgres, _snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Finding, Need, Run, Subject, check

MIB = 1024 * 1024
WAL = "the WAL of that copy"

# The WAL that is kept at most, or NULL where nothing bounds it. PostgreSQL 17 docs, 28.5 "WAL Configuration": what exceeds
# max_wal_size is removed at the next checkpoint, except for wal_keep_size, and for what an archive or a replication slot waits for.
_WAL_LIMIT = """
SELECT CASE WHEN current_setting('archive_mode') = 'off' AND NOT EXISTS (SELECT FROM pg_replication_slots)
       THEN greatest(pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('wal_keep_size', true))) END
"""


@check("Each disk has room for all that the upgrade puts on it", "disk", "database")
def room_for_all(subject: Subject) -> Finding:
    disks: dict[int, list[Need]] = {}
    for need in _needs(subject):
        disks.setdefault(_device(need.place), []).append(need)
    found = "; ".join(map(_told, disks.values())) or "nothing is known of what is needed"
    # What is alone on its disk has its own check, except for the WAL.
    short = [needs for needs in disks.values() if (len(needs) > 1 or needs[0].what == WAL) and not _fits(needs)]
    places = " and ".join(needs[0].place for needs in short)
    return Finding(not short, found, f"free space on the disk of {places}, or set ecommus_snapshot_dir to another disk")


def _device(place: str) -> int:
    return os.stat(place).st_dev


def _needs(subject: Subject) -> list[Need]:
    copy = _needs_of(_checks_database.room_for_copy, subject)
    beside = [*_needs_of(_checks_host.room_for_release, subject), *_needs_of(_checks_database.room_for_snapshot, subject)]
    return [*beside, *copy, *(_wal(subject, each) for each in copy)]


def _needs_of(one: Run, subject: Subject) -> tuple[Need, ...]:
    """What another check wants room for. When it cannot tell, or a copy is not made because it does not fit, it says so itself."""
    with contextlib.suppress(EcommusError, OSError):
        return subject.finding(one).needs
    return ()


def _wal(subject: Subject, copy: Need) -> Need:
    """Restoring *copy* writes about as much WAL; ``pg_wal`` may be a link to another disk, if it can be seen."""
    with _postgres.session(subject.database) as connection:
        limit = _postgres.value(connection, _WAL_LIMIT)
    place = os.path.join(copy.place, "pg_wal")
    return Need(WAL, place if os.path.exists(place) else copy.place, min(copy.bytes, limit or copy.bytes))


def _fits(needs: t.Sequence[Need]) -> bool:
    try:
        _snapshot.check_space(needs[0].place, sum(need.bytes for need in needs))
    except EcommusError:
        return False
    return True


def _told(needs: t.Sequence[Need]) -> str:
    wanted = ", ".join(f"{need.bytes // MIB} MiB for {need.what} in {need.place}" for need in needs)
    free, total = shutil.disk_usage(needs[0].place).free, sum(need.bytes for need in needs)
    return f"{free // MIB} MiB free, up to {total // MIB} MiB needed: {wanted}"
