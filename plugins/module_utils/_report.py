# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of one run on one host: the answer first, then the evidence."""

from __future__ import annotations

import datetime
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import told_apart
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import OPEN, ROLLBACK_FAILED, SUCCEEDED

# The phases between which the shop's workers stand still.
_WINDOW = ("quiesce", "resume")
# What pg_salvage counts of the rows that a person has to look at.
_NOT_CARRIED_OVER = {"changed": "changed", "deleted": "deleted (they are back)", "not_transferable": "refused by the older schema"}
# For what is no error of the library, such as a module that the kernel killed when memory was short: Ansible has no remedy for it.
_UNFORESEEN = "look for the reason in what the task that failed says, and in the host's kernel log (dmesg): a module may have been killed"


def _seconds(start: str | None, end: str | None) -> float | None:
    """Seconds between two times of a journal, None where one is missing."""
    if not start or not end:
        return None
    form = "%Y-%m-%dT%H:%M:%S%z"
    first, last = (datetime.datetime.strptime(text.replace("Z", "+0000"), form) for text in (start, end))
    return (last - first).total_seconds()


def change_window(run: t.Mapping[str, t.Any]) -> float | None:
    """Seconds from the stop of the workers to their start; None when the run did not stop them."""
    # A run that was taken up has entered phases more than once: from the first stop to the last start.
    phases = run.get("phases", [])
    first = {phase["name"]: phase for phase in reversed(phases)}
    last = {phase["name"]: phase for phase in phases}
    stopped, started = first.get(_WINDOW[0]), last.get(_WINDOW[1])
    if stopped is None:
        return None
    return _seconds(stopped["started"], started["finished"] if started else run.get("finished"))


def outcome(operation: str, run: t.Mapping[str, t.Any], failure: str) -> str:
    """One word: ``upgraded``, ``rolled_back``, ``unchanged``, ``refused`` (nothing was touched), ``failed`` or ``rollback_failed``.

    Or ``held``: the new release stays, unverified, for an operator to decide.
    """
    if run.get("outcome") == ROLLBACK_FAILED:
        return ROLLBACK_FAILED
    if failure and run.get("outcome") == OPEN and run.get("facts", {}).get("held"):
        return "held"
    if failure:
        return "failed" if run.get("phases") else "refused"
    if not run:
        return "unchanged"
    return "upgraded" if operation == "upgrade" else "rolled_back"


def notices(run: t.Mapping[str, t.Any]) -> list[str]:
    """What an operator should know although nothing failed."""
    facts = run.get("facts", {})
    workers = facts.get("workers", {}).get("note")
    told = [f"the workers are left as they were: {workers}"] if workers else []
    waived = [(check, check["waiver"]) for check in facts.get("checks", []) if "waiver" in check]
    told += [f"waived until {w['until']} ({w['reason']}): {check['label']}: {check['found']}" for check, w in waived]
    left = [f"{facts['salvaged'][key]} {what}" for key, what in _NOT_CARRIED_OVER.items() if facts.get("salvaged", {}).get(key)]
    if left:
        where = f"; see {facts['review_file']}" if facts.get("review_file") else ""
        where += f"; all are in the database {facts['kept_database']}" if facts.get("kept_database") else ""
        told.append(f"of the rows since the snapshot, not carried over: {', '.join(left)}{where}")
    return told + [_gap(outcome) for outcome in facts.get("restarted", [])]


def _gap(outcome: t.Mapping[str, t.Any]) -> str:
    """What customers noticed of a process that pm2_control could only restart in place."""
    gap, note = outcome.get("gap_ms"), outcome.get("note")
    lasted = "how long it took no connection is not known" if gap is None else f"its port took no connection for {gap} ms"
    return f"{outcome['name']} was restarted in place: {lasted}" + (f" ({note})" if note else "")


def manual_steps(run: t.Mapping[str, t.Any]) -> list[str]:
    """What is left to the operator: what the release notes say, and the maintenance window where nothing closes it."""
    facts = run.get("facts", {})
    steps = [str(step) for step in facts.get("notes", {}).get("manual_steps", [])] if run.get("outcome") == SUCCEEDED else []
    if "maintenance" in facts and not facts["maintenance"]:
        steps.append("Acknowledge the maintenance window in the super-admin (settings, maintenance window), if you opened it.")
    if facts.get("kept_dump"):
        steps.append(
            f"What was in the database before it was reverted is in {facts['kept_dump']}, with what customers wrote since the snapshot."
            " Restore it beside the database with a role that may create databases (pg_snapshot, state=restored, admin_url). Then carry"
            " over what is missing with pg_salvage: failed_database is that copy, path is left out, and mode=report comes first."
        )
    return steps


def build(
    host: str,
    operation: str,
    run: t.Mapping[str, t.Any],
    prober: t.Mapping[str, t.Any],
    failure: str,
    version: str,
    pruned: t.Mapping[str, t.Any] | None = None,
    notes: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """The report as data.

    :param run: the run as the journal has it; empty when none was opened.
    :param prober: what the prober returned; empty when none ran.
    :param version: what runs when no run was opened.
    :param pruned: what the module prune returned, where it was called.
    :param notes: what else the operator should know.
    """
    source, target = run.get("from", {}), run.get("to", {})
    snapshot = run.get("facts", {}).get("snapshot", {})
    totals = prober.get("totals", {})
    keys = ("requests", "failed", "median_ms", "slowest_ms", "longest_gap_ms")
    services = {
        name: {**{key: figures[key] for key in keys}, "releases": figures.get("identities", [])}
        for name, figures in prober.get("targets", {}).items()
    }
    problem, remedy = told_apart(failure)
    return {
        "host": host,
        "operation": operation,
        "run_id": run.get("id"),
        "outcome": outcome(operation, run, failure),
        "from_version": source.get("version", version),
        "to_version": target.get("version", version),
        "started": run.get("started"),
        "finished": run.get("finished"),
        "seconds": _seconds(run.get("started"), run.get("finished")),
        "change_window_seconds": change_window(run),
        "requests": totals.get("requests"),
        "requests_failed": totals.get("failed"),
        "services": services,
        "snapshot": snapshot.get("file") or snapshot.get("path"),
        "at_stake": run.get("facts", {}).get("at_stake"),
        "rollback_available_until": (pruned or {}).get("rollback_available_until"),
        "bytes_kept": (pruned or {}).get("bytes_kept"),
        "notices": [*notes, *notices(run)],
        "manual_steps": manual_steps(run),
        "deprecations": run.get("facts", {}).get("notes", {}).get("deprecations", []),
        "problem": problem,
        "remedy": remedy or (_UNFORESEEN if problem else ""),
        "evidence": {"run": dict(run), "prober": dict(prober)},
    }


def write(report: dict[str, t.Any], directory: str) -> str:
    """Write the report as JSON into *directory*; returns its path."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, "report.json")
    _files.write_json(path, report)
    return path
