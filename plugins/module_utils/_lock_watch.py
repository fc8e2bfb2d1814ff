# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who blocks whom in a database while something runs there."""

from __future__ import annotations

import contextlib
import re
import threading
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target

_INTERVAL = 0.25  # seconds; a lock limit is seldom under one
_QUERY = """
SELECT w.pid, w.application_name, left(w.query, 500), (extract(epoch FROM clock_timestamp() - w.query_start) * 1000)::bigint,
       b.pid, b.application_name, coalesce(b.state, ''), left(b.query, 500),
       coalesce(b.usename::text, ''), coalesce(b.client_addr::text, ''),
       coalesce(extract(epoch FROM clock_timestamp() - b.xact_start), 0)::bigint
FROM pg_stat_activity w CROSS JOIN LATERAL unnest(pg_blocking_pids(w.pid)) AS blocking(pid) JOIN pg_stat_activity b ON b.pid = blocking.pid
WHERE w.datname = current_database() AND w.wait_event_type = 'Lock'
"""
_FIELDS = (
    "waiting_pid", "waiting_application", "waiting_query", "waited_ms",
    "blocking_pid", "blocking_application", "blocking_state", "blocking_query", "blocking_role", "blocking_client", "transaction_age_s",
)  # fmt: skip


class LockWatch:
    """Collects what it sees until it is stopped; the longest wait of each pair is kept."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._stop = threading.Event()
        self._seen: dict[tuple[int, int], dict[str, t.Any]] = {}

    @property
    def blocked(self) -> list[dict[str, t.Any]]:
        """Each wait, the longest first."""
        return sorted(self._seen.values(), key=lambda wait: -int(wait["waited_ms"]))

    @contextlib.contextmanager
    def watching(self) -> t.Iterator[LockWatch]:
        thread = threading.Thread(target=self._watch, name="lock-watch", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(timeout=10)

    def _watch(self) -> None:
        # What is watched must not fail because watching does.
        with contextlib.suppress(EcommusError), _postgres.session(self._target, application="ecommus-lock-watch") as connection:
            while not self._stop.is_set():
                for row in _postgres.rows(connection, _QUERY):
                    self._note(dict(zip(_FIELDS, row)))
                self._stop.wait(_INTERVAL)

    def _note(self, wait: dict[str, t.Any]) -> None:
        for side in ("waiting_query", "blocking_query"):
            wait[side] = without_literals(wait[side] or "")
        key = (wait["waiting_pid"], wait["blocking_pid"])
        if key not in self._seen or self._seen[key]["waited_ms"] < wait["waited_ms"]:
            self._seen[key] = wait


def without_literals(query: str, length: int = 200) -> str:
    """*query* on one line without its text literals, which may be customers' data."""
    return re.sub(r"'(?:[^']|'')*(?:'|$)", "'...'", " ".join(query.split()))[:length]


def described(wait: t.Mapping[str, t.Any]) -> str:
    """One wait as a clause of an error."""
    who = wait["blocking_application"] or wait["blocking_role"] or "a session"
    state = wait["blocking_state"] or "state hidden"
    return (
        f"{who} (pid {wait['blocking_pid']}, {state}, transaction open for {wait['transaction_age_s']} s)"
        f' holds what "{wait["waiting_query"][:80]}" waits for'
    )
