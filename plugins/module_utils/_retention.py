# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the things that runs leave behind is kept, why, and what may go. A judgement only: nothing is read or removed here.

Nothing is guessed from a name. A database, a snapshot or a backup is judged only when a run of the journal names it, and
several runs that name the same thing must all let go of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import INTERRUPTED, OPEN, ROLLBACK_FAILED, SUCCEEDED, Run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._release import REMOVED
from ansible_collections.mdlabs.ecommus.plugins.module_utils._restore import PARTIAL
from ansible_collections.mdlabs.ecommus.plugins.module_utils._snapshot import SUFFIX

RELEASE, SNAPSHOT, DATABASE, ENVIRONMENT, EVIDENCE = "release", "snapshot", "database", "environment backup", "evidence"
LIVE = "it is live"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclasses.dataclass(frozen=True)
class Policy:
    """How long and how much."""

    window: datetime.timedelta
    keep_runs: int


@dataclasses.dataclass(frozen=True)
class Release:
    """A directory below ``releases``.

    :param live: whether the root or ``current`` leads to it.
    :param prepared: whether it carries the marker of this collection.
    :param made: when the marker was last written; None without one.
    :param users: processes that run from it.
    :param mounts: what is mounted in it, and would be removed as well.
    :param edited: an adopted checkout with files that git does not know or that differ: they are the operator's.
    """

    directory: str
    commit: str
    bytes: int = 0
    live: bool = False
    prepared: bool = True
    made: datetime.datetime | None = None
    users: tuple[int, ...] = ()
    mounts: tuple[str, ...] = ()
    edited: bool = False


@dataclasses.dataclass(frozen=True)
class Stored:
    """A file or directory; ``whole`` is about snapshots: there, with a manifest that fits its size."""

    bytes: int = 0
    whole: bool = True


@dataclasses.dataclass(frozen=True)
class Database:
    """A database that exists, and how many sessions of clients are in it."""

    bytes: int = 0
    sessions: int = 0


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is. Snapshots, dumps of what failed and environment backups by path, evidence by run id, databases by name.

    :param live_databases: the shop's own one and those that belong to the server.
    """

    live_databases: frozenset[str]
    releases: t.Sequence[Release] = ()
    snapshots: t.Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    environments: t.Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    evidence: t.Mapping[str, Stored] = dataclasses.field(default_factory=dict)
    databases: t.Mapping[str, Database] = dataclasses.field(default_factory=dict)
    failed_dumps: t.Mapping[str, Stored] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What becomes of one thing; ``name`` is its path, or the name of the database."""

    kind: str
    name: str
    bytes: int
    keep: bool
    why: str

    def as_dict(self) -> dict[str, t.Any]:
        return {"kind": self.kind, "name": self.name, "bytes": self.bytes, "why": self.why}


def snapshot_of(run: Run, snapshot_dir: str) -> str:
    """Where the snapshot of *run* lies, or would; a run that was killed may not have come to writing it down."""
    return str((run["facts"].get("snapshot") or {}).get("path") or os.path.join(snapshot_dir, f"{run['id']}.dump"))


def failed_dump_of(run: Run) -> str:
    """Where what failed would be dumped before the snapshot of *run* is restored in place; empty where names are exchanged instead."""
    return str(run["facts"].get("failed_dump") or "")


def environment_of(run: Run, base: str) -> str:
    """Where the environment file from before *run* lies, or would."""
    return os.path.join(base, f"env.before-{run['id']}")


def databases_of(run: Run) -> dict[str, str]:
    """The databases that *run* names, with the fact that names them; the half-made copy of a killed restore among them."""
    standby, kept = (run["facts"].get(fact) for fact in ("standby_database", "kept_database"))
    named = {standby: "standby_database", f"{standby}{PARTIAL}": "standby_database"} if standby else {}
    return {**named, **({kept: "kept_database"} if kept else {})}


class History:
    """The runs of a journal, and the questions that a retention asks about them."""

    def __init__(self, runs: t.Sequence[Run], policy: Policy, now: datetime.datetime) -> None:
        self.runs, self.policy, self.now = list(runs), policy, now
        self.position = {run["id"]: place for place, run in enumerate(self.runs)}
        self.last_upgrade = next((r for r in reversed(self.runs) if r["operation"] == "upgrade" and r["outcome"] == SUCCEEDED), None)
        self.untouchable = self._untouchable()

    def _untouchable(self) -> set[str]:
        """The runs that are not over, or that nobody has dealt with, and the upgrades that they undo."""
        found = set()
        dealt_with = False
        for run in reversed(self.runs):
            unsettled = run["outcome"] in (ROLLBACK_FAILED, INTERRUPTED) and not (dealt_with or run["facts"].get("acknowledged"))
            if run["outcome"] == OPEN or unsettled:
                found |= {run["id"], run["facts"].get("undoes") or run["id"]}
            dealt_with = dealt_with or run["outcome"] == SUCCEEDED
        return found

    def _undoing(self, run: Run) -> list[Run]:
        return [other for other in self.runs if other["facts"].get("undoes") == run["id"]]

    def can_be_undone(self, run: Run) -> bool:
        """Whether *run* is the upgrade that a rollback would undo now."""
        is_last = self.last_upgrade is not None and run["id"] == self.last_upgrade["id"]
        return is_last and not any(other["outcome"] == SUCCEEDED for other in self._undoing(run))

    def is_superseded(self, run: Run) -> bool:
        """Whether an upgrade after *run* succeeded: no rollback leads back before that one."""
        return self.last_upgrade is not None and self.position[run["id"]] < self.position[self.last_upgrade["id"]]

    def window_end(self, run: Run) -> datetime.datetime:
        """When the window of *run* ends, or ended: it begins anew with a run that undoes it."""
        return max(self._ended(each) for each in (run, *self._undoing(run))) + self.policy.window

    def _ended(self, run: Run) -> datetime.datetime:
        try:
            moment = datetime.datetime.strptime(run["finished"] or run["started"], _TIME)
        except (TypeError, ValueError):
            return self.now  # not known is not long ago
        return moment.replace(tzinfo=datetime.timezone.utc)

    def holds(self, run: Run) -> str:
        """Why everything of *run* stays; empty when not for its own sake."""
        return f"the run {run['id']} is not settled ({run['outcome']})" if run["id"] in self.untouchable else ""

    def within_window(self, run: Run) -> str:
        """Why something that goes with the window of *run* stays; empty when the window has ended."""
        end = self.window_end(run)
        return f"until {end.strftime(_TIME)}, for the run {run['id']}" if self.now < end else ""


def rollback_available_until(history: History) -> str | None:
    """The end of the window of the upgrade that a rollback would undo; None when there is none, or when it has ended."""
    last = history.last_upgrade
    if last is None or not history.can_be_undone(last) or history.now >= history.window_end(last):
        return None
    return history.window_end(last).strftime(_TIME)


def plan(history: History, found: Found, snapshot_dir: str, base: str) -> list[Verdict]:
    """What becomes of everything in *found* that is ours to judge."""
    return [
        *(_release(history, release) for release in found.releases),
        *_snapshots(history, found, snapshot_dir),
        *_failed_dumps(history, found),
        *_environments(history, found, base),
        *_databases(history, found),
        *_evidence(history, found),
    ]


def _verdict(kind: str, name: str, size: int, reasons: t.Iterable[str], otherwise: str) -> Verdict:
    """Keep it for the first of *reasons* that there is, or remove it because *otherwise*."""
    why = next(filter(None, reasons), "")
    return Verdict(kind, name, size, bool(why), why or otherwise)


def _release(history: History, release: Release) -> Verdict:
    last = history.last_upgrade
    naming = [run for run in history.runs if any(_names(run[end], release) for end in ("from", "to"))]
    made_end = release.made + history.policy.window if release.made else None
    leftover = release.directory.endswith(REMOVED)

    def reasons() -> t.Iterator[str]:
        yield LIVE if release.live else ""
        yield f"used by the processes {', '.join(map(str, release.users))}" if release.users else ""
        yield f"{release.mounts[0]} is mounted in it" if release.mounts else ""
        if leftover:
            return
        yield "the release before the last upgrade" if last is not None and _names(last["from"], release) else ""
        yield from map(history.holds, naming)
        yield from map(history.within_window, naming)
        yield f"until {made_end.strftime(_TIME)}" if made_end and history.now < made_end else ""
        yield "" if naming or release.prepared else "not made by this collection"
        yield "an adopted checkout with changes of your own" if release.edited else ""

    otherwise = "left by a removal that was stopped" if leftover else "neither live nor the release before"
    return _verdict(RELEASE, release.directory, release.bytes, reasons(), otherwise)


def _names(end: t.Mapping[str, t.Any], release: Release) -> bool:
    commit = str(end.get("commit") or "")
    # A directory whose clone was interrupted has no commit yet, but its name.
    return bool(commit) and (commit == release.commit or os.path.basename(release.directory).endswith(f"-{commit[:8]}"))


def _snapshots(history: History, found: Found, snapshot_dir: str) -> t.Iterator[Verdict]:
    naming = _by_name(history.runs, lambda run: [snapshot_of(run, snapshot_dir)])
    newest = next((path for path in reversed(list(naming)) if path in found.snapshots and found.snapshots[path].whole), None)
    for path, stored in found.snapshots.items():
        runs = naming.get(path, [])
        reasons = [
            *map(history.holds, runs),
            "the last good snapshot" if path == newest else "",
            *("a rollback goes back to it" if history.can_be_undone(run) else "" for run in runs),
            *map(history.within_window, runs),
            "" if runs else "no run names it",
        ]
        yield _verdict(SNAPSHOT, path, stored.bytes, reasons, "its window has ended")


def _failed_dumps(history: History, found: Found) -> t.Iterator[Verdict]:
    """They hold what customers wrote, as the databases do that a swap keeps. One that stepped aside has a longer name."""
    for path, stored in found.failed_dumps.items():
        runs = [run for run in history.runs if failed_dump_of(run) and path.startswith(failed_dump_of(run)[: -len(SUFFIX)] + ".")]
        reasons = [*map(history.holds, runs), *map(history.within_window, runs), "" if runs else "no run names it"]
        yield _verdict(SNAPSHOT, path, stored.bytes, reasons, "its window has ended")


def _environments(history: History, found: Found, base: str) -> t.Iterator[Verdict]:
    naming = _by_name(history.runs, lambda run: [environment_of(run, base)])
    for path, stored in found.environments.items():
        runs = naming.get(path, [])
        reasons = [
            *map(history.holds, runs),
            *("a rollback goes back to it" if history.can_be_undone(run) else "" for run in runs),
            *map(history.within_window, runs),
            "" if runs else "no run names it",
        ]
        yield _verdict(ENVIRONMENT, path, stored.bytes, reasons, "its window has ended")


def _databases(history: History, found: Found) -> t.Iterator[Verdict]:
    naming = _by_name(history.runs, databases_of)
    for name, database in found.databases.items():
        runs = naming.get(name, [])
        if not runs:  # not ours: neither removed nor counted
            continue
        reasons = [
            LIVE if name in found.live_databases else "",
            f"{database.sessions} sessions are in it" if database.sessions else "",
            *map(history.holds, runs),
            *(history.within_window(run) for run in runs if databases_of(run)[name] == "kept_database" or not history.is_superseded(run)),
        ]
        yield _verdict(DATABASE, name, database.bytes, reasons, "no rollback leads back to it, or its window has ended")


def _evidence(history: History, found: Found) -> t.Iterator[Verdict]:
    known = [run["id"] for run in history.runs if run["id"] in found.evidence]
    newest = known[max(0, len(known) - history.policy.keep_runs) :]
    for run_id, stored in found.evidence.items():
        runs = [history.runs[history.position[run_id]]] if run_id in history.position else []
        reasons = [
            *map(history.holds, runs),
            f"one of the newest {history.policy.keep_runs}" if run_id in newest else "",
            *("the last upgrade" if run is history.last_upgrade else "" for run in runs),
            "" if runs else "no run names it",
        ]
        yield _verdict(EVIDENCE, run_id, stored.bytes, reasons, f"older than the newest {history.policy.keep_runs}")


def _by_name(runs: t.Sequence[Run], names: t.Callable[[Run], t.Iterable[str]]) -> dict[str, list[Run]]:
    """The runs by the things that they name; the one that was named last comes last."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        for name in names(run):
            found[name] = [*found.pop(name, []), run]
    return found
