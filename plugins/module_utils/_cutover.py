# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves a service to new code by adding, proving, then removing; what runs is not touched before its successor is proven.

In pm2's cluster mode the daemon listens and any worker may share the port, also one of another release. So new processes
join under the same name, and the old ones are deleted after the new ones were watched. Several services go together: the
new ones of all come up before an old one of any goes, so that one bad service leaves all as they were, and the waits are
shared. ``pm2 reload`` is not used: it kills the old process at ``listen_timeout`` whether or not the new one lives, and
reports success either way.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _ecosystem, _ending, _pm2_logs, _proof
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2, saved_names
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import DEFAULT_LISTEN_TIMEOUT_MS, Entry

_START_MARGIN = 20.0  # seconds for node, pm2 and a busy host on top of listen_timeout
_CALM = 1.5  # seconds without a new start of a crashing process until it counts as gone


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


@dataclasses.dataclass
class Service:
    """One name on its way to new code: ``old`` are the processes to replace, ``count`` is how many there should be.

    :param ecosystem: defines the new processes as it stands now; None: they become like the old ones.
    :param environment: variables that the new ones get on top of that.
    """

    pm2: Pm2
    name: str
    ecosystem: _ecosystem.Ecosystem | None
    conditions: _proof.Conditions
    old: list[Entry]
    count: int
    strategy: str
    node_options: str | None = None
    environment: t.Mapping[str, str] | None = None
    added: list[Entry] = dataclasses.field(default_factory=list)
    killed: tuple[int, ...] = ()
    pause: t.ClassVar[float] = 0  # seconds between `give` and the end of the old ones

    def add(self, count: int) -> None:
        """Start *count* new processes beside the others; returns when they have come up and answer.

        :raises NotProven: when one does not.
        """
        ids = add(self.pm2, self.name, self.ecosystem, self.old[0], self.conditions.timeout, self.node_options, self.environment, count)
        self.added += _proof.answer(self.pm2, ids, self.conditions)

    def give(self) -> None:
        """Let the new ones have the connections, where the daemon does not see to that by itself."""

    def outcome(self) -> Outcome:
        old, new = (tuple(entry.pm_id for entry in entries) for entries in (self.old, self.added))
        return Outcome(self.name, self.strategy, old, new, self.killed)


def cluster(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    conditions: _proof.Conditions,
    *,
    overlap: str = "all",
    environment: t.Mapping[str, str] | None = None,
) -> Service:
    """The processes *name*, in cluster mode, to be replaced by as many new ones.

    That these take connections to ``port`` of *conditions* has to be proven only when they do not say so themselves. And only where the
    old ones are seen to do so: else the port is not theirs, and nobody is served whom an early end of theirs would cost an answer.
    """
    old, count = resume(pm2, Record.of(pm2.home), name)
    says_so = ecosystem.app(name).wait_ready if ecosystem is not None else old[0].wait_ready
    if conditions.port is not None and (says_so or not set(_proof.taking(pm2, conditions.port)) & {entry.pid for entry in old}):
        conditions = dataclasses.replace(conditions, port=None)
    return Service(pm2, name, ecosystem, conditions, old, count, f"overlap {overlap}", environment=environment)


def replace(pm2: Pm2, services: t.Sequence[Service], *, overlap: str = "all", parallel: int = 1) -> None:
    """Add the new processes of all *services* in order, watch them all together, and only then end the old ones of all.

    :param overlap: ``all`` starts all new ones before the first old one goes (twice the memory for a moment);
        ``one`` changes one process of each service at a time.
    :param parallel: how many new processes come up at the same time.
    :raises EcommusError: when a new process is not proven; then the new ones of all services are deleted, and the old ones serve as before.
    """
    record = Record.of(pm2.home)
    for service in services:
        record.begin(service.name, service.count, service.old)
    waiting = {service.name: list(service.old) for service in services}
    while any(len(service.added) < service.count for service in services):
        _add_round(pm2, services, overlap, parallel)
        for service in services:
            service.give()
        time.sleep(max(service.pause for service in services))
        _end_round(pm2, services, waiting)
    _settle(pm2, services)
    for service in services:
        record.end(service.name)


def _add_round(pm2: Pm2, services: t.Sequence[Service], overlap: str, parallel: int) -> None:
    known = {entry.pm_id for entry in pm2.table()}
    since = _pm2_logs.mark(entry for service in services for entry in service.old)
    try:
        missing = [(service, service.count - len(service.added)) for service in services]
        wanted = [service for service, number in missing for _one in range(number if overlap == "all" else min(1, number))]
        for first in range(0, len(wanted), parallel):
            _add(pm2, wanted[first : first + parallel])
            _watch(pm2, services, 0)
        _watch(pm2, services, max(service.conditions.stable_seconds for service in services))
    except EcommusError as error:
        _take_back(pm2, services, known, since, error)
        raise


def _add(pm2: Pm2, wanted: t.Sequence[Service]) -> None:
    """Start a new process for each of *wanted*, which are the same for several processes of one service, at the same time."""
    services = [list(same) for _name, same in itertools.groupby(wanted, key=lambda service: service.name)]
    with concurrent.futures.ThreadPoolExecutor(len(services)) as pool:
        list(pool.map(lambda same: _add_to(same[0], len(same)), services))


def _add_to(service: Service, count: int) -> None:
    with _named(service.name):
        # a running process can only be duplicated once at a time
        for number in [count] if service.ecosystem is not None else [1] * count:
            service.add(number)


def _end_round(pm2: Pm2, services: t.Sequence[Service], waiting: dict[str, list[Entry]]) -> None:
    """End as many old ones as there are new ones too many; with the last new one all that are left."""
    going: list[Entry] = []
    for service in services:
        left = waiting[service.name]
        surplus = len(left) if len(service.added) >= service.count else len(left) + len(service.added) - service.count
        going += left[: max(0, surplus)]
        del left[: max(0, surplus)]
    killed = _ending.delete(pm2, going)
    for service in services:
        service.killed += tuple(entry.pid for entry in service.old if entry.pid in killed)
    _watch(pm2, services, 0)


def _watch(pm2: Pm2, services: t.Sequence[Service], seconds: float) -> None:
    _proof.watch(pm2, [entry for service in services for entry in service.added], seconds)


@contextlib.contextmanager
def _named(name: str) -> t.Iterator[None]:
    """Errors from within tell which process they are about."""
    try:
        yield
    except EcommusError as error:
        error.details.setdefault("process", name)
        raise


def resume(pm2: Pm2, record: Record, name: str) -> tuple[list[Entry], int]:
    """The processes to replace and how many there should be; what a killed attempt added and never proved is removed first.

    There may be none to replace, where pm2 has lost them.

    :raises EcommusError: when nothing runs under *name*.
    """
    running = [entry for entry in pm2.table(name) if not entry.stopped]
    past = record.past(name)
    survivors = [entry for entry in running if past is not None and (entry.pm_id, entry.pid) in past.old]
    if past is not None and survivors:  # else it was killed after the last old one went, or the host was restarted since
        _ending.delete(pm2, [entry for entry in running if entry not in survivors])
        return survivors, past.count
    if not running and not pm2.table(name) and lost(pm2, name):
        return [], lost(pm2, name)
    if not running:
        raise EcommusError(f"nothing runs as {name}, so there is nothing to replace", "start it first (state=started)")
    return running, len(running)


def lost(pm2: Pm2, name: str) -> int:
    """How many processes *name*, of which pm2 knows none, there were: by the record of a cut-over that was killed, or by the saved list."""
    past = Record.of(pm2.home).past(name)
    return past.count if past is not None else saved_names(pm2.dump).count(name)


def newcomers(pm2: Pm2, name: str, known: t.Collection[int], started: _ecosystem.Started) -> list[Entry]:
    """The processes *name* that came with *started*, beside those with the ids *known*.

    :raises EcommusError: when pm2 reported a problem, or none came.
    """
    fresh = [entry for entry in pm2.table(name) if entry.pm_id not in known]
    if started.error or not fresh:
        raise EcommusError(
            f"pm2 did not start {name}: {started.error or 'no new process is in its table'}",
            "look at pm2.log and the ecosystem file",
            process=name,
        )
    return fresh


def add(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    model: Entry | None,
    timeout: float,
    node_options: str | None = None,
    environment: t.Mapping[str, str] | None = None,
    count: int = 1,
) -> list[int]:
    """Start processes *name* beside the others; their ids.

    :param model: what they replace, and become like without an *ecosystem*. None, with one: they replace nothing.
    :param count: how many; only one without an *ecosystem*.
    :raises NotProven: when one promised to say that it is ready (``wait_ready``) and did not.
    """
    known = {entry.pm_id for entry in pm2.table()}
    usual = model.listen_timeout_ms if model is not None else DEFAULT_LISTEN_TIMEOUT_MS
    if ecosystem is None and model is not None:
        started = _ecosystem.duplicate(pm2, model.pm_id, timeout=max(timeout, usual / 1000 + _START_MARGIN))
    else:
        ecosystem = t.cast("_ecosystem.Ecosystem", ecosystem)
        limit = max(timeout, (ecosystem.app(name).listen_timeout_ms or usual) / 1000 + _START_MARGIN)
        started = ecosystem.add(
            name, instances=count, together=count > 1, timeout=limit, node_options=node_options, environment=environment
        )
    fresh = newcomers(pm2, name, known, started)
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


def _take_back(pm2: Pm2, services: t.Sequence[Service], known: t.Collection[int], since: _pm2_logs.Mark, error: EcommusError) -> None:
    """Delete what was added, and note in *error* what the log of the failed one said and what still runs."""
    fresh = _fresh(pm2, services, known)
    _pm2_logs.note(pm2, error, [entry for entry in fresh if entry.name == error.details.get("process")], since)
    with contextlib.suppress(EcommusError):
        _ending.delete(pm2, fresh, quiet=_CALM)
    living = {(entry.pm_id, entry.pid) for entry in pm2.table() if entry.online}
    error.details["old_untouched"] = all((entry.pm_id, entry.pid) in living for service in services for entry in service.old)
    error.details["left_over"] = [entry.pm_id for entry in _fresh(pm2, services, known)]
    if error.details["old_untouched"] and not error.details["left_over"]:
        for service in services:
            Record.of(pm2.home).end(service.name)


def _fresh(pm2: Pm2, services: t.Sequence[Service], known: t.Collection[int]) -> list[Entry]:
    names = {service.name for service in services}
    return [entry for entry in pm2.table() if entry.name in names and entry.pm_id not in known]


def _settle(pm2: Pm2, services: t.Sequence[Service]) -> None:
    """The last look: exactly the new processes under each name, alive, and no orphan of the old ones."""
    _watch(pm2, services, min(0.5, *(service.conditions.stable_seconds for service in services)))
    table = pm2.table()
    for service in services:
        added = sorted(entry.pm_id for entry in service.added)
        found = sorted(entry.pm_id for entry in table if entry.name == service.name and not entry.stopped)
        if found != added:
            raise EcommusError(
                f"{service.name} should run as ids {added} and runs as {found}",
                "look at `pm2 ls`; another program may be acting on pm2",
                process=service.name,
            )
