# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the module pm2_control can be asked for: and how each state is reached."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
import urllib.parse

from ansible_collections.mdlabs.ecommus.plugins.module_utils import (
    _cutover,
    _ecosystem,
    _ending,
    _fork_cutover,
    _pm2_logs,
    _process,
    _proof,
    _shared_port,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

_T = t.TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class Request:
    """What is wanted of the processes, whatever the state.

    :param health_urls: by process name; see :class:`_proof.Conditions`.
    :param stop_timeout: seconds that a process may need to end; pm2 must be set to grant it. None: what pm2 is set to.
    :param allow_killed: whether ``stopped`` is reached also when pm2 had to kill a process.
    :param parallel: how many new processes ``replaced`` lets come up at the same time.
    :param instances: how many of each name ``started`` brings to life; None: all that pm2 knows.
    :param service_ports: by process name, where it takes connections, if the ecosystem file does not say so.
    :param environment: by process name, variables that new processes get on top of those of the file.
    :param newer_than: seconds since the epoch; ``replaced`` leaves alone what started later, with the code and the environment file of now.
    """

    conditions: _proof.Conditions
    ecosystem: _ecosystem.Ecosystem | None = None
    health_urls: t.Mapping[str, t.Sequence[str]] = dataclasses.field(default_factory=dict)
    service_ports: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    stop_timeout: float | None = None
    allow_killed: bool = False
    overlap: str = "all"
    parallel: int = 1
    fork_strategy: str = "auto"
    include_stopped: bool = False
    instances: int | None = None
    newer_than: float | None = None
    environment: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)

    def ecosystem_of(self, name: str) -> _ecosystem.Ecosystem | None:
        """The file, if it defines *name*."""
        return self.ecosystem if self.ecosystem is not None and name in self.ecosystem.apps else None

    def conditions_for(self, name: str, *, anew: bool = False) -> _proof.Conditions:
        """What the processes *name* must fulfil; with *anew* they come from the ecosystem file as it is now."""
        given = {**self.ecosystem.environment_of(name), **self.environment.get(name, {})} if anew and self.ecosystem else {}
        return dataclasses.replace(self.conditions, health_urls=tuple(self.health_urls.get(name, ())), environment=given)


def described(pm2: Pm2, ecosystem: _ecosystem.Ecosystem | None, only: t.Collection[str] = ()) -> dict[str, t.Any]:
    """The table (all of it, or the names *only*) and the daemon, read only."""
    table = [entry for entry in pm2.table() if not only or entry.name in only]
    names = dict.fromkeys(entry.name for entry in table)
    daemon_pid = pm2.daemon_pid()
    daemon, command = pm2.daemon_version, pm2.command_version
    return {
        "processes": [entry.shown() for entry in table],
        "names": {name: summary([entry for entry in table if entry.name == name]) for name in names},
        "daemon": {"pid": daemon_pid, "home": pm2.home, "version": daemon, "command_version": command, "mismatch": daemon != command},
        "orphans": [{"pid": o.pid, "command": o.command, "cwd": o.cwd} for o in pm2.orphans()],
        "ecosystem": {name: dataclasses.asdict(app) for name, app in ecosystem.apps.items()} if ecosystem else None,
    }


def summary(entries: t.Sequence[Entry]) -> dict[str, t.Any]:
    """Counts of the entries of one name: pm2's own ``instances`` is often wrong."""
    return {
        "instances": len(entries),
        "online": sum(entry.online for entry in entries),
        "stopped": sum(entry.stopped for entry in entries),
        "exec_mode": entries[0].exec_mode if entries else None,
    }


def plan(pm2: Pm2, state: str, name: str, request: Request) -> list[Entry] | None:
    """The entries that *state* would touch, or None when *name* is unknown and would be started from the ecosystem file.

    :raises EcommusError: when the state cannot be reached, so that check mode fails where the real run would.
    """
    entries = pm2.table(name)
    if not entries:
        return _plan_unknown(pm2, state, name, request)
    running = [entry for entry in entries if not entry.stopped]
    if state == "stopped":
        _check_stop_timeout(running, request.stop_timeout)
    elif state == "started":
        _defining(name, request)
        still, number = _to_start(entries, _total(pm2, entries, name, request), request.instances)
        return still or (None if number else [])
    elif state == "replaced":
        if not running:
            raise EcommusError(
                f"{name} is stopped, so there is nothing to replace", "start it (state=started), or leave it out", process=name
            )
        _defining(name, request)
        _check_stop_timeout(running, request.stop_timeout)
        return running if any(not _is_new(entry, request) for entry in running) else []
    return entries if state == "deleted" or (request.include_stopped and state != "stopped") else running


def _defining(name: str, request: Request) -> None:
    """See that the ecosystem file, if it defines *name*, can do so, and that it does where it has to."""
    ecosystem = request.ecosystem_of(name)
    if ecosystem is not None:
        ecosystem.app(name)
    elif name in request.environment:
        raise EcommusError(
            f"{name} cannot be given another environment: no ecosystem file defines it", "name it in ecosystem_file", process=name
        )


def _plan_unknown(pm2: Pm2, state: str, name: str, request: Request) -> list[Entry] | None:
    if state == "deleted" or (state == "started" and request.instances == 0):
        return []
    if state == "started" and request.ecosystem is not None:
        request.ecosystem.app(name)
        return None
    # it was there, and is gone: killed between its end and its start, or with the daemon
    if state == "replaced" and request.ecosystem_of(name) is not None and _cutover.lost(pm2, name):
        t.cast("_ecosystem.Ecosystem", request.ecosystem).app(name)
        return None
    raise EcommusError(
        f"pm2 knows no process {name}",
        "correct the name, or start it from an ecosystem file (state=started with ecosystem_file)",
        process=name,
    )


def act(pm2: Pm2, state: str, names: t.Sequence[str], request: Request) -> t.Iterator[tuple[str, _cutover.Outcome | list[int] | None]]:
    """Bring *names* to *state* in order; yields each as soon as it is there, for ``stopped`` with the process ids that pm2 had to kill.

    :raises EcommusError: at the first failure; ``process`` of its details is the name where that is known.
    """
    if state == "replaced":
        for outcome in replaced(pm2, names, request):
            if outcome.killed and request.stop_timeout is not None:
                raise EcommusError(
                    f"{outcome.name} (pid {', '.join(map(str, outcome.killed))}) did not end in time and was killed by pm2",
                    "what it was working on is cut off: check it; raise kill_timeout in the ecosystem file above the longest job",
                    process=outcome.name,
                )
            yield outcome.name, outcome
        return
    fresh: list[Entry] = []
    since = _pm2_logs.mark(pm2.table())
    for name in names:
        entries = plan(pm2, state, name, request)  # anew: what was done for the names before takes time
        if state == "started":
            fresh += _started(pm2, name, entries, request)
        elif state == "stopped":
            yield name, _ending.stop(pm2, entries or (), allow_killed=request.allow_killed)
            continue
        elif state == "deleted":
            _ending.delete(pm2, entries or ())
        else:
            _each(pm2, "reload" if state == "reloaded" else "restart", entries or (), request.conditions_for(name), watched=True)
        yield name, None
    if fresh:
        _with_log(pm2, since, lambda: _proof.watch(pm2, fresh, request.conditions.stable_seconds))


def replaced(pm2: Pm2, names: t.Sequence[str], request: Request) -> t.Iterator[_cutover.Outcome]:
    """Put new processes in the place of those that run as *names*; see :mod:`_cutover` and :mod:`_fork_cutover`.

    Those that pm2 has lost come first, for nobody serves in their place. Then go those that cost no outage, all together (one by
    one with ``overlap: one``), then those that do.
    """
    lost = [name for name in names if not pm2.table(name)]
    for name in lost:
        yield _in_place(pm2, name, request, "pm2 did not know it any more")
    names = [name for name in names if name not in lost]
    in_place: dict[str, str | None] = {}
    for group in [names] if request.overlap == "all" else [[name] for name in names]:
        services: list[_cutover.Service] = []
        with contextlib.ExitStack() as stack:
            for name in group:
                try:
                    services.append(stack.enter_context(_beside(pm2, name, request)))
                except _shared_port.CannotShare as error:
                    in_place[name] = error.message or None
            if services:
                _cutover.replace(pm2, services, overlap=request.overlap, parallel=request.parallel)
        yield from (service.outcome() for service in services)
    for name, note in in_place.items():
        yield _in_place(pm2, name, request, note)


def _in_place(pm2: Pm2, name: str, request: Request, note: str | None) -> _cutover.Outcome:
    address = _address(request.health_urls.get(name, ()), _port(name, request))
    conditions, environment = request.conditions_for(name, anew=True), request.environment.get(name)
    outcome = _fork_cutover.replace_in_place(pm2, name, request.ecosystem_of(name), conditions, address, environment)
    return dataclasses.replace(outcome, note=note)


def _beside(pm2: Pm2, name: str, request: Request) -> contextlib.AbstractContextManager[_cutover.Service]:
    """The processes *name*, to be replaced by new ones beside them.

    :raises CannotShare: when they can only be restarted; without a message when nothing else was asked for.
    """
    ecosystem, conditions = request.ecosystem_of(name), request.conditions_for(name, anew=True)
    environment = request.environment.get(name)
    wanted = ecosystem.apps[name].exec_mode if ecosystem else None
    running = {entry.exec_mode for entry in pm2.table(name) if not entry.stopped}
    if running == {"cluster"} and wanted in ("cluster", None):
        if not conditions.health_urls:  # which prove more
            conditions = dataclasses.replace(conditions, port=_port(name, request) or request.service_ports.get(name))
        return contextlib.nullcontext(_cutover.cluster(pm2, name, ecosystem, conditions, overlap=request.overlap, environment=environment))
    if request.fork_strategy != "auto" or wanted != "fork":
        raise _shared_port.CannotShare("")
    address = _address(conditions.health_urls, _port(name, request))
    return _fork_cutover.sharing(pm2, name, ecosystem, conditions, address[1] if address else None, environment)


def _port(name: str, request: Request) -> int | None:
    ecosystem = request.ecosystem_of(name)
    return ecosystem.apps[name].port if ecosystem else None


def _to_start(known: t.Sequence[Entry], total: int, instances: int | None) -> tuple[list[Entry], int]:
    """Which of the entries *known* a start is about, and how many processes it brings.

    :param total: how many entries there should be. It is another number than there are after an attempt that was killed.
    :param instances: as in :class:`Request`.
    """
    still = [entry for entry in known if not entry.online]
    online = len(known) - len(still)
    wanted = max(online, total if instances is None else min(instances, total))
    return still[: max(0, len(still) - (total - wanted))], wanted - online


def _total(pm2: Pm2, known: t.Sequence[Entry], name: str, request: Request) -> int:
    past = Record.of(pm2.home).past(name) if request.ecosystem_of(name) is not None else None
    return past.count if past is not None else len(known)


def _started(pm2: Pm2, name: str, entries: t.Sequence[Entry] | None, request: Request) -> list[Entry]:
    """Start *name* from the ecosystem file, if it defines it, in the place of the *entries* that stand still; else start these again.

    A restart keeps directory, script, arguments and variables that a process was first started with, and those are of the release
    which is gone. They answer, and are still to be watched.
    """
    ecosystem = request.ecosystem_of(name)
    if ecosystem is None:
        return _each(pm2, "restart", entries or (), request.conditions_for(name), watched=False)
    known, record = pm2.table(name), Record.of(pm2.home)
    old, count = _to_start(known, _total(pm2, known, name, request), request.instances)
    number = count if known else request.instances or _cutover.lost(pm2, name) or None  # None: as the file says
    if known and record.past(name) is None:
        record.begin(name, len(known), known)
    since = _pm2_logs.mark(known)
    _ending.delete(pm2, old)
    fresh = [] if number == 0 else _added(pm2, name, ecosystem, number, request)
    record.end(name)
    return _with_log(pm2, since, lambda: _proof.answer(pm2, fresh, request.conditions_for(name, anew=True)))


def _added(pm2: Pm2, name: str, ecosystem: _ecosystem.Ecosystem, number: int | None, request: Request) -> list[int]:
    before = {entry.pm_id for entry in pm2.table()}
    patience = (ecosystem.app(name).listen_timeout_ms or 0) / 1000 * (number or 1) + 20
    timeout = max(request.conditions.timeout, patience)
    answer = ecosystem.add(name, instances=number, timeout=timeout, environment=request.environment.get(name))
    return [entry.pm_id for entry in _cutover.newcomers(pm2, name, before, answer)]


def _each(pm2: Pm2, action: str, entries: t.Sequence[Entry], conditions: _proof.Conditions, *, watched: bool) -> list[Entry]:
    """Restart or reload *entries* one by one; each answers, and with *watched* is proven, before the next is touched."""
    proof = _proof.prove if watched else _proof.answer
    fresh: list[Entry] = []
    for entry in entries:
        since = _pm2_logs.mark([entry])
        patience = max(conditions.timeout, (entry.kill_timeout_ms + entry.listen_timeout_ms) / 1000 + 20)
        if action == "reload":
            pm2.reload(entry.pm_id, patience)
        else:
            pm2.command(action, str(entry.pm_id), timeout=patience)
        fresh += _with_log(pm2, since, lambda pm_id=entry.pm_id: proof(pm2, [pm_id], conditions))
        if entry.pid and fresh[-1].pid == entry.pid:
            raise EcommusError(
                f"{entry.name} (id {entry.pm_id}) still runs as pid {entry.pid}: pm2 did not {action} it",
                "look at pm2.log",
                process=entry.name,
            )
        if entry.pid and _process.wait_gone([entry.pid], entry.kill_timeout_ms / 1000 + 5):
            _ending.bury(pm2, [entry])
    return fresh


def _with_log(pm2: Pm2, since: _pm2_logs.Mark, proof: t.Callable[[], _T]) -> _T:
    """What *proof* returns; its failure tells what the log of the process says."""
    try:
        return proof()
    except _proof.NotProven as error:
        _pm2_logs.note(pm2, error, [entry for entry in pm2.table() if entry.pm_id == error.details.get("pm_id")], since)
        raise


def _check_stop_timeout(entries: t.Sequence[Entry], wanted: float | None) -> None:
    for entry in entries:
        if wanted is not None and entry.kill_timeout_ms < wanted * 1000:
            raise EcommusError(
                f"pm2 would kill {entry.name} (id {entry.pm_id}) after {entry.kill_timeout_ms} ms, not {wanted:.0f} s (stop_timeout)",
                "raise kill_timeout in the ecosystem file and restart the process from it, or lower stop_timeout",
                process=entry.name,
            )


def _is_new(entry: Entry, request: Request) -> bool:
    info = _process.inspect(entry.pid) if entry.online else None
    if request.newer_than is None or info is None or info.started <= request.newer_than:
        return False
    if any(entry.variable(key) != value for key, value in request.environment.get(entry.name, {}).items()):
        return False
    try:
        _proof.check_identity(entry, request.conditions_for(entry.name))
    except _proof.NotProven:
        return False
    return True


def _address(urls: t.Sequence[str], port: int | None) -> tuple[str, int] | None:
    for url in urls:
        parts = urllib.parse.urlsplit(url)
        return parts.hostname or "127.0.0.1", parts.port or 80
    return ("127.0.0.1", port) if port else None
