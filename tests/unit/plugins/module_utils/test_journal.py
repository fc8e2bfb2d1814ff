from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _clock, _journal
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal

NOW = "2026-11-22T20:30:00Z"


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    monkeypatch.setattr(_clock, "now", lambda: NOW)
    return Journal(str(tmp_path / "state"))


def test_a_run_is_written_down_phase_by_phase(tmp_path: Path) -> None:
    journal = Journal.load(str(tmp_path / "state"))
    run = journal.begin("one", "upgrade", {"version": "v1"}, {"version": "v2"})
    journal.enter(run, "stage")
    journal.enter(run, "migrate")
    journal.save()
    again = Journal.load(str(tmp_path / "state"))
    assert [(p["name"], p["status"]) for p in again.runs[0]["phases"]] == [("stage", "done"), ("migrate", "open")]
    assert again.open_run() == run
    again.finish(again.run("one"), "failed")
    assert again.open_run() is None
    assert again.runs[0]["phases"][-1]["status"] == "failed"
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "journal.json").stat().st_mode) == 0o600


def test_a_new_run_closes_the_one_that_was_interrupted(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    journal.begin("one", "upgrade", {}, {})
    journal.begin("two", "upgrade", {}, {})
    assert [run["outcome"] for run in journal.runs] == ["interrupted", "open"]
    assert journal.last("upgrade", "succeeded") is None


def test_what_a_run_holds_from_begin_to_end(journal: Journal) -> None:
    run = journal.begin("one", "upgrade", {"version": "v1"}, {"version": "v2"}, {"bump": "minor"})
    begun = {
        "id": "one",
        "operation": "upgrade",
        "from": {"version": "v1"},
        "to": {"version": "v2"},
        "started": NOW,
        "finished": None,
        "outcome": "open",
        "phases": [],
        "facts": {"bump": "minor"},
    }
    assert run == begun
    journal.enter(run, "stage")
    assert run["phases"] == [{"name": "stage", "started": NOW, "finished": None, "status": "open"}]
    journal.enter(run, "stage")
    assert len(run["phases"]) == 1
    journal.finish(run, "succeeded")
    done = {"name": "stage", "started": NOW, "finished": NOW, "status": "done"}
    assert run == {**begun, "finished": NOW, "outcome": "succeeded", "phases": [done]}
    with pytest.raises(EcommusError, match="the run one has ended"):
        journal.begin("one", "upgrade", {}, {})


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("succeeded", "done"),
        ("rolled_back", "done"),
        ("interrupted", "interrupted"),
        ("failed", "failed"),
        ("rollback_failed", "failed"),
    ],
)
def test_the_phase_that_was_open_ends_as_its_run_did(journal: Journal, outcome: str, status: str) -> None:
    run = journal.begin("one", "upgrade", {}, {})
    journal.enter(run, "stage")
    journal.finish(run, outcome)
    journal.finish(run, "failed")  # what has ended stays as it ended
    assert run["phases"][0]["status"] == status


def test_the_way_back_begins_because_a_phase_failed(journal: Journal) -> None:
    run = journal.begin("one", "upgrade", {}, {})
    journal.enter(run, "stage")
    journal.enter(run, _journal.WAY_BACK)
    assert [(phase["name"], phase["status"]) for phase in run["phases"]] == [("stage", "failed"), ("way_back", "open")]


def test_a_run_that_is_taken_up_before_it_touched_the_shop_starts_from_what_is_found_now(journal: Journal) -> None:
    run = journal.begin("one", "upgrade", {"version": "v1"}, {"version": "v2"}, {"a": 1, "b": 1})
    journal.enter(run, "stage")
    assert journal.begin("one", "upgrade", {"version": "v0"}, {"version": "v3"}, {"b": 2}) is run
    assert (run["from"], run["to"], run["facts"]) == ({"version": "v0"}, {"version": "v3"}, {"a": 1, "b": 2})
    assert run["phases"][0]["status"] == "interrupted"
    journal.enter(run, "stage")
    assert _journal.phases_of(run) == ["stage", "stage"]


def test_a_run_that_touched_the_shop_keeps_what_was_before(journal: Journal) -> None:
    run = journal.begin("one", "upgrade", {"version": "v1"}, {"version": "v2"}, {"b": 1})
    journal.enter(run, "quiesce")
    journal.begin("one", "upgrade", {"version": "v0"}, {"version": "v2"}, {"a": 2, "b": 2})
    assert (run["from"], run["facts"]) == ({"version": "v1"}, {"a": 2, "b": 1})
    journal.begin("one", "upgrade", {"version": "v0"}, {"version": "v2"})
    assert run["facts"] == {"a": 2, "b": 1}
    with pytest.raises(EcommusError, match=r"the run one was going to {'version': 'v2'}, and now it is {'version': 'v3'}"):
        journal.begin("one", "upgrade", {}, {"version": "v3"})


@pytest.mark.parametrize(
    ("phases", "touched"),
    [([], False), (["preflight", "stage"], False), (["stage", "way_back"], False), (["preflight", "quiesce", "way_back"], True)],
)
def test_which_phases_touch_the_live_shop(phases: list[str], touched: bool) -> None:
    assert _journal.touched({"phases": [{"name": name} for name in phases]}) is touched


def test_the_newest_run_of_a_kind_is_found(journal: Journal) -> None:
    for run_id, operation, outcome in (("a", "upgrade", "succeeded"), ("b", "upgrade", "failed"), ("c", "rollback", "failed")):
        journal.finish(journal.begin(run_id, operation, {}, {}), outcome)
    found = [journal.last(*kind) for kind in ((), ("upgrade",), ("upgrade", "succeeded"), (None, "failed"), ("rollback", "succeeded"))]
    assert [run and run["id"] for run in found] == ["c", "b", "a", "c", None]
    assert journal.run("b")["operation"] == "upgrade"
    with pytest.raises(EcommusError) as caught:
        journal.run("z")
    assert (caught.value.message, caught.value.remedy) == ("the journal knows no run z", f"see {journal.path}")


@pytest.mark.parametrize(
    ("outcomes", "facts", "broken"),
    [
        ([], {}, None),
        (["rollback_failed"], {}, "0"),
        (["rollback_failed", "failed", "interrupted"], {}, "0"),
        (["rollback_failed", "rollback_failed"], {}, "1"),
        (["rollback_failed", "succeeded"], {}, None),
        (["succeeded", "rollback_failed"], {}, "1"),
        (["rollback_failed", "failed"], {"acknowledged": {"by": "ann"}}, None),
    ],
)
def test_a_failed_way_back_counts_until_somebody_dealt_with_it(
    journal: Journal, outcomes: list[str], facts: dict[str, object], broken: str | None
) -> None:
    for number, outcome in enumerate(outcomes):
        journal.finish(journal.begin(str(number), "upgrade", {}, {}, facts), outcome)
    found = journal.broken()
    assert (found and found["id"]) == broken


def test_only_a_run_that_is_open_has_a_directory_for_its_evidence(journal: Journal) -> None:
    assert Journal.load(journal.directory) == journal
    journal.finish(journal.begin("one", "upgrade", {}, {}), "failed")
    journal.begin("two", "upgrade", {}, {})
    journal.save()
    journal.save()
    evidence = Path(journal.directory, "runs/two")
    assert (os.listdir(evidence.parent), stat.S_IMODE(evidence.stat().st_mode)) == (["two"], 0o700)
    assert journal.evidence("two") == str(evidence)
    assert json.loads(Path(journal.path).read_text()) == {"schema": 1, "runs": journal.runs}


RUN = {"id": "one", "operation": "upgrade", "outcome": "open", "phases": [], "facts": {}}


@pytest.mark.parametrize(
    ("content", "says", "remedy"),
    [
        ("{", "is damaged: Expecting", "evidence of the last run"),
        ("[]", "is damaged: it holds no runs", "evidence of the last run"),
        (json.dumps({"schema": 99, "runs": []}), "has schema 99, known here is 1", "the collection that wrote it"),
        (json.dumps({"runs": []}), "has schema None, known here is 1", "the collection that wrote it"),
        (json.dumps({"schema": 1}), "it holds no runs", "evidence"),
        (json.dumps({"schema": 1, "runs": {}}), "it holds no runs", "evidence"),
        (json.dumps({"schema": 1, "runs": [RUN, []]}), "it holds no runs", "evidence"),
        *((json.dumps({"schema": 1, "runs": [RUN, {**RUN, key: None}]}), "it holds no runs", "evidence") for key in RUN),
    ],
)
def test_a_journal_that_cannot_be_trusted_is_an_error(tmp_path: Path, content: str, says: str, remedy: str) -> None:
    (tmp_path / "journal.json").write_text(content)
    with pytest.raises(EcommusError) as caught:
        Journal.load(str(tmp_path))
    assert caught.value.message.startswith(f"{tmp_path}/journal.json ")
    assert says in caught.value.message
    assert remedy in caught.value.remedy
