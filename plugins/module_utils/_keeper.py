# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Journal and lock together: every step is judged, written and shown as one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _clock, _journal, _lock, _resume
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal, Run

Answer = t.Dict[str, t.Any]  # noqa: UP006  (evaluated at run time, on Python 3.9 too)


@contextlib.contextmanager
def _written(path: str, **details: t.Any) -> t.Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EcommusError(f"cannot write {path}: {error.strerror}", "see to its disk and its owner, then run again", **details) from None


@dataclasses.dataclass
class Keeper:
    """What the module journal does, with its options in *given*; ``warnings`` is what the operator should see."""

    given: t.Mapping[str, t.Any]
    lock: _lock.Lock
    claim: _lock.Claim
    check: bool = False
    warnings: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, given: t.Mapping[str, t.Any], *, check: bool = False) -> Keeper:
        controller = dict(given.get("controller") or {})
        gone = controller.pop("gone", "")
        claim = _lock.Claim(_lock.Controller(**controller), _lock.boot_id(), given["take_lock"], gone)
        return cls(given, _lock.Lock(given["directory"]), claim, check)

    def act(self, state: str) -> Answer:
        """Do what *state* says; returns what the module returns."""
        if state == "planned" and not self.check:
            self._keep_acknowledgement()
        if state in ("locked", "unlocked"):
            return self._lock_alone(state)
        if state in ("read", "planned") or self.check:
            journal = Journal.load(self.lock.directory)
            result = self._look(journal) if state in ("read", "planned") else {"run": self._step(journal, state)}
        else:
            with self.lock.guard():
                journal = Journal.load(self.lock.directory)
                result = {"run": self._locked_step(journal, state)}
        return {**result, "last_upgrade": journal.last("upgrade", _journal.SUCCEEDED)}

    def _lock_alone(self, state: str) -> Answer:
        """The lock for work that is no run: it is refused while a run works, and no run begins meanwhile."""
        run_id = self.given["run_id"]
        if self.check and not os.path.isdir(self.lock.directory):
            return {}
        with self.lock.guard():
            if state == "locked":
                journal = Journal.load(self.lock.directory)
                self._judge(journal)
                interrupted = journal.half_way()
                if interrupted is not None and self.given["unless_interrupted"]:
                    raise EcommusError(
                        f"the {interrupted['operation']} {interrupted['id']} was interrupted and left the shop half-way",
                        "type its command again, or rollback.yml; then this",
                    )
            if self.check:
                return {}
            if state == "locked":
                with _written(self.lock.path):
                    self.lock.write(_lock.Holder(run_id, self.claim.controller, self.claim.boot_id, _clock.now()))
            else:
                self.lock.check(run_id, self.claim.controller)
                self.lock.release()
        return {}

    def _look(self, journal: Journal) -> Answer:
        holder = self.lock.read()
        result: Answer = {"holder": holder.as_dict() if holder else None}
        if self.given["state"] == "read":
            return {**result, "runs": journal.runs, "run": journal.last()}
        self._judge(journal)
        plan = self._plan(journal)
        if plan.run is not None:
            self.warnings.append(f"takes up the run {plan.run_id}, which was interrupted: {', '.join(_journal.phases_of(plan.run))}")
        return {**result, "plan": plan.as_dict()}

    def _locked_step(self, journal: Journal, state: str) -> Run:
        """A step with its lock: taken before the first one is written, let go when the last one is."""
        run_id = self.given["run_id"]
        because = ""
        if state == "begun":
            because = self._judge(journal)
            self._plan_again(journal)
            holder = _lock.Holder(run_id, self.claim.controller, self.claim.boot_id, _clock.now())
            with _written(self.lock.path):
                self.lock.write(holder)
        else:
            self.lock.check(run_id, self.claim.controller)
        run = self._step(journal, state)
        if because:
            run.setdefault("taken_over", []).append({"at": _clock.now(), "by": str(self.claim.controller), "because": because})
        # A way back needs the run also when the disk is full, but not before it has begun.
        with _written(journal.path, **({} if state == "begun" else {"run": run})):
            journal.save()
        if state == "finished":
            self.lock.release()
        return run

    def _step(self, journal: Journal, state: str) -> Run:
        given = self.given
        if state == "begun":
            self._acknowledge(journal)
            run = journal.begin(given["run_id"], given["operation"], given["source"], given["target"], given["facts"])
            return run
        run = journal.run(given["run_id"])
        if state == "entered":
            journal.enter(run, given["phase"])
        elif state == "finished":
            journal.finish(run, given["outcome"])
        run["facts"].update(given["facts"])
        return run

    def _plan(self, journal: Journal) -> _resume.Plan:
        given = self.given
        version = str(given["target"].get("version") or "")
        return _resume.plan(journal, given["operation"], given["run_id"], version, given["acknowledged"])

    def _plan_again(self, journal: Journal) -> None:
        """Between plan and begin another controller may have come and gone."""
        if self._plan(journal).run_id != self.given["run_id"]:
            raise EcommusError("another run was begun on this install meanwhile", "run again")

    def _keep_acknowledgement(self) -> None:
        """It holds from now on, also when nothing else is to be done, as after a repair by hand."""
        if self.given["acknowledged"]:
            with self.lock.guard():
                journal = Journal.load(self.lock.directory)
                self._judge(journal)
                if self._acknowledge(journal):
                    with _written(journal.path):
                        journal.save()

    def _acknowledge(self, journal: Journal) -> bool:
        broken = journal.broken()
        if broken is None or broken["id"] != self.given["acknowledged"]:
            return False
        broken["facts"]["acknowledged"] = {"at": _clock.now(), "by": str(self.claim.controller)}
        return True

    def _judge(self, journal: Journal) -> str:
        """Why the lock changes hands; empty when nobody loses it.

        :raises EcommusError: when somebody else holds it.
        """
        holder = self.lock.read()
        if holder is None:
            return ""
        ended = any(run["id"] == holder.run_id and run["outcome"] != _journal.OPEN for run in journal.runs)
        age, stale_after = self.lock.age(), float(self.given["lock_stale_seconds"])
        because = _lock.judge(holder, self.claim, age=age, finished=ended, stale_after=stale_after)
        if because is None:
            raise _lock.refusal(holder, age, stale_after)
        if because and not ended:
            because = f"the lock of {holder.controller} for the run {holder.run_id}: {because}"
            self.warnings.append(f"takes over {because}")
            return because
        return ""
