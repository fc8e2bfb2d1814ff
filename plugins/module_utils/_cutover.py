# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves a service to new code by adding, proving, then removing; what runs is not touched before its successor is proven.

In pm2's cluster mode the daemon listens and any worker may share the port, also one of another release. So new processes
join under the same name, and the old ones are deleted one by one after the new ones were watched. ``pm2 reload`` is not
used: it kills the old process at ``listen_timeout`` whether or not the new one lives, and reports success either way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _ecosystem, _ending, _pm2_logs, _proof
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

_START_MARGIN = 20.0  # seconds for node, pm2 and a busy host on top of listen_timeout


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a cut-over did to one name. ``killed``: old pids that did not end in time by themselves;
    ``gap_ms``: the longest time in milliseconds that its port took no connection, if it was watched;
    ``note``: why it was not done without a gap."""

    name: str
    strategy: str
    old_ids: tuple[int, ...]
    new_ids: tuple[int, ...]
    killed: tuple[int, ...] = ()
    gap_ms: int | None = None
    note: str | None = None


def replace_cluster(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    conditions: _proof.Conditions,
    *,
    overlap: str = "all",
) -> Outcome:
    """Replace all running processes *name* (cluster mode) by new ones, as many as there were.

    :param ecosystem: defines the new processes as it stands now; None, or a file without *name*: like the old ones.
    :param overlap: ``all`` starts all new ones before the first old one goes (twice the memory for a moment);
        ``one`` changes one at a time.
    :raises EcommusError: when a new process is not proven; then the new ones are deleted, and the old ones serve as before.
    """
    record = Record.of(pm2.home)
    old, count = resume(pm2, record, name)
    record.begin(name, count, old)
    added: list[Entry] = []
    killed: list[int] = []
    waiting = list(old)
    while len(added) < count:
        batch = _add_batch(pm2, name, ecosystem, conditions, old, count - len(added) if overlap == "all" else 1)
        added += batch
        gone = waiting if len(added) >= count else waiting[: len(batch)]
        for entry in list(gone):
            if _ending.delete(pm2, entry):
                killed.append(entry.pid)
            waiting.remove(entry)
            _proof.watch(pm2, added, 0)
    _settle(pm2, name, added, conditions)
    record.end(name)
    return Outcome(name, f"overlap {overlap}", tuple(e.pm_id for e in old), tuple(e.pm_id for e in added), tuple(killed))


def resume(pm2: Pm2, record: Record, name: str) -> tuple[list[Entry], int]:
    """The processes to replace and how many there should be; what a killed attempt added and never proved is removed first.

    :raises EcommusError: when nothing runs under *name*.
    """
    running = [entry for entry in pm2.table(name) if not entry.stopped]
    past = record.past(name)
    survivors = [entry for entry in running if past is not None and (entry.pm_id, entry.pid) in past.old]
    if past is not None and survivors:  # else it was killed after the last old one went, or the host was restarted since
        for entry in running:
            if entry not in survivors:
                _ending.delete(pm2, entry)
        return survivors, past.count
    if not running:
        raise EcommusError(f"nothing runs as {name}, so there is nothing to replace", "start it first (state=started)")
    return running, len(running)


def _add_batch(
    pm2: Pm2, name: str, ecosystem: _ecosystem.Ecosystem | None, conditions: _proof.Conditions, old: list[Entry], count: int
) -> list[Entry]:
    known = {entry.pm_id for entry in pm2.table()}
    since = _pm2_logs.mark(old)
    try:
        ids: list[int] = []
        for _ in range(count):  # one at a time, so that a release that cannot start shows with the first
            ids += add_one(pm2, name, ecosystem, old[0], conditions.timeout)
        return _proof.prove(pm2, ids, conditions)
    except EcommusError as error:
        take_back(pm2, name, known, old, since, error)
        raise


def add_one(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    model: Entry,
    timeout: float,
    node_options: str | None = None,
) -> list[int]:
    """Start one process *name* beside the others; its id.

    :raises NotProven: when it promised to say that it is ready (``wait_ready``) and did not.
    """
    known = {entry.pm_id for entry in pm2.table()}
    if ecosystem is not None:
        patience = (ecosystem.app(name).listen_timeout_ms or model.listen_timeout_ms) / 1000 + _START_MARGIN
        started = ecosystem.add(name, instances=1, timeout=max(timeout, patience), node_options=node_options)
    else:
        started = _ecosystem.duplicate(pm2, model.pm_id, timeout=max(timeout, model.listen_timeout_ms / 1000 + _START_MARGIN))
    fresh = [entry for entry in pm2.table(name) if entry.pm_id not in known]
    if started.error or not fresh:
        raise EcommusError(
            f"pm2 did not start {name}: {started.error or 'no new process is in its table'}",
            "look at pm2.log and the ecosystem file",
            process=name,
        )
    _proof.watch(pm2, [entry for entry in fresh if entry.restarts == 0], 0)
    for entry in fresh:
        if entry.restarts or entry.unstable_restarts:
            raise _proof.NotProven(
                f"{name} (id {entry.pm_id}) crashed at its start (exit code {entry.exit_code})",
                "read the log excerpt, correct the release",
                process=name,
                pm_id=entry.pm_id,
            )
        if entry.wait_ready and entry.pm_id not in started.ready:
            raise _proof.NotProven(
                f"{name} (id {entry.pm_id}) did not report that it is ready within {entry.listen_timeout_ms} ms",
                "read the log excerpt; a slow boot needs a larger listen_timeout in the ecosystem file",
                process=name,
                pm_id=entry.pm_id,
            )
    return [entry.pm_id for entry in fresh]


def take_back(pm2: Pm2, name: str, known: t.Collection[int], old: t.Sequence[Entry], since: _pm2_logs.Mark, error: EcommusError) -> None:
    """Delete what was added under *name*, and note in *error* what the log said and what still runs."""
    fresh = [entry for entry in pm2.table(name) if entry.pm_id not in known]
    _pm2_logs.note(pm2, error, fresh, since)
    for entry in fresh:
        with contextlib.suppress(EcommusError):
            _ending.delete(pm2, entry)
    living = {(entry.pm_id, entry.pid) for entry in pm2.table(name) if entry.online}
    error.details["old_untouched"] = all((entry.pm_id, entry.pid) in living for entry in old)
    error.details["left_over"] = [entry.pm_id for entry in pm2.table(name) if entry.pm_id not in known]
    if error.details["old_untouched"] and not error.details["left_over"]:
        Record.of(pm2.home).end(name)


def _settle(pm2: Pm2, name: str, added: list[Entry], conditions: _proof.Conditions) -> None:
    """The last look: exactly the new processes under the name, alive, and no orphan of the old ones."""
    _proof.watch(pm2, added, min(0.5, conditions.stable_seconds))
    found = [entry.pm_id for entry in pm2.table(name) if not entry.stopped]
    if sorted(found) != sorted(entry.pm_id for entry in added):
        raise EcommusError(
            f"{name} should run as ids {sorted(e.pm_id for e in added)} and runs as {found}",
            "look at `pm2 ls`; another program may be acting on pm2",
        )
