# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator's command means, given what the journal says about the runs before: begin, take up, undo, or refuse."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError, told_apart
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import (
    OPEN,
    ROLLBACK_FAILED,
    SUCCEEDED,
    WAY_BACK,
    Journal,
    Run,
    phases_of,
    touched,
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    ``direction`` is ``forward``, ``back`` (the way back of an upgrade was interrupted and is walked to its end) or
    ``none`` (there is nothing to undo). ``run`` is the run that is taken up, ``undoes`` the upgrade that a rollback undoes.
    ``unfinished`` is the run that left the shop half-way: the shop need not be at the release of that upgrade any more, or not
    yet, and what the shop was like before is in its facts.
    """

    run_id: str
    direction: str = "forward"
    run: Run | None = None
    undoes: Run | None = None
    unfinished: Run | None = None

    def as_dict(self) -> dict[str, t.Any]:
        return {
            "run_id": self.run_id,
            "direction": self.direction,
            "halfway": self.unfinished is not None,
            "resumed": self.run is not None,
            "touched": self.run is not None and touched(self.run),
            "run": self.run or {},
            "undoes": self.undoes or {},
            "unfinished": self.unfinished or {},
        }


def plan(journal: Journal, operation: str, run_id: str, version: str = "", acknowledged: str = "") -> Plan:
    """What *operation* does now.

    :param run_id: for a run that begins; one that is taken up keeps its own.
    :param version: the release that an upgrade is to reach.
    :param acknowledged: the run whose failed way back the operator has dealt with.
    :raises EcommusError: when it must not be done now.
    """
    if operation == "rollback":
        return _rollback(journal, run_id)
    return _upgrade(journal, run_id, version, acknowledged)


def _upgrade(journal: Journal, run_id: str, version: str, acknowledged: str) -> Plan:
    broken = journal.broken()
    if broken is not None and broken["id"] != acknowledged:
        raise _blocked(broken)
    run = journal.open_run()
    if run is None or not (journal.half_way() or _same(run, version)):
        return Plan(run_id)
    if run["operation"] == "rollback":
        raise EcommusError(f"the rollback {run['id']} was interrupted in its phase {_last(run)}", "run rollback.yml, which takes it up")
    if not _same(run, version):
        wanted = run["to"].get("version")
        raise EcommusError(
            f"the upgrade {run['id']} to {wanted} was interrupted in its phase {_last(run)}, so {version or 'another one'} cannot begin",
            f"finish it with -e version={wanted}, or undo it with rollback.yml",
        )
    return Plan(run["id"], "back" if WAY_BACK in phases_of(run) else "forward", run)


def _same(run: Run, version: str) -> bool:
    return bool(run["operation"] == "upgrade" and run["to"].get("version") == version)


def _rollback(journal: Journal, run_id: str) -> Plan:
    """The newest run decides whose traces are still there: those that were undone or never touched the shop are passed over."""
    for run in reversed(journal.runs):
        ours = run["operation"] == "rollback"
        if run["outcome"] == OPEN and ours:
            return Plan(run["id"], run=run, undoes=journal.undone(run), unfinished=run)
        if run["outcome"] == OPEN or (run["outcome"] == ROLLBACK_FAILED and not run["facts"].get("acknowledged")):
            return Plan(run_id, undoes=journal.undone(run), unfinished=run)
        if run["outcome"] == SUCCEEDED:
            return Plan(run_id, "none") if ours else Plan(run_id, undoes=run)
    return Plan(run_id)


def _last(run: Run) -> str:
    return (phases_of(run) or ["preflight"])[-1]


def _blocked(run: Run) -> EcommusError:
    facts = run["facts"]
    snapshot = facts.get("snapshot", {}).get("path") or "see the run that it undoes"
    why = told_apart(str(facts.get("failure", "unknown")))[0]
    return EcommusError(
        f"the way back of the run {run['id']} ({run['from'].get('version')} to {run['to'].get('version')}) failed in its phase"
        f" {_last(run)}: {why} (snapshot: {snapshot}; environment before: {facts.get('env_backup') or 'unchanged'})",
        f"run rollback.yml, which tries again; if you have repaired the shop by hand, add -e ecommus_acknowledge={run['id']}",
    )
