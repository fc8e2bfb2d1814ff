# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's workers: whether they work, so that they can be brought back to exactly that."""

from __future__ import annotations

import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _fingerprint, _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target

PROCESS, API, NONE = "process", "api", "none"
SWITCH = "ECOMMUS_WORKERS"  # the API works as workers too when it is "true"
# What the operator wants to run: also one that is between two lives at the moment. One that pm2 gave up (errored) is not started by us.
_RESTING = frozenset(["stopped", "stopping", "errored"])


def observe(pm2: Pm2, mode: str, process: str, env_file: str | None = None) -> dict[str, t.Any]:
    """What the workers do now.

    :param mode: where they work: :data:`PROCESS`, :data:`API` or :data:`NONE`.
    :param process: pm2 name of that; empty where there is none.
    :param env_file: what the API reads at boot, unless its process was given the variable.
    :returns: ``mode``, ``process``, ``running`` (how many of its processes do the workers' work) and ``note``, why none does
        (empty: they do, or there are none).
    """
    table = pm2.table(process) if process and mode != NONE else []
    alive = [entry for entry in table if entry.status not in _RESTING]
    if mode == API:
        read = _dotenv.read(env_file).get(SWITCH) if env_file else None
        running = sum(_works(entry, read) for entry in alive)
    else:
        running = len(alive)
    note = "" if running or not process or mode == NONE else _why(mode, process, table)
    return {"mode": mode, "process": process, "running": running, "note": note}


def check(found: t.Mapping[str, t.Any], *, working: bool) -> None:
    """See that they work, or rest.

    :raises EcommusError: otherwise.
    """
    if working != bool(found["running"]):
        what = "do not work" if working else f"still work in {found['running']} processes of {found['process']}"
        raise EcommusError(f"the workers {what}", f"look at {SWITCH} in the environment file and in the ecosystem file, then run again")


def check_jobs(target: Target, query: str) -> None:
    """See by the shop's own records that no job is under way: pm2 knows how a process ended, not what it was working on.

    A database without a table has no jobs: so a restore in place leaves it that is killed, and it goes on when it is asked for again.

    :param query: SQL whose first value is how many there are. It can change nothing.
    :raises EcommusError: when there are some, or the query does not say.
    """
    with _postgres.session(target, autocommit=False) as connection:
        connection.execute("SET TRANSACTION READ ONLY")
        if not _fingerprint.table_names(connection):
            return
        found = _postgres.value(connection, query)
    if not isinstance(found, int):
        raise EcommusError(f"ecommus_jobs_query answers {found!r} instead of a number", "let it be SELECT count(*) FROM ... WHERE ...")
    if found:
        raise EcommusError(
            f"{found} jobs are under way by the shop's own records, although the workers rest",
            "they were cut off, now or by a crash long ago: finish or correct them, or let ecommus_jobs_query leave old ones out",
        )


def _works(entry: Entry, read: str | None) -> bool:
    given = entry.variable(SWITCH)  # a variable of the process goes before the file (Node.js docs: process.loadEnvFile)
    return (read if given is None else given) == "true"


def _why(mode: str, process: str, table: t.Sequence[Entry]) -> str:
    if not table:
        return f"pm2 did not know {process} when the run began"
    if mode == API:
        return f"{process} ran without them ({SWITCH}) when the run began"
    return f"{process} was {' and '.join(sorted({entry.status for entry in table}))} when the run began"
