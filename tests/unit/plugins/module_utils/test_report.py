# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator has to prove afterwards is in the report, and nothing is said that is not known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _report
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import told_apart

FIGURES = {"requests": 40, "failed": 1, "median_ms": 5.0, "slowest_ms": 30.0, "longest_gap_ms": 0.0}
PROBER = {"totals": {"requests": 80, "failed": 1}, "targets": {"api": {**FIGURES, "identities": ["r1"]}}, "log": "x"}


def phase(name: str, started: str, finished: str | None) -> dict[str, Any]:
    return {"name": name, "started": f"2026-11-25T{started}Z", "finished": finished and f"2026-11-25T{finished}Z"}


def run(**changes: Any) -> dict[str, Any]:
    return {
        "id": "20261125T100000Z-upgrade",
        "outcome": "succeeded",
        "from": {"version": "v1.3.2"},
        "to": {"version": "v1.4.0"},
        "started": "2026-11-25T10:00:00Z",
        "finished": "2026-11-25T10:02:30Z",
        "phases": [
            phase("stage", "10:00:00", "10:01:00"),
            phase("quiesce", "10:01:00", "10:01:05"),
            phase("resume", "10:02:00", "10:02:10"),
        ],
        "facts": {
            "snapshot": {"path": "/b/x.dump", "file": "/b/x.dump.age"},
            "notes": {"manual_steps": ["re-import the preset"], "deprecations": ["old route"]},
            "maintenance": {"open": False},
        },
        **changes,
    }


def build(journal: dict[str, Any], failure: str = "", **more: Any) -> dict[str, Any]:
    given = {"host": "mystore", "operation": "upgrade", "prober": PROBER, "version": "v1.3.2", **more}
    return _report.build(run=journal, failure=failure, **given)


def test_a_report_holds_what_is_known() -> None:
    kept = {"rollback_available_until": "2026-12-02T10:02:30Z", "bytes_kept": 7, "removed": []}
    assert build(run(), pruned=kept, notes=["take care"]) == {
        "host": "mystore",
        "operation": "upgrade",
        "run_id": "20261125T100000Z-upgrade",
        "outcome": "upgraded",
        "from_version": "v1.3.2",
        "to_version": "v1.4.0",
        "started": "2026-11-25T10:00:00Z",
        "finished": "2026-11-25T10:02:30Z",
        "seconds": 150.0,
        "change_window_seconds": 70.0,
        "requests": 80,
        "requests_failed": 1,
        "services": {"api": {**FIGURES, "releases": ["r1"]}},
        "snapshot": "/b/x.dump.age",
        "at_stake": None,
        "rollback_available_until": "2026-12-02T10:02:30Z",
        "bytes_kept": 7,
        "notices": ["take care"],
        "manual_steps": ["re-import the preset"],
        "deprecations": ["old route"],
        "problem": "",
        "remedy": "",
        "evidence": {"run": run(), "prober": PROBER},
    }


def test_a_waived_check_is_told_with_its_reason_and_its_day() -> None:
    waiver = {"check": "clock_sane", "reason": "known", "until": "2026-12-31"}
    checks = [{"label": "The clock agrees", "found": "40 s apart", "waiver": waiver}, {"label": "Other", "found": "fine"}]
    told = "waived until 2026-12-31 (known): The clock agrees: 40 s apart"
    assert _report.notices(run(facts={"checks": checks})) == [told]


def test_a_report_of_no_run_says_what_runs_and_nothing_else() -> None:
    report = build({}, prober={})
    unknown = ("run_id", "started", "finished", "seconds", "change_window_seconds", "requests", "requests_failed", "snapshot", "bytes_kept")
    assert {name: report[name] for name in (*unknown, "rollback_available_until")} == dict.fromkeys((*unknown, "rollback_available_until"))
    assert (report["from_version"], report["to_version"], report["outcome"]) == ("v1.3.2", "v1.3.2", "unchanged")
    assert (report["problem"], report["remedy"], report["evidence"]) == ("", "", {"run": {}, "prober": {}})
    assert report["services"] == {} and report["notices"] == report["manual_steps"] == report["deprecations"] == []


def test_a_snapshot_that_is_not_encrypted_is_named_by_its_path() -> None:
    assert build(run(facts={"snapshot": {"path": "/b/x.dump"}}))["snapshot"] == "/b/x.dump"


@pytest.mark.parametrize("outcome", ["succeeded", "rolled_back"])
def test_a_dump_that_was_kept_leaves_something_to_do(outcome: str) -> None:
    (step,) = build(run(outcome=outcome, facts={"kept_dump": "/b/x.failed.dump"}))["manual_steps"]
    assert "/b/x.failed.dump" in step and "pg_snapshot, state=restored" in step and "pg_salvage" in step
    assert build(run(facts={"kept_dump": ""}))["manual_steps"] == []


def test_problem_and_remedy_are_told_apart() -> None:
    report = build(run(outcome="rolled_back"), "it broke | here. Remedy: mend it | or not")
    assert (report["problem"], report["remedy"], report["outcome"]) == ("it broke | here", "mend it | or not", "failed")
    assert build(run(), "it broke.")["remedy"].startswith("look for the reason in what the task that failed says")


def test_of_several_checks_every_problem_is_one_and_every_remedy() -> None:
    told = told_apart("2 of 30 checks stop it. A: a. Remedy: mend a | B: b. Remedy: mend b | C: c. Remedy: mend c")
    assert told == ("2 of 30 checks stop it. A: a | B: b | C: c", "mend a | mend b | mend c")


@pytest.mark.parametrize(
    ("operation", "journal", "failure", "outcome"),
    [
        ("upgrade", run(), "", "upgraded"),
        ("rollback", run(), "", "rolled_back"),
        ("rollback", {}, "", "unchanged"),
        ("upgrade", {}, "no", "refused"),
        ("upgrade", run(phases=[]), "no", "refused"),
        ("upgrade", run(), "no", "failed"),
        ("upgrade", run(outcome="open", facts={"held": "no"}), "no", "held"),
        ("upgrade", run(outcome="open"), "no", "failed"),
        ("upgrade", run(outcome="rolled_back", facts={"held": "before"}), "no", "failed"),
        ("upgrade", run(outcome="succeeded", facts={"held": "before"}), "", "upgraded"),
        ("upgrade", run(outcome="rollback_failed"), "no", "rollback_failed"),
        ("upgrade", run(outcome="rollback_failed"), "", "rollback_failed"),
    ],
)
def test_one_word_says_how_it_ended(operation: str, journal: dict[str, Any], failure: str, outcome: str) -> None:
    assert _report.outcome(operation, journal, failure) == outcome


STOPPED = phase("quiesce", "10:01:00", "10:01:05")
# Interrupted, and taken up again: from the first stop to the last start.
TWICE = [
    phase("quiesce", "10:01:00", None),
    phase("resume", "10:01:30", "10:01:40"),
    phase("quiesce", "10:02:00", "10:02:05"),
    phase("resume", "10:03:00", "10:03:20"),
]


@pytest.mark.parametrize(
    ("phases", "seconds"),
    [
        ([], None),
        ([phase("stage", "10:00:00", "10:01:00")], None),
        ([phase("resume", "10:00:00", "10:01:00")], None),
        (TWICE, 140.0),
        ([STOPPED], 240.0),  # they were started on the way back
        ([STOPPED, phase("resume", "10:02:00", None)], None),
    ],
)
def test_the_change_window(phases: list[dict[str, Any]], seconds: float | None) -> None:
    assert _report.change_window(run(phases=phases, finished="2026-11-25T10:05:00Z")) == seconds


def test_workers_that_were_left_alone_are_a_notice() -> None:
    facts = {"workers": {"note": "they rested before"}}
    assert build(run(facts=facts), notes=["first"])["notices"] == ["first", "the workers are left as they were: they rested before"]
    assert _report.notices(run(facts={"workers": {"running": 2}})) == _report.notices({}) == []


def test_rows_that_were_not_carried_over_are_a_notice() -> None:
    none = {"inserted": 9, "updated": 2, "changed": 0, "deleted": 0, "by_migration": 4, "not_transferable": 0}
    facts = {
        "salvaged": {**none, "changed": 3, "deleted": 1, "not_transferable": 2},
        "review_file": "/b/r.jsonl",
        "kept_database": "shop_failed",
    }
    assert _report.notices(run(facts=facts)) == [
        "of the rows since the snapshot, not carried over: 3 changed, 1 deleted (they are back), 2 refused by the older schema;"
        " see /b/r.jsonl; all are in the database shop_failed"
    ]
    (without,) = _report.notices(run(facts={**facts, "salvaged": {"changed": 1}, "review_file": ""}))
    assert without.endswith("not carried over: 1 changed; all are in the database shop_failed")
    assert _report.notices(run(facts={**facts, "salvaged": none})) == _report.notices(run(facts={**facts, "salvaged": {}})) == []


def test_a_restart_in_place_is_a_notice_with_its_gap() -> None:
    restarted = [{"name": "admin", "gap_ms": 1712, "note": "sockets may not be copied"}, {"name": "store", "gap_ms": 900, "note": None}]
    restarted += [{"name": "odd", "gap_ms": None, "note": None}]
    assert _report.notices(run(facts={"workers": {"note": "they rested"}, "restarted": restarted})) == [
        "the workers are left as they were: they rested",
        "admin was restarted in place: its port took no connection for 1712 ms (sockets may not be copied)",
        "store was restarted in place: its port took no connection for 900 ms",
        "odd was restarted in place: how long it took no connection is not known",
    ]


def test_what_is_left_to_do_by_hand() -> None:
    window = "Acknowledge the maintenance window in the super-admin (settings, maintenance window), if you opened it."
    notes = {"notes": {"manual_steps": ["a", 2]}}
    assert _report.manual_steps(run(facts={**notes, "maintenance": {}})) == ["a", "2", window]
    assert _report.manual_steps(run(facts=notes)) == ["a", "2"]
    assert _report.manual_steps(run(facts={**notes, "maintenance": {}}, outcome="rolled_back")) == [window]
    assert _report.manual_steps(run(facts={})) == _report.manual_steps({}) == []


def test_it_is_written_where_only_the_operator_reads(tmp_path: Path) -> None:
    path = _report.write({"host": "mystore"}, str(tmp_path / "runs" / "mystore"))
    assert path == str(tmp_path / "runs" / "mystore" / "report.json")
    assert json.loads(Path(path).read_text()) == {"host": "mystore"}
    assert Path(path).parent.stat().st_mode & 0o777 == 0o700
    assert _report.write({"host": "again"}, str(tmp_path / "runs" / "mystore")) == path


def test_a_report_of_a_rollback_says_what_was_at_stake() -> None:
    counted = {"public.orders": {"inserted": 3}}
    assert build(run(facts={"at_stake": counted}), operation="rollback")["at_stake"] == counted
