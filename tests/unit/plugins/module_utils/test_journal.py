from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal


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


@pytest.mark.parametrize("content", ["{", json.dumps({"schema": 99, "runs": []})])
def test_a_journal_that_cannot_be_trusted_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "journal.json").write_text(content)
    with pytest.raises(EcommusError) as caught:
        Journal.load(str(tmp_path))
    assert caught.value.remedy
