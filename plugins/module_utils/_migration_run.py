# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a release's migrations under a lock limit, and judging the outcome by the ledgers.

The runners' exit codes are not believed: the plugin runner logs a failure, goes on and exits 0.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _migration_sessions, _migrations, _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock_limit import lock_limit
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock_watch import LockWatch, described
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migrations import CORE, PLUGINS, Expected, Migration, Places, State
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target

# PostgreSQL's words for SQLSTATE 55P03 from lock_timeout (src/backend/tcop/postgres.c); the runners print no codes.
_LOCK_TIMEOUT = ("canceling statement due to lock timeout", "55P03")
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between two attempts, doubled each time
_AROUND = 6  # lines of the log quoted after one that names the migration


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to migrate. Times in seconds except where the name says otherwise."""

    scripts: t.Mapping[str, str]
    lock_timeout_ms: int
    lock_retries: int
    lock_state_file: str
    timeout: float
    log_file: str | None = None
    allow_unknown: bool = False


@dataclasses.dataclass
class Outcome:
    """What happened: the ledgers before and after, the migrations applied, and what failed with its part of the log."""

    before: State
    after: State
    applied: list[Migration] = dataclasses.field(default_factory=list)
    failed: list[tuple[Migration, str]] = dataclasses.field(default_factory=list)
    attempts: dict[str, int] = dataclasses.field(default_factory=dict)
    blocked: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    log: str = ""


Runner = t.Callable[[str], Result]


def look(target: Target, release: Expected, places: Places) -> State:
    """The database against the release, without touching it."""
    with _postgres.session(target) as connection:
        return _migrations.state(release, _migrations.applied(connection, release, places))


def migrate(target: Target, release: Expected, places: Places, ledgers: t.Sequence[str], settings: Settings, runner: Runner) -> Outcome:
    """Run the programs for *ledgers* in order, each until its pending migrations are applied or something other than a lock fails.

    :param runner: runs one script and returns what it said.
    :raises EcommusError: for whatever is not "exactly the pending ones were applied"; its details are those of the module.
    """
    _migration_sessions.wait_for_earlier(target, settings.timeout)
    before = look(target, release, places)
    outcome = Outcome(before, before)
    drift = [item for item in before.unknown if item.ledger == CORE]
    if drift and not settings.allow_unknown:
        raise _error(
            outcome,
            f"the database has core migrations that this release does not know: {_names(drift)}",
            "the database belongs to a newer or another release: roll back by its snapshot, or upgrade to a release that knows them",
        )
    with lock_limit(target, settings.lock_timeout_ms, settings.lock_state_file), LockWatch(target).watching() as watch:
        for ledger in ledgers:
            try:
                _run_ledger(target, release, places, ledger, settings, runner, outcome, watch)
            finally:
                outcome.blocked = watch.blocked
    return outcome


def _run_ledger(
    target: Target, release: Expected, places: Places, ledger: str, settings: Settings, runner: Runner, outcome: Outcome, watch: LockWatch
) -> None:
    start = outcome.after
    pending = [item for item in start.pending if item.ledger == ledger]
    for attempt in range(1, settings.lock_retries + 2):
        outcome.attempts[ledger] = attempt
        try:
            result = runner(settings.scripts[ledger])
        except EcommusError as error:
            _migration_sessions.end(target)
            _observe(target, release, places, start, outcome)
            outcome.blocked = watch.blocked
            raise _error(outcome, error.message, error.remedy) from None
        _keep_log(settings.log_file, f"{settings.scripts[ledger]} attempt {attempt} exit {result.code}", result)
        outcome.log = result.tail(40)
        _observe(target, release, places, start, outcome)
        left = [item for item in pending if item in outcome.after.pending]
        text = f"{result.output}\n{result.error}"
        if not (left and any(sign in text for sign in _LOCK_TIMEOUT)) or attempt > settings.lock_retries:
            break
        time.sleep(min(_FIRST_PAUSE * 2 ** (attempt - 1), _LONGEST_PAUSE))
    outcome.blocked = watch.blocked
    _judge(ledger, start, left, result, outcome)


def _observe(target: Target, release: Expected, places: Places, start: State, outcome: Outcome) -> None:
    """Read the ledgers again and add what is new in them to *outcome*."""
    outcome.after = look(target, release, places)
    had = {row.migration for row in outcome.before.applied}
    outcome.applied = [row.migration for row in outcome.after.applied if row.migration not in had]


def _judge(ledger: str, start: State, left: t.Sequence[Migration], result: Result, outcome: Outcome) -> None:
    text = f"{result.output}\n{result.error}"
    script = os.path.basename(result.argv[-1])
    new_unknown = [item for item in outcome.after.unknown if item not in start.unknown]
    restore = "do not reload the shop; restore the snapshot and report the migration with its log to the vendor"
    if left:
        # The core runner stops at the first failure, so only that one failed; the plugin runner goes on.
        failed = left[:1] if ledger == CORE else left
        outcome.failed = [(item, excerpt(text, item)) for item in failed]
        problem = f"{'core' if ledger == CORE else 'plugin'} migration {_names(failed)} failed"
        if any(sign in text for sign in _LOCK_TIMEOUT):
            who = f": {described(outcome.blocked[0])}" if outcome.blocked else ""
            raise _error(
                outcome,
                f"{problem} after {outcome.attempts[ledger]} attempts, each ended by the lock limit{who}",
                "end the blocking transaction and run again, or restore the snapshot",
            )
        swallowed = ", although its runner reported success" if result.code == 0 else ""
        raise _error(outcome, f"{problem}{swallowed}", restore)
    lost = [row.migration for row in start.applied if row.migration in outcome.after.pending]
    if lost:
        raise _error(outcome, f"{script} took migrations out of the ledger: {_names(lost)}", restore)
    if new_unknown:
        raise _error(outcome, f"{script} applied what the release's files do not list: {_names(new_unknown)}", restore)
    if result.code != 0:
        raise _error(
            outcome, f"{script} ended with exit code {result.code} although every migration of the release is in the ledger", restore
        )


def excerpt(text: str, migration: Migration) -> str:
    """The part of a runner's output that is about *migration*, else its end."""
    lines = [line for line in text.splitlines() if line.strip()]
    places = [number for number, line in enumerate(lines) if migration.name in line]
    if migration.plugin:
        own = [number for number in places if migration.plugin in lines[number]]
        places = own or places
    # A runner names a migration when it begins and again when it fails: the last mention counts.
    return "\n".join(lines[places[-1] : places[-1] + _AROUND] if places else lines[-15:])


def _keep_log(path: str | None, title: str, result: Result) -> None:
    if path is None:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {title}\n{result.output}{result.error}\n")


def _names(migrations: t.Iterable[Migration]) -> str:
    return ", ".join(str(item) for item in migrations)


def _error(outcome: Outcome, message: str, remedy: str) -> EcommusError:
    return EcommusError(message, remedy, changed=bool(outcome.applied), **described_outcome(outcome))


def described_outcome(outcome: Outcome) -> dict[str, t.Any]:
    """*outcome* in JSON types, as the module returns it."""
    return {
        "before": ledger_rows(outcome.before),
        "after": ledger_rows(outcome.after),
        "applied": [dataclasses.asdict(item) for item in outcome.applied],
        "pending": [dataclasses.asdict(item) for item in outcome.after.pending],
        "unknown": [dataclasses.asdict(item) for item in outcome.after.unknown],
        "failed_migrations": [{**dataclasses.asdict(item), "log": log} for item, log in outcome.failed],
        "attempts": outcome.attempts,
        "blocked": outcome.blocked,
        "log": outcome.log,
    }


def ledger_rows(state: State) -> dict[str, list[dict[str, t.Any]]]:
    """Both ledgers in JSON types."""
    rows: dict[str, list[dict[str, t.Any]]] = {CORE: [], PLUGINS: []}
    for row in state.applied:
        plugin = {"plugin": row.migration.plugin} if row.migration.ledger == PLUGINS else {}
        rows[row.migration.ledger].append({**plugin, "name": row.migration.name, "applied_at": row.at})
    return rows
