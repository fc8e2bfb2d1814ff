# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing what :mod:`_retention` lets go of: looking what there is, and taking away one thing after the other.

Another run may begin meanwhile and need what is about to go. So each thing is judged once more, by the journal of that
moment and while nobody else can write it, before it becomes unusable; only then does the slow part of its removal begin.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import os
import shutil
import stat
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database as database
from ansible_collections.mdlabs.ecommus.plugins.module_utils import (
    _env_file,
    _files,
    _git,
    _layout,
    _process,
    _release,
    _retention,
    _snapshot,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal, Run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._layout import Paths
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock import Lock
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, rows
from ansible_collections.mdlabs.ecommus.plugins.module_utils._retention import Found, History, Policy, Release, Stored, Verdict

_SERVER_DATABASES = ("postgres", "template0", "template1")


@dataclasses.dataclass(frozen=True)
class Install:
    """Where everything of one install lies, and who may drop its databases."""

    paths: Paths
    state_dir: str
    snapshot_dir: str
    target: Target
    admin: Target


@dataclasses.dataclass
class Outcome:
    """What was done; in check mode what would be. ``errors`` has an ``error`` for each thing."""

    removed: list[Verdict] = dataclasses.field(default_factory=list)
    kept: list[Verdict] = dataclasses.field(default_factory=list)
    errors: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    rollback_available_until: str | None = None

    def problem(self) -> EcommusError | None:
        """What could not be removed, as one error."""
        if not self.errors:
            return None
        lines = [f"{each['kind']} {each['name']}: {each['error']}" for each in self.errors]
        return EcommusError(f"could not be removed: {'; '.join(lines)}", "mend that, then run prune.yml; all else was removed")

    def as_dict(self) -> dict[str, t.Any]:
        """What the module returns."""
        removed, kept = ([each.as_dict() for each in verdicts] for verdicts in (self.removed, self.kept))
        stays = sorted(f"{each['kind']} {each['name']}" for each in [*kept, *self.errors])
        was = sorted([*stays, *(f"{each['kind']} {each['name']}" for each in removed)])
        lines = [f"removed {_line(each)}" for each in self.removed] + [f"kept {_line(each)}" for each in self.kept]
        lines.append(f"rollback with the standby database: {self.rollback_available_until or 'not available'}")
        return {
            "changed": bool(removed),
            "removed": removed,
            "kept": kept,
            "errors": self.errors,
            "bytes_freed": sum(each.bytes for each in self.removed),
            "bytes_kept": sum(each.bytes for each in self.kept if not (each.kind == _retention.RELEASE and each.why == _retention.LIVE)),
            "summary": lines,
            "diff": {"before": _text(was), "after": _text(stays)},
            **({"rollback_available_until": self.rollback_available_until} if self.rollback_available_until else {}),
        }


def _line(verdict: Verdict) -> str:
    return f"{verdict.kind} {verdict.name} ({verdict.bytes / 2**20:.1f} MiB): {verdict.why}"


def _text(lines: t.Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def prune(install: Install, policy: Policy, *, check: bool = False) -> Outcome:
    """Remove what *policy* lets go of. What cannot be removed is in the outcome and stops nothing else.

    :param check: only say what would be done.
    :raises EcommusError: when it cannot be told what is live, or when the journal cannot be read; nothing is removed then.
    """
    outcome = Outcome()
    runs = Journal.load(install.state_dir).runs
    found = look(install, runs, outcome.errors)
    for verdict in _judge(install, policy, runs, found):
        if verdict.keep:
            outcome.kept.append(verdict)
            continue
        try:
            now = verdict if check else _remove(install, policy, found, verdict)
        except (EcommusError, OSError) as error:
            outcome.errors.append({**verdict.as_dict(), "error": str(error)})
        else:
            (outcome.kept if now.keep else outcome.removed).append(now)
    outcome.rollback_available_until = _retention.rollback_available_until(History(runs, policy, _now()))
    return outcome


def _judge(install: Install, policy: Policy, runs: t.Sequence[Run], found: Found) -> list[Verdict]:
    return _retention.plan(History(runs, policy, _now()), found, install.snapshot_dir, install.paths.base)


def _remove(install: Install, policy: Policy, found: Found, verdict: Verdict) -> Verdict:
    """Remove one thing, unless the journal of this moment keeps it; returns the verdict of this moment."""
    with Lock(install.state_dir).guard():
        runs = Journal.load(install.state_dir).runs
        now = next(each for each in _judge(install, policy, runs, found) if (each.kind, each.name) == (verdict.kind, verdict.name))
        aside = None if now.keep else _make_unusable(install, now)
    if aside:
        shutil.rmtree(aside)
    return now


def _make_unusable(install: Install, verdict: Verdict) -> str | None:
    """The quick part of a removal; returns a directory of which only the content is left to be removed."""
    if verdict.kind == _retention.RELEASE:
        return _release.set_aside(install.paths, verdict.name)
    if verdict.kind == _retention.SNAPSHOT:
        _snapshot.remove(verdict.name)
    elif verdict.kind == _retention.ENVIRONMENT:
        _env_file.forget(verdict.name)
    elif verdict.kind == _retention.EVIDENCE:
        shutil.rmtree(Journal(install.state_dir).evidence(verdict.name))
    else:
        with database.maintenance(install.admin) as connection:
            database.drop(connection, verdict.name)
    return None


def look(install: Install, runs: t.Sequence[Run], errors: list[dict[str, t.Any]]) -> Found:
    """What there is. When the server does not answer, no database is judged, and *errors* says so."""
    live = [os.path.realpath(path) for path in (_layout.observe(install.paths).directory, install.paths.current)]
    databases: dict[str, _retention.Database] = {}
    try:
        databases = _databases(install)
    except EcommusError as error:
        errors.append({"kind": _retention.DATABASE, "name": "*", "bytes": 0, "why": "", "error": str(error)})
    snapshots = {
        path: found for path in (_retention.snapshot_of(run, install.snapshot_dir) for run in runs) if (found := _snapshot_at(path))
    }
    failed = {path: found for run in runs for path in _failed_dumps(run) if (found := _snapshot_at(path))}
    backups = [_retention.environment_of(run, install.paths.base) for run in runs]
    evidence = Journal(install.state_dir).evidence("")
    return Found(
        live_databases=frozenset([install.target.database, install.admin.database, *_SERVER_DATABASES]),
        releases=[_release_at(path, os.path.realpath(path) in live) for path in _directories(install.paths.releases)],
        snapshots={path: stored for path, stored in snapshots.items() if stored is not None},
        failed_dumps=failed,
        environments={path: Stored(size(path)) for path in backups if os.path.isfile(path)},
        evidence={os.path.basename(path): Stored(size(path)) for path in _directories(evidence)},
        databases=databases,
    )


def _failed_dumps(run: Run) -> list[str]:
    """Where what failed is dumped, and where older dumps of it stepped aside; see :func:`_revert.revert`."""
    path = _retention.failed_dump_of(run)
    if not path:
        return []
    stem = path[: -len(_snapshot.SUFFIX)]
    return [path, *(found[: -len(".manifest.json")] + _snapshot.SUFFIX for found in glob.glob(f"{glob.escape(stem)}.*.manifest.json"))]


def _databases(install: Install) -> dict[str, _retention.Database]:
    with database.maintenance(install.admin) as connection:
        # Autovacuum's sessions have no user.
        sessions = dict(rows(connection, "SELECT datname, count(*) FROM pg_stat_activity WHERE usesysid IS NOT NULL GROUP BY 1"))
        found = database.state(connection, install.target.database)["databases"]
    return {each["name"]: _retention.Database(each["bytes"] or 0, sessions.get(each["name"], 0)) for each in found}


def _directories(parent: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(entry.path for entry in os.scandir(parent) if entry.is_dir(follow_symlinks=False))
    return []


def _release_at(directory: str, live: bool) -> Release:
    marker = _layout.read_marker(directory)
    made = None
    with contextlib.suppress(FileNotFoundError):
        made = datetime.datetime.fromtimestamp(os.stat(os.path.join(directory, _layout.MARKER)).st_mtime, datetime.timezone.utc)
    commit = str(marker.get("commit") or "")
    if not commit and os.path.exists(os.path.join(directory, ".git")):
        commit = _git.commit_of(directory, "HEAD") or ""
    return Release(
        directory=directory,
        commit=commit,
        bytes=size(directory),
        live=live,
        prepared=bool(marker),
        made=made,
        users=tuple(_process.running_below(directory)),
        mounts=tuple(_files.mounts_below(directory)),
        edited=bool(marker.get("adopted")) and _edited(directory),
    )


def _edited(directory: str) -> bool:
    try:
        return bool(_git.changed_files(directory))
    except EcommusError:
        return True  # not known is not unchanged


def _snapshot_at(path: str) -> Stored | None:
    """The snapshot at *path*, or what a killed run left of it."""
    manifest = None
    with contextlib.suppress(EcommusError):
        manifest = _snapshot.load(path)
    there = [name for name in _snapshot.files_of(path) if os.path.isfile(name)]
    whole = manifest is not None and os.path.isfile(manifest["file"]) and os.path.getsize(manifest["file"]) == manifest.get("size")
    return Stored(sum(map(size, there)), whole) if there else None


def size(path: str) -> int:
    """Bytes on the disk that removing *path* sets free: files that have a second name elsewhere are not counted.

    The objects of a release's git directory are such, they belong to the mirror as well.
    """
    total = 0
    pending = [path]
    while pending:
        here = pending.pop()
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to read
            status = os.lstat(here)
            if stat.S_ISDIR(status.st_mode):
                pending += [entry.path for entry in os.scandir(here)]
            if stat.S_ISDIR(status.st_mode) or status.st_nlink == 1:
                total += status.st_blocks * 512  # st_blocks is in units of 512 bytes: stat(2)
    return total


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
