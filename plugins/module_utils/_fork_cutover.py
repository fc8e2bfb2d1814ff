# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves a fork-mode process to new code. It holds its port itself, so by ordinary means its successor can only start when it has gone.

Where kernel and Node.js allow it the port is shared for the moment of the change (see :mod:`_shared_port`): the new process is proven
before it gets a single request, and none is lost. Elsewhere the process is restarted, and the gap (the time to end
plus the time to boot) is measured and told.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _cutover, _ecosystem, _ending, _pm2_logs, _process, _proof, _shared_port
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

# Seconds between two connections; a gap takes as long as a process needs to boot. Each costs the service, and it is the boot that counts.
_LOOK = 0.05


def replace_in_place(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    conditions: _proof.Conditions,
    address: tuple[str, int] | None,
    environment: t.Mapping[str, str] | None = None,
) -> _cutover.Outcome:
    """Stop what runs as *name* and start it again, as the ecosystem file defines it now; prove it.

    What pm2 has lost between the two, in an attempt that was killed, is only started.

    :param address: host and port to watch for the gap.
    :param environment: variables that it gets on top of those of the file; also an empty one means that none of before are kept.
    :raises EcommusError: when it does not live afterwards; there is no old process to go back to, only the old code to start again.
    """
    record = Record.of(pm2.home)
    old, count = _cutover.resume(pm2, record, name)
    record.begin(name, count, old)
    since = _pm2_logs.mark(old)
    with GapWatch(address) as gap:
        try:
            ids = _start_again(pm2, name, ecosystem, old, count, conditions.timeout, environment)
            if address is not None:
                gap.wait_open(conditions.timeout)
            entries = _proof.prove(pm2, ids, conditions)
        except EcommusError as error:
            _pm2_logs.note(pm2, error, pm2.table(name), since)
            error.details["old_untouched"] = False
            raise
    record.end(name)
    return _cutover.Outcome(
        name, "restart", tuple(e.pm_id for e in old), tuple(e.pm_id for e in entries), gap_ms=gap.longest_ms if address else None
    )


def _start_again(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    old: t.Sequence[Entry],
    count: int,
    timeout: float,
    environment: t.Mapping[str, str] | None,
) -> list[int]:
    if ecosystem is None:
        for entry in old:
            pm2.command("restart", str(entry.pm_id), timeout=_patience(entry, timeout))
        return [entry.pm_id for entry in old]
    app = ecosystem.app(name)  # before anything is stopped: a missing script must not cost the shop its process
    if (
        environment is None  # pm2 keeps what the file does not name
        and all((entry.cwd, entry.script, entry.exec_mode) == (app.cwd, app.script, app.exec_mode) for entry in pm2.table(name))
        and len(pm2.table(name)) == count
    ):
        ecosystem.restart(name, timeout=sum(_patience(entry, timeout) for entry in old))
        return [entry.pm_id for entry in old]
    # a restart keeps directory, script, mode and variables that the process was first started with
    _ending.delete(pm2, old)
    ids: list[int] = []
    for _number in range(count):
        ids += _cutover.add(pm2, name, ecosystem, old[0] if old else None, timeout, environment=environment)
    return ids


def _patience(entry: Entry, timeout: float) -> float:
    return max(timeout, (entry.kill_timeout_ms + entry.listen_timeout_ms) / 1000 + 20)


class _Shared(_cutover.Service):
    """A process that starts on the port which its predecessor holds."""

    pause = _shared_port.SETTLE

    def __init__(self, service: _cutover.Service, shared: _shared_port.SharedPort, gap: GapWatch) -> None:
        super().__init__(**{field.name: getattr(service, field.name) for field in dataclasses.fields(service)})
        self._shared, self._gap = shared, gap

    def add(self, count: int) -> None:
        super().add(count)
        entry = self.added[-1]
        deadline = time.monotonic() + self.conditions.timeout
        # one that does not say when it is ready is online before it listens; here the kernel shows that it does
        while not entry.wait_ready and time.monotonic() < deadline and entry.pid not in _process.listening_pids(self._shared.port):
            _proof.watch(self.pm2, [entry], 0)
            time.sleep(0.05)
        if entry.pid not in _process.listening_pids(self._shared.port):
            raise _proof.NotProven(
                f"{self.name} (id {entry.pm_id}) does not listen on port {self._shared.port}",
                "check PORT in the ecosystem file",
                process=self.name,
            )

    def give(self) -> None:
        self._shared.use_new()

    def outcome(self) -> _cutover.Outcome:
        return dataclasses.replace(super().outcome(), gap_ms=self._gap.longest_ms)


@contextlib.contextmanager
def sharing(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    conditions: _proof.Conditions,
    port: int | None,
    environment: t.Mapping[str, str] | None = None,
) -> t.Iterator[_cutover.Service]:
    """The one process that runs as *name*, to be replaced by one that starts beside it on the same port.

    :raises CannotShare: when that is not possible here; nothing was changed.
    """
    old, count = _cutover.resume(pm2, Record.of(pm2.home), name)
    if ecosystem is None or port is None or count != 1 or len(old) != 1:
        raise _shared_port.CannotShare("only a single process with a known port from an ecosystem file can share it", "")
    if _version(old[0].node_version) < _shared_port.NODE_MINIMUM:
        raise _shared_port.CannotShare(f"Node.js {old[0].node_version} cannot share a port, 22.12 can", "")
    probing = dataclasses.replace(conditions, source_ports=_shared_port.PROBE_PORTS)
    options = _shared_port.node_options(port)
    service = _cutover.Service(pm2, name, ecosystem, probing, old, count, "shared port", options, environment)
    with GapWatch(("127.0.0.1", port)) as gap, _shared_port.SharedPort(old[0].pid, port) as shared:
        yield _Shared(service, shared, gap)


def _version(text: str | None) -> tuple[int, ...]:
    parts = (text or "").split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else (0,)


class GapWatch:
    """Connects to an address again and again and notes the longest time that it took nobody in."""

    def __init__(self, address: tuple[str, int] | None) -> None:
        self.longest_ms = 0
        self._address = address
        self._end = threading.Event()
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> GapWatch:
        if self._address is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def wait_open(self, timeout: float) -> None:
        """Wait until the address takes connections.

        :raises EcommusError: when it does not within *timeout* seconds.
        """
        self._open.clear()
        if not self._open.wait(timeout):
            raise EcommusError(
                f"nothing listens on port {self._address[1] if self._address else 0} after {timeout:.0f} s",
                "read the log excerpt, correct the release",
            )

    def _watch(self) -> None:
        address = self._address
        if address is None:
            return
        since: float | None = None
        while not self._end.is_set():
            try:
                socket.create_connection(address, timeout=1).close()
                if since is not None:
                    self.longest_ms = max(self.longest_ms, round((time.monotonic() - since) * 1000))
                since = None
                self._open.set()
            except OSError:
                since = since if since is not None else time.monotonic()
                self._open.clear()
            self._end.wait(_LOOK)
        if since is not None:
            self.longest_ms = max(self.longest_ms, round((time.monotonic() - since) * 1000))
