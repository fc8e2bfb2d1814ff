# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database sessions of migration programs that nobody waits for any more.

A program outlives a module that is killed, and the server goes on with a statement whose program is killed. Either way
the ledgers are not final before the session has ended.
"""

from __future__ import annotations

import time

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target

# What our migration programs call themselves (PGAPPNAME, which node-postgres and postgres.js take up).
APPLICATION = "ecommus-migrations"
_OURS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()"
_INTERVAL = 0.5  # seconds between two looks
_ENDING = 10.0  # seconds that a session may take to end once it was told to


def wait_for_earlier(target: Target, timeout: float) -> None:
    """Return when no migration of an earlier run is at work; it is not ended, since it may be one that leaves half its work.

    :param timeout: seconds.
    :raises EcommusError: when it is still at work then.
    """
    left = _wait(target, timeout)
    if left:
        raise EcommusError(
            f"a migration of an earlier run is still at work in the database (pid {', '.join(map(str, left))})",
            "wait until it ends, or end it with pg_terminate_backend(pid) and restore the snapshot; then run again",
        )


def end(target: Target) -> None:
    """End what a program that was killed has left, and return when it has."""
    with _postgres.session(target) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {_OURS}", [APPLICATION])
    _wait(target, _ENDING)


def _wait(target: Target, timeout: float) -> list[int]:
    deadline = time.monotonic() + timeout
    with _postgres.session(target) as connection:
        while True:
            left = [int(pid) for (pid,) in _postgres.rows(connection, f"SELECT pid {_OURS}", [APPLICATION])]
            if not left or time.monotonic() >= deadline:
                return left
            time.sleep(_INTERVAL)
