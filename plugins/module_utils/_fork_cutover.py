# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves a fork-mode process to new code in place: it holds its port itself, so its successor can only start when it has gone.

The gap is measured and told. Its length is the time to end plus the time to boot.
"""

from __future__ import annotations

import socket
import threading
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _cutover, _ecosystem, _ending, _pm2_logs, _proof
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry


def replace_in_place(
    pm2: Pm2,
    name: str,
    ecosystem: _ecosystem.Ecosystem | None,
    conditions: _proof.Conditions,
    address: tuple[str, int] | None,
) -> _cutover.Outcome:
    """Stop what runs as *name* and start it again, as the ecosystem file defines it now; prove it.

    :param address: host and port to watch for the gap.
    :raises EcommusError: when it does not live afterwards; there is no old process to go back to, only the old code to start again.
    """
    record = Record.of(pm2.home)
    old, count = _cutover.resume(pm2, record, name)
    record.begin(name, count, old)
    since = _pm2_logs.mark(old)
    with GapWatch(address) as gap:
        try:
            ids = _start_again(pm2, name, ecosystem, old, count, conditions.timeout)
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
    pm2: Pm2, name: str, ecosystem: _ecosystem.Ecosystem | None, old: t.Sequence[Entry], count: int, timeout: float
) -> list[int]:
    if ecosystem is None:
        for entry in old:
            pm2.command("restart", str(entry.pm_id), timeout=_patience(entry, timeout))
        return [entry.pm_id for entry in old]
    app = ecosystem.app(name)  # before anything is stopped: a missing script must not cost the shop its process
    if (
        all((entry.cwd, entry.script, entry.exec_mode) == (app.cwd, app.script, app.exec_mode) for entry in pm2.table(name))
        and len(pm2.table(name)) == count
    ):
        ecosystem.restart(name, timeout=sum(_patience(entry, timeout) for entry in old))
        return [entry.pm_id for entry in old]
    # a restart keeps directory, script and mode that the process was first started with
    for entry in old:
        _ending.delete(pm2, entry)
    ids: list[int] = []
    for _ in range(count):
        ids += _cutover.add_one(pm2, name, ecosystem, old[0], timeout)
    return ids


def _patience(entry: Entry, timeout: float) -> float:
    return max(timeout, (entry.kill_timeout_ms + entry.listen_timeout_ms) / 1000 + 20)


class GapWatch:
    """Connects to an address a hundred times a second and notes the longest time that it took nobody in."""

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
        assert self._address is not None
        since: float | None = None
        while not self._end.is_set():
            try:
                socket.create_connection(self._address, timeout=1).close()
                if since is not None:
                    self.longest_ms = max(self.longest_ms, round((time.monotonic() - since) * 1000))
                since = None
                self._open.set()
            except OSError:
                since = since if since is not None else time.monotonic()
                self._open.clear()
            self._end.wait(0.01)
        if since is not None:
            self.longest_ms = max(self.longest_ms, round((time.monotonic() - since) * 1000))
