# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the shop's regular backup (a recent one, and none in the middle of the upgrade), and of what happens to snapshots."""

from __future__ import annotations

import datetime
import os
import re
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import WARNING, Finding, Subject, check

# Snapshots of this collection, which may lie beside the backups, are named by their run.
_OUR_SNAPSHOT = re.compile(r"\d{8}T\d{6}Z-upgrade")


@check("Snapshots can be encrypted and shipped", "backup")
def snapshot_kept_safe(subject: Subject) -> Finding:
    said = []
    if subject.snapshot_recipients:
        _age.check_recipients(subject.snapshot_recipients, subject.path_prefix)
        said.append(f"age takes the {len(subject.snapshot_recipients)} recipients")
    if subject.snapshot_ship:
        name = subject.snapshot_ship[0]
        if subject.program(name) is None:
            return Finding(False, f"{name} of ecommus_snapshot_ship is not on this host", "install it, or correct its path")
        if not any("{path}" in part for part in subject.snapshot_ship):
            return Finding(False, "ecommus_snapshot_ship does not say where {path} goes", "put {path} among its arguments")
        said.append(f"{name} ships them")
    return Finding(True, ", ".join(said) or "they are neither encrypted nor shipped")


@check("There is a recent backup", "backup", severity=WARNING)
def backup_recent(subject: Subject) -> Finding:
    place, limit = subject.backup_dir, subject.backup_max_age_hours
    remedy = f"see that the regular backup works (it should have run within {limit:g} h), or correct ecommus_backup_dir"
    if not os.path.isdir(place):
        return Finding(False, f"there is no directory {place}", remedy)
    newest = max(_backups(place), default=None)
    if newest is None:
        return Finding(False, f"{place} holds no backup", remedy)
    hours = (time.time() - newest[0]) / 3600
    return Finding(hours <= limit, f"the newest file in {place} is {newest[1]}, {hours:.1f} h old", remedy)


@check("The regular backup does not start during the upgrade", "backup", severity=WARNING)
def backup_collision(subject: Subject) -> Finding:
    path, margin = subject.backup_cron_file, subject.backup_margin_minutes
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return Finding(True, f"there is no {path or 'cron file'} to ask")
    jobs = [schedule for schedule in map(_schedule, lines) if schedule is not None]
    now = _now()
    for ahead in range(margin + 1):
        moment = now + datetime.timedelta(minutes=ahead)
        # The minute that has begun is over for cron, but its backup may have just started.
        if any(moment.minute in minutes and moment.hour in hours for minutes, hours in jobs):
            return Finding(
                False,
                f"by {path} a backup starts at {moment:%H:%M}, it is {now:%H:%M}",
                "start after it: a dump that is taken in the middle of a migration is worth nothing, and it holds up what changes tables",
            )
    return Finding(True, f"none within {margin} min by {path}" if jobs else f"{path} holds no job that is understood")


def _now() -> datetime.datetime:
    """The host's local time, by which cron goes."""
    return datetime.datetime.now().astimezone()


def _backups(place: str) -> t.Iterator[tuple[float, str]]:
    """Time and name of every file below *place*, our own snapshots left out."""
    for directory, _directories, names in os.walk(place):
        for name in names:
            if not _OUR_SNAPSHOT.match(name):
                status = os.lstat(os.path.join(directory, name))
                yield status.st_mtime, name


def _schedule(line: str) -> tuple[set[int], set[int]] | None:
    """Minutes and hours of a line of crontab(5); the day fields are taken as every day. None for any other line."""
    if line.strip() == "@hourly" or line.startswith("@hourly "):
        return {0}, set(range(24))
    words = line.split()
    if len(words) < 7 or words[0].startswith(("#", "@")):  # five fields, the user, the command
        return None
    try:
        return _field(words[0], 60), _field(words[1], 24)
    except ValueError:
        return None


def _field(text: str, end: int) -> set[int]:
    """The numbers below *end* that a field means: ``*``, ``*/15``, ``0,30``, ``8-18``, ``8-18/2``."""
    found: set[int] = set()
    for part in text.split(","):
        span, _slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        numbers = range(end) if span == "*" else range(int(first), (int(last) if dash else int(first)) + 1)
        # What lies beyond means nothing to cron, and in a file with a slip could be more than fits into memory.
        found.update(number for number in numbers[:end][:: int(step or 1)] if number < end)
    return found
