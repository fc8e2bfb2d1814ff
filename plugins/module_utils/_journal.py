# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of an install: which runs there were, how far each came, and what a way back needs to know.

One file, ``<state_dir>/journal.json``, replaced whole at every step. A run is::

    {"id": "20261122T203000Z-upgrade-v1.4.0", "operation": "upgrade", "from": {...}, "to": {...},
     "started": "...", "finished": null, "outcome": "open", "phases": [{"name", "started", "finished", "status"}], "facts": {...}}

``facts`` is what phases leave for later ones and for a rollback: snapshot path, release directories, workers' state.
``outcome`` is ``open`` until the run ends as ``succeeded``, ``failed`` (nothing had been touched), ``rolled_back`` (an upgrade that
failed and was undone), ``rollback_failed`` (it could not be undone, or not by a rollback) or ``interrupted`` (given up for another run;
when that is the rollback that undoes it, the rollback stands for both from then on).
"""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _clock, _files
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

SCHEMA = 1
OPEN, SUCCEEDED, INTERRUPTED, ROLLBACK_FAILED = "open", "succeeded", "interrupted", "rollback_failed"
WAY_BACK = "way_back"  # the phase in which an upgrade that failed is undone
# Until here a run has changed nothing of the live shop. In the in_place layout `stage` does, but comes after others.
_HARMLESS = frozenset(["preflight", "stage", WAY_BACK])
_DAMAGED = "restore it from the evidence of the last run on the controller"

Run = dict[str, t.Any]


def phases_of(run: t.Mapping[str, t.Any]) -> list[str]:
    """The names of the phases that *run* has entered, in order; one that was entered again is there again."""
    return [phase["name"] for phase in run["phases"]]


def touched(run: t.Mapping[str, t.Any]) -> bool:
    """Whether *run* came so far that the live shop may have been changed."""
    return not _HARMLESS.issuperset(phases_of(run))


def _are_runs(value: t.Any) -> bool:
    """Whether *value* is what :meth:`Journal.save` writes, as far as every reader relies on it."""
    kinds = {"id": str, "operation": str, "outcome": str, "phases": list, "facts": dict}
    return isinstance(value, list) and all(
        isinstance(run, dict) and all(isinstance(run.get(key), kind) for key, kind in kinds.items()) for run in value
    )


@dataclasses.dataclass
class Journal:
    """The runs of one install, oldest first."""

    directory: str
    runs: list[Run] = dataclasses.field(default_factory=list)

    @property
    def path(self) -> str:
        return os.path.join(self.directory, "journal.json")

    def evidence(self, run_id: str) -> str:
        """The directory for what a run leaves behind: logs, lists, backups of files that it changed."""
        return os.path.join(self.directory, "runs", run_id)

    @classmethod
    def load(cls, directory: str) -> Journal:
        """Read the journal in *directory*; one that was never written is empty."""
        journal = cls(directory)
        try:
            with open(journal.path, encoding="utf-8") as stream:
                content = json.load(stream)
        except FileNotFoundError:
            return journal
        except ValueError as error:
            raise EcommusError(f"{journal.path} is damaged: {error}", _DAMAGED) from None
        if isinstance(content, dict) and content.get("schema") != SCHEMA:
            raise EcommusError(
                f"{journal.path} has schema {content.get('schema')}, known here is {SCHEMA}", "use the collection that wrote it"
            )
        if not isinstance(content, dict) or not _are_runs(content.get("runs")):
            raise EcommusError(f"{journal.path} is damaged: it holds no runs", _DAMAGED)
        journal.runs = content["runs"]
        return journal

    def save(self) -> None:
        """Write the journal; the directory is private to the owner of the install."""
        for directory in (self.directory, *(self.evidence(run["id"]) for run in self.runs if run["outcome"] == OPEN)):
            os.makedirs(directory, mode=0o700, exist_ok=True)
        _files.write_json(self.path, {"schema": SCHEMA, "runs": self.runs})

    def last(self, operation: str | None = None, outcome: str | None = None) -> Run | None:
        """The newest run, of this *operation* and *outcome* where given."""
        for run in reversed(self.runs):
            if operation in (None, run["operation"]) and outcome in (None, run["outcome"]):
                return run
        return None

    def open_run(self) -> Run | None:
        """The run that is not finished, if there is one."""
        return self.last(outcome=OPEN)

    def half_way(self) -> Run | None:
        """The run that is not finished, when the shop may stand half-way: by what it did, or by the upgrade that it was to undo."""
        run = self.open_run()
        if run is None or touched(run):
            return run
        undone = self.undone(run)
        return run if undone["outcome"] == INTERRUPTED and touched(undone) else None

    def undone(self, run: Run) -> Run:
        """The upgrade that *run* is, or that it undoes."""
        return self.run(run["facts"]["undoes"]) if run["operation"] == "rollback" else run

    def run(self, run_id: str) -> Run:
        for run in reversed(self.runs):
            if run["id"] == run_id:
                return run
        raise EcommusError(f"the journal knows no run {run_id}", f"see {self.path}")

    def broken(self) -> Run | None:
        """The run whose way back failed, when nobody has dealt with it since."""
        for run in reversed(self.runs):
            if run["outcome"] == SUCCEEDED:
                return None
            if run["outcome"] == ROLLBACK_FAILED:
                return None if run["facts"].get("acknowledged") else run
        return None

    def begin(
        self,
        run_id: str,
        operation: str,
        source: t.Mapping[str, t.Any],
        target: t.Mapping[str, t.Any],
        facts: t.Mapping[str, t.Any] | None = None,
    ) -> Run:
        """Add a run, or take up the one with this id that is open; another one that is still open is closed as interrupted.

        A run that has touched the shop keeps its source and its first facts: what is found now is no longer what was before.

        :raises EcommusError: when the run that is taken up went to another commit.
        """
        for run in self.runs:
            if run["outcome"] == OPEN and run["id"] != run_id:
                self.finish(run, INTERRUPTED)
        known = next((run for run in self.runs if run["id"] == run_id), None)
        if known is None:
            known = {
                "id": run_id,
                "operation": operation,
                "started": _clock.now(),
                "finished": None,
                "outcome": OPEN,
                "phases": [],
                "facts": {},
            }
            self.runs.append(known)
        elif known["outcome"] != OPEN:
            raise EcommusError(f"the run {run_id} has ended", "run again")
        elif touched(known):
            if known["to"] != dict(target):
                raise EcommusError(
                    f"the run {run_id} was going to {known['to']}, and now it is {dict(target)}",
                    "the tag was moved: ask the vendor why; rollback.yml undoes the run",
                )
            self._end_phase(known, INTERRUPTED)
            known["facts"] = {**(facts or {}), **known["facts"]}
            return known
        self._end_phase(known, INTERRUPTED)
        known.update({"from": dict(source), "to": dict(target)})
        known["facts"].update(facts or {})
        return known

    @staticmethod
    def enter(run: Run, phase: str) -> None:
        """Note that *phase* begins, and that the one before it is done, or has failed when the way back begins.

        A run that is in that phase stays in it; one that was interrupted there enters it again.
        """
        if run["phases"] and run["phases"][-1]["name"] == phase and run["phases"][-1]["status"] == OPEN:
            return
        Journal._end_phase(run, "failed" if phase == WAY_BACK else "done")
        run["phases"].append({"name": phase, "started": _clock.now(), "finished": None, "status": OPEN})

    @staticmethod
    def finish(run: Run, outcome: str) -> None:
        """Close *run*; a phase that is still open has failed unless the run, or its way back, succeeded."""
        Journal._end_phase(run, {SUCCEEDED: "done", "rolled_back": "done", INTERRUPTED: INTERRUPTED}.get(outcome, "failed"))
        run["outcome"], run["finished"] = outcome, _clock.now()

    @staticmethod
    def _end_phase(run: Run, status: str) -> None:
        if run["phases"] and run["phases"][-1]["status"] == OPEN:
            run["phases"][-1].update(status=status, finished=_clock.now())
