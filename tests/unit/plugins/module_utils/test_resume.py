# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next command takes up, undoes or refuses, by what the journal holds."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _resume
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal
from ansible_collections.mdlabs.ecommus.plugins.module_utils._resume import Plan


def run(run_id: str, outcome: str, *phases: str, operation: str = "upgrade", **facts: Any) -> dict[str, Any]:
    return {
        "id": run_id,
        "operation": operation,
        "outcome": outcome,
        "from": {"version": "v1"},
        "to": {"version": "v2"},
        "phases": [{"name": name, "status": "open"} for name in phases],
        "facts": facts,
    }


def journal(*runs: dict[str, Any]) -> Journal:
    return Journal("/state", list(runs))


HALF = run("one", "open", "stage", "quiesce")
BACK = run("one", "open", "quiesce", "way_back")
FRESH = run("one", "open", "stage")
DONE = run("one", "succeeded")
ROLLBACK = run("two", "open", "quiesce", operation="rollback", undoes="one")
CLOSED = run("one", "interrupted", "stage", "migrate")  # by the rollback that began after it
ROLLBACK_BEGUN = run("two", "open", "preflight", operation="rollback", undoes="one")


@pytest.mark.parametrize(
    ("runs", "version", "plan"),
    [
        ([], "v2", Plan("new")),
        ([DONE], "v2", Plan("new")),
        ([FRESH], "v2", Plan("one", "forward", FRESH)),
        ([FRESH], "v3", Plan("new")),
        ([HALF], "v2", Plan("one", "forward", HALF)),
        ([BACK], "v2", Plan("one", "back", BACK)),
        ([DONE, ROLLBACK_BEGUN], "v2", Plan("new")),
        ([run("one", "interrupted", "stage"), ROLLBACK_BEGUN], "v2", Plan("new")),
    ],
)
def test_an_upgrade_takes_up_its_own_run(runs: list[dict[str, Any]], version: str, plan: Plan) -> None:
    assert _resume.plan(journal(*runs), "upgrade", "new", version) == plan


@pytest.mark.parametrize(
    ("runs", "version", "says", "remedy"),
    [
        (
            [HALF],
            "v3",
            "the upgrade one to v2 was interrupted in its phase quiesce, so v3 cannot begin",
            "finish it with -e version=v2, or undo it with rollback.yml",
        ),
        ([HALF], "", "so another one cannot begin", "finish it with -e version=v2"),
        ([DONE, ROLLBACK], "v2", "the rollback two was interrupted in its phase quiesce", "run rollback.yml"),
        ([CLOSED, ROLLBACK_BEGUN], "v2", "the rollback two was interrupted in its phase preflight", "run rollback.yml"),
    ],
)
def test_an_upgrade_does_not_begin_over_a_shop_that_is_half_way(runs: list[dict[str, Any]], version: str, says: str, remedy: str) -> None:
    with pytest.raises(EcommusError) as caught:
        _resume.plan(journal(*runs), "upgrade", "new", version)
    assert caught.value.message.endswith(says)
    assert caught.value.remedy.startswith(remedy)


def test_a_failed_way_back_is_told_with_what_is_needed_to_repair_it() -> None:
    facts = {"failure": "the disk is full. Remedy: free space", "snapshot": {"path": "/b/x.dump"}, "env_backup": "/b/env"}
    broken = run("one", "rollback_failed", "migrate", "way_back", **facts)
    with pytest.raises(EcommusError) as caught:
        _resume.plan(journal(broken), "upgrade", "new", "v2", "other")
    assert caught.value.message == (
        "the way back of the run one (v1 to v2) failed in its phase way_back: the disk is full"
        " (snapshot: /b/x.dump; environment before: /b/env)"
    )
    assert caught.value.remedy.endswith("add -e ecommus_acknowledge=one")
    assert _resume.plan(journal(broken), "upgrade", "new", "v2", "one") == Plan("new")


def test_a_failed_way_back_is_told_also_when_little_is_known() -> None:
    with pytest.raises(EcommusError) as caught:
        _resume.plan(journal(run("one", "rollback_failed")), "upgrade", "new")
    assert caught.value.message == (
        "the way back of the run one (v1 to v2) failed in its phase preflight: unknown"
        " (snapshot: see the run that it undoes; environment before: unchanged)"
    )


FAILED = run("one", "rollback_failed", "way_back")
FAILED_ROLLBACK = run("two", "rollback_failed", operation="rollback", undoes="one")


@pytest.mark.parametrize(
    ("runs", "plan"),
    [
        ([], Plan("new")),
        ([DONE], Plan("new", undoes=DONE)),
        ([DONE, run("x", "failed"), run("y", "rolled_back"), run("z", "interrupted", "stage")], Plan("new", undoes=DONE)),
        ([HALF], Plan("new", undoes=HALF, unfinished=HALF)),
        ([FAILED], Plan("new", undoes=FAILED, unfinished=FAILED)),
        ([run("one", "rollback_failed", acknowledged={"by": "ann"})], Plan("new")),
        ([DONE, ROLLBACK], Plan("two", run=ROLLBACK, undoes=DONE, unfinished=ROLLBACK)),
        ([DONE, FAILED_ROLLBACK], Plan("new", undoes=DONE, unfinished=FAILED_ROLLBACK)),
        ([run("zero", "succeeded"), CLOSED, FAILED_ROLLBACK], Plan("new", undoes=CLOSED, unfinished=FAILED_ROLLBACK)),
        ([CLOSED, ROLLBACK_BEGUN], Plan("two", run=ROLLBACK_BEGUN, undoes=CLOSED, unfinished=ROLLBACK_BEGUN)),
        ([DONE, run("two", "succeeded", operation="rollback", undoes="one")], Plan("new", "none")),
    ],
)
def test_a_rollback_undoes_what_left_the_newest_traces(runs: list[dict[str, Any]], plan: Plan) -> None:
    assert _resume.plan(journal(*runs), "rollback", "new") == plan


def test_a_plan_is_told_as_data() -> None:
    assert Plan("new").as_dict() == {
        "run_id": "new",
        "direction": "forward",
        "halfway": False,
        "resumed": False,
        "touched": False,
        "run": {},
        "undoes": {},
        "unfinished": {},
    }
    assert Plan("two", "none", ROLLBACK, DONE, ROLLBACK).as_dict() == {
        "run_id": "two",
        "direction": "none",
        "halfway": True,
        "resumed": True,
        "touched": True,
        "run": ROLLBACK,
        "undoes": DONE,
        "unfinished": ROLLBACK,
    }
    assert Plan("one", run=FRESH).as_dict()["touched"] is False
