"""Journal, lock and plan together, and what an operator's next command does after a kill at any moment."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _journal, _lock
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal
from ansible_collections.mdlabs.ecommus.plugins.module_utils._keeper import Keeper
from hypothesis import given, settings
from hypothesis import strategies as st

REPO = Path(__file__).resolve().parents[4]
PHASES = ["stage", "quiesce", "snapshot", "migrate", "activate", "verify", "resume", "finish"]
TARGET = {"version": "v2", "commit": "c2"}


class Operator:
    """Somebody with a controller; each command is a new process there."""

    def __init__(self, directory: Path, name: str = "ann") -> None:
        self.directory, self.name, self.pid = directory, name, 100

    def step(self, state: str, run_id: str = "", gone: str = "", check: bool = False, **given_: Any) -> dict[str, Any]:
        controller = {"owner": self.name, "host": "ctl", "machine": "m", "pid": self.pid, "gone": gone}
        base = {
            "directory": str(self.directory),
            "state": state,
            "run_id": run_id,
            "operation": "upgrade",
            "source": {"version": "v1"},
            "target": TARGET,
            "facts": {},
            "acknowledged": "",
            "take_lock": "",
            "lock_stale_seconds": 3600,
            "controller": controller,
        }
        return Keeper.of({**base, **given_}, check=check).act(state)

    def begin(self, run_id: str, gone: str = "", **given_: Any) -> dict[str, Any]:
        """What a playbook does until its run is open; returns the plan."""
        plan: dict[str, Any] = self.step("planned", run_id, gone, **given_)["plan"]
        if given_.get("operation") == "rollback":
            given_ = {**given_, "facts": {"undoes": plan["undoes"]["id"]}, "source": {}, "target": {"version": "v1"}}
        self.step("begun", plan["run_id"], gone, **given_)
        return plan

    def killed(self) -> Operator:
        self.pid += 1
        return self


@pytest.fixture
def ann(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "state")


def lock_of(operator: Operator) -> _lock.Holder | None:
    return _lock.Lock(str(operator.directory)).read()


def test_a_run_holds_the_lock_from_begin_to_end(ann: Operator) -> None:
    assert ann.begin("one")["resumed"] is False
    holder = lock_of(ann)
    assert holder is not None and holder.run_id == "one"
    ann.step("entered", "one", phase="stage")
    ann.step("noted", "one", facts={"a": 1})
    assert ann.step("finished", "one", outcome="succeeded")["last_upgrade"]["facts"] == {"a": 1}
    assert lock_of(ann) is None


def test_the_second_operator_is_refused_and_changes_nothing(ann: Operator) -> None:
    ann.begin("one")
    bob = Operator(ann.directory, "bob")
    before = (ann.directory / "journal.json").read_bytes(), lock_of(ann)
    for state in ("planned", "begun"):
        with pytest.raises(EcommusError, match=r"ann@ctl .* for the run one"):
            bob.step(state, "two")
    for state in ("entered", "noted", "finished"):
        with pytest.raises(EcommusError, match="lost the lock"):
            bob.step(state, "one", phase="stage", outcome="failed")
    assert ((ann.directory / "journal.json").read_bytes(), lock_of(ann)) == before
    ann.step("entered", "one", phase="stage")


def test_a_take_over_is_written_down_and_the_former_holder_is_out(ann: Operator) -> None:
    ann.begin("one")
    ann.step("entered", "one", phase="quiesce")
    bob = Operator(ann.directory, "bob")
    bob.begin("two", take_lock="one")
    run = Journal.load(str(ann.directory)).run("one")
    (change,) = run["taken_over"]
    assert (set(change), change["by"]) == ({"at", "by", "because"}, "bob@ctl (pid 100)")
    assert change["because"] == "the lock of ann@ctl (pid 100) for the run one: it was asked for by ecommus_take_lock"
    assert change["at"].endswith("Z")
    with pytest.raises(EcommusError) as caught:
        ann.step("entered", "one", phase="snapshot")
    assert caught.value.details["lock_lost"] is True
    assert "run" not in caught.value.details


def test_check_mode_writes_nothing(ann: Operator) -> None:
    ann.step("planned", "one", check=True)
    assert ann.step("begun", "one", check=True)["run"]["id"] == "one"
    assert not ann.directory.exists()
    ann.begin("one")
    before = (ann.directory / "journal.json").read_bytes(), lock_of(ann)
    told = ann.step("entered", "one", check=True, phase="stage", facts={"a": 1})
    assert (told["run"]["facts"], [phase["name"] for phase in told["run"]["phases"]]) == ({"a": 1}, ["stage"])
    ann.step("unlocked", "one", check=True)
    assert ((ann.directory / "journal.json").read_bytes(), lock_of(ann)) == before


def test_a_look_tells_the_runs_and_who_holds_the_lock(ann: Operator) -> None:
    assert ann.step("read") == {"holder": None, "runs": [], "run": None, "last_upgrade": None}
    ann.begin("one")
    ann.step("finished", "one", outcome="succeeded")
    ann.begin("two")
    holder, runs = lock_of(ann), Journal.load(str(ann.directory)).runs
    assert holder is not None
    assert ann.step("read") == {"holder": holder.as_dict(), "runs": runs, "run": runs[1], "last_upgrade": runs[0]}
    planned = ann.step("planned", "two")
    assert (planned["holder"], planned["last_upgrade"], planned["plan"]["run"]) == (holder.as_dict(), runs[0], runs[1])
    assert set(planned) == {"holder", "plan", "last_upgrade"}


def test_a_full_disk_leaves_the_run_for_the_way_back(ann: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    ann.begin("one")

    def full(_journal: Journal) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_journal.Journal, "save", full)
    with pytest.raises(EcommusError, match="No space left") as caught:
        ann.step("noted", "one", facts={"schema_touched": True})
    assert caught.value.details["run"]["facts"] == {"schema_touched": True}
    with pytest.raises(EcommusError) as refused:
        ann.step("begun", "one")
    assert "run" not in refused.value.details


def test_the_first_facts_survive(ann: Operator) -> None:
    ann.begin("one", facts={"processes": ["workers"], "bump": "minor"})
    ann.step("entered", "one", phase="quiesce")
    ann.step("noted", "one", facts={"env_backup": "/b"})
    ann.killed()
    ann.begin("two", "one", source={"version": "v2"}, facts={"processes": []})
    run = Journal.load(str(ann.directory)).run("one")
    assert run["facts"] == {"processes": ["workers"], "bump": "minor", "env_backup": "/b"}
    assert run["from"] == {"version": "v1"}
    assert [phase["status"] for phase in run["phases"]] == ["interrupted"]


def test_a_tag_that_moved_meanwhile_is_refused(ann: Operator) -> None:
    ann.begin("one")
    ann.step("entered", "one", phase="quiesce")
    with pytest.raises(EcommusError, match="going to"):
        ann.killed().begin("two", "one", target={"version": "v2", "commit": "other"})


def test_a_failed_way_back_blocks_upgrades_until_it_is_dealt_with(ann: Operator) -> None:
    ann.begin("one")
    ann.step("entered", "one", phase="migrate")
    ann.step("finished", "one", outcome="rollback_failed", facts={"failure": "no disk. Remedy: buy one", "snapshot": {"path": "/s.dump"}})
    with pytest.raises(EcommusError, match=r"way back of the run one \(v1 to v2\) failed .*no disk .*/s\.dump.*acknowledge=one"):
        ann.step("planned", "two")
    with pytest.raises(EcommusError):
        ann.step("planned", "two", acknowledged="other")
    assert ann.step("planned", "two", operation="rollback")["plan"]["undoes"]["id"] == "one"
    ann.begin("two", acknowledged="one")
    ann.step("finished", "two", outcome="rolled_back")
    ann.begin("three")


def test_an_acknowledgement_holds_also_when_nothing_else_is_to_be_done(ann: Operator) -> None:
    ann.begin("one")
    ann.step("finished", "one", outcome="rollback_failed")
    ann.step("planned", "two", acknowledged="one", check=True)
    with pytest.raises(EcommusError, match="acknowledge=one"):
        ann.step("planned", "two")
    ann.step("planned", "two", acknowledged="one")
    noted = Journal.load(str(ann.directory)).run("one")["facts"]["acknowledged"]
    assert (set(noted), noted["by"]) == ({"at", "by"}, "ann@ctl (pid 100)")
    assert ann.step("planned", "three")["plan"]["run_id"] == "three"


def test_a_rollback_that_succeeded_lifts_the_block(ann: Operator) -> None:
    ann.begin("one")
    ann.step("finished", "one", outcome="rollback_failed")
    ann.begin("two", operation="rollback")
    ann.step("finished", "two", outcome="succeeded")
    ann.begin("three")


def test_a_failed_rollback_undoes_the_same_upgrade_again(ann: Operator) -> None:
    ann.begin("one")
    ann.step("finished", "one", outcome="succeeded")
    ann.begin("two", operation="rollback")
    ann.step("finished", "two", outcome="rollback_failed")
    plan = ann.step("planned", "three", operation="rollback")["plan"]
    assert (plan["run_id"], plan["undoes"]["id"], plan["halfway"]) == ("three", "one", True)
    assert plan["unfinished"]["id"] == "two"  # and what was before that is what has to be brought back


def test_a_rollback_that_was_killed_before_its_first_change_stands_for_the_upgrade_that_it_closed(ann: Operator) -> None:
    ann.begin("one")
    ann.step("entered", "one", phase="migrate")
    ann.killed()
    ann.begin("two", "one", operation="rollback")
    ann.step("entered", "two", phase="preflight")
    ann.killed()
    with pytest.raises(EcommusError, match=r"rollback two was interrupted .* run rollback\.yml"):
        ann.step("planned", "three", "two")
    with pytest.raises(EcommusError, match="the rollback two was interrupted"):
        ann.step("locked", "adopt", gone="two", unless_interrupted=True)
    assert ann.step("planned", "three", "two", operation="rollback")["plan"]["undoes"]["id"] == "one"


def test_work_that_is_no_run_takes_the_same_lock(ann: Operator) -> None:
    bob = Operator(ann.directory, "bob")
    ann.step("locked", "prune", check=True)
    assert not ann.directory.exists()
    ann.step("locked", "prune", unless_interrupted=False)
    for state in ("planned", "begun", "locked"):
        with pytest.raises(EcommusError, match=r"ann@ctl .* holds the lock .* for the run prune"):
            bob.step(state, "one", unless_interrupted=False)
    ann.step("unlocked", "prune")
    bob.begin("one")
    bob.step("entered", "one", phase="quiesce")
    with pytest.raises(EcommusError, match="holds the lock"):
        ann.step("locked", "prune", unless_interrupted=False)
    assert bob.step("read")["holder"]["run_id"] == "one"
    with pytest.raises(EcommusError, match="has lost the lock"):
        ann.step("unlocked", "prune")


def test_the_layout_is_not_changed_under_an_interrupted_run(ann: Operator) -> None:
    ann.begin("one")
    ann.step("entered", "one", phase="quiesce")
    ann.killed()
    with pytest.raises(EcommusError, match="the upgrade one was interrupted"):
        ann.step("locked", "adopt", gone="one", unless_interrupted=True)
    ann.step("locked", "prune", gone="one", unless_interrupted=False)
    ann.step("unlocked", "prune")
    assert ann.step("planned", "two")["plan"]["run_id"] == "one"


def test_an_interrupted_rollback_is_taken_up_and_stands_before_upgrades(ann: Operator) -> None:
    ann.begin("one")
    ann.step("finished", "one", outcome="succeeded")
    ann.begin("two", operation="rollback")
    ann.step("entered", "two", phase="quiesce")
    ann.killed()
    with pytest.raises(EcommusError, match=r"rollback two was interrupted .* run rollback\.yml"):
        ann.step("planned", "three", "two")
    assert ann.begin("three", "two", operation="rollback")["run_id"] == "two"


def test_there_is_nothing_to_undo_twice(ann: Operator) -> None:
    assert ann.step("planned", "zero", operation="rollback")["plan"]["undoes"] == {}
    ann.begin("one")
    ann.step("finished", "one", outcome="succeeded")
    ann.begin("two", operation="rollback")
    ann.step("finished", "two", outcome="succeeded")
    assert ann.step("planned", "three", operation="rollback")["plan"]["direction"] == "none"


@given(
    done=st.integers(0, len(PHASES)),
    way_back=st.booleans(),
    command=st.sampled_from(["same", "other", "rollback"]),
)
def test_after_a_kill_anywhere_the_next_command_is_right(done: int, way_back: bool, command: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        ann = Operator(Path(directory) / "state")
        ann.begin("one", facts={"plugins": "before"})
        for phase in PHASES[:done]:
            ann.step("entered", "one", phase=phase)
        if way_back:
            ann.step("entered", "one", phase=_journal.WAY_BACK)
        with pytest.raises(EcommusError, match="holds the lock"):
            ann.killed().begin("early")  # nobody has said that the first process is gone
        harmless = done <= 1
        if command == "rollback":
            assert ann.begin("two", "one", operation="rollback")["undoes"]["id"] == "one"
        elif command == "same":
            plan = ann.begin("two", "one")
            assert (plan["run_id"], plan["touched"]) == ("one", not harmless)
            assert plan["direction"] == ("back" if way_back else "forward")
        elif harmless:
            assert ann.begin("two", "one", target={"version": "v3"})["run_id"] == "two"
        else:
            with pytest.raises(EcommusError, match=r"finish it with -e version=v2, or undo it with rollback\.yml"):
                ann.begin("two", "one", target={"version": "v3"})
        journal = Journal.load(str(ann.directory))
        assert journal.run("one")["facts"] == {"plugins": "before"}
        assert len([run for run in journal.runs if run["outcome"] == _journal.OPEN]) == 1


# ---------------------------------------------------------------- any history

COMMANDS = ["v2", "v3", "rollback"]
CLOSES = yaml.safe_load((REPO / "roles/rollback/tasks/report.yml").read_text())[0]["mdlabs.ecommus.journal"]["outcome"]


def outcome_of_failed_rollback(run: dict[str, Any], undoes: dict[str, Any]) -> str:
    """How the role closes *run*, by its own words."""
    return jinja2.Template(CLOSES).render(rollback_journal={"run": run}, rollback_of=undoes)


def command(ann: Operator, what: str, number: int, steps: int, succeeds: bool, check: bool = False) -> dict[str, Any]:
    """What the playbook does for the command *what*, killed after *steps* writes to the journal; returns its plan."""
    holder = lock_of(ann) if ann.directory.exists() else None
    kind = {"operation": "rollback"} if what == "rollback" else {"target": {"version": what, "commit": f"c-{what}"}}
    gone = holder.run_id if holder else ""
    plan: dict[str, Any] = ann.step("planned", f"run{number}", gone, check, **kind)["plan"]
    if check or steps == 0 or plan["direction"] == "none" or (what == "rollback" and not plan["undoes"]):
        return plan
    run_id = plan["run_id"]
    if what == "rollback":
        kind = {**kind, "facts": {"undoes": plan["undoes"]["id"]}, "source": {}, "target": {"version": "v1"}}
    ann.step("begun", run_id, gone, **kind)
    phases = ["preflight", "quiesce", "undo", "resume", "finish"] if what == "rollback" else PHASES
    if plan["direction"] == "back":
        phases, succeeds = [], False
    if not succeeds:
        phases = phases[: 5 if what != "rollback" else 1 if number % 2 else 3]
    writes: list[dict[str, Any]] = [{"state": "entered", "phase": phase} for phase in phases]
    if succeeds:
        writes.append({"state": "finished", "outcome": "succeeded"})
    elif what == "rollback":
        writes.append({"state": "finished"})
    else:
        undone = "rolled_back" if number % 2 else "rollback_failed"
        writes += [{"state": "entered", "phase": _journal.WAY_BACK}, {"state": "finished", "outcome": undone}]
    for write in writes[: steps - 1]:
        if write == {"state": "finished"}:
            write["outcome"] = outcome_of_failed_rollback(Journal.load(str(ann.directory)).run(run_id), plan["undoes"])
        ann.step(run_id=run_id, **write)
    return plan


def left_half_way(journal: Journal) -> dict[str, Any] | None:
    """The upgrade that was neither finished nor undone, nor has a run succeeded since."""
    for run in reversed(journal.runs):
        if run["outcome"] == _journal.SUCCEEDED:
            return None
        unsettled = run["outcome"] in (_journal.OPEN, _journal.INTERRUPTED, _journal.ROLLBACK_FAILED)
        if run["operation"] == "upgrade" and unsettled and _journal.touched(run):
            return run
    return None


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(COMMANDS), st.integers(0, 12), st.booleans()), max_size=6))
def test_whatever_was_killed_before_there_is_a_way_on(history: list[tuple[str, int, bool]]) -> None:
    """Every prefix of what runs write leaves a journal that each next command understands, and one of them may go on."""
    with tempfile.TemporaryDirectory() as directory:
        ann = Operator(Path(directory) / "state")
        for number, (what, steps, succeeds) in enumerate(history):
            ann.killed()
            try:
                command(ann, what, number, steps, succeeds)
            except EcommusError as error:
                assert error.remedy
            journal = Journal.load(str(ann.directory))
            opened = [run for run in journal.runs if run["outcome"] == _journal.OPEN]
            assert len(opened) <= 1
            plans: dict[str, dict[str, Any]] = {}
            for following in COMMANDS:
                try:
                    plans[following] = command(ann.killed(), following, 99, 0, True, check=True)
                except EcommusError as error:
                    assert error.remedy
            assert "rollback" in plans, "the way back is never refused"
            known = {run["id"] for run in journal.runs}
            for following, plan in plans.items():
                assert plan["run_id"] == "run99" or plan["run_id"] in known
                assert plan["direction"] in ("forward", "back", "none")
                assert plan["resumed"] == (plan["run_id"] in known)
                if plan["resumed"]:
                    assert following == ("rollback" if plan["run"]["operation"] == "rollback" else plan["run"]["to"]["version"])
                if opened and _journal.touched(opened[0]) and following != "rollback":
                    assert plan["run_id"] == opened[0]["id"], "nothing else begins over a shop that is half-way"
            halfway = left_half_way(journal)
            if halfway:
                assert plans["rollback"]["undoes"]["id"] == halfway["id"], "what went wrong last is undone, and nothing before it"
                assert {plan["run_id"] for what, plan in plans.items() if what != "rollback"} <= {halfway["id"]}
            if opened and opened[0]["operation"] == "rollback":
                assert plans["rollback"]["run_id"] == opened[0]["id"]
            if journal.broken():
                assert set(plans) == {"rollback"}
            elif not halfway and (not opened or not _journal.touched(opened[0])):
                assert set(plans) == set(COMMANDS)
