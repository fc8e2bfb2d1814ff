# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept and what goes: a table of cases, and what must hold for any journal."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _retention as retention
from ansible_collections.mdlabs.ecommus.plugins.module_utils._retention import Database, Found, History, Policy, Release, Stored
from hypothesis import event, given, settings
from hypothesis import strategies as st

NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.timezone.utc)
WINDOW = datetime.timedelta(days=7)
LIVE = frozenset(["shop", "postgres"])


def commit(number: int) -> str:
    return f"{number:040x}"[::-1]


def end(number: int) -> dict[str, str]:
    return {"version": f"v1.{number}.0", "commit": commit(number)}


def directory(number: int) -> str:
    return f"/b/releases/v1.{number}.0-{commit(number)[:8]}"


def stamp(days_ago: float) -> str:
    return (NOW - datetime.timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def run(run_id: str, outcome: str, days_ago: float, source: int, target: int, **facts: Any) -> dict[str, Any]:
    operation = "rollback" if "undoes" in facts else "upgrade"
    databases = {} if "undoes" in facts else {"standby_database": f"shop_before_{run_id}", "kept_database": f"shop_failed_{run_id}"}
    finished = None if outcome == "open" else stamp(days_ago)
    base = {"id": run_id, "operation": operation, "outcome": outcome, "started": stamp(days_ago), "finished": finished, "phases": []}
    return {**base, "from": end(source), "to": end(target), "facts": {**databases, **facts}}


def everything(runs: list[dict[str, Any]], live: int, **changes: Any) -> Found:
    """All that these runs could have left."""
    ids = [each["id"] for each in runs]
    numbers = range(10)
    found = {
        "live_databases": LIVE,
        "releases": [Release(directory(n), commit(n), live=n == live) for n in numbers],
        "snapshots": {f"/s/{each['id']}.dump": Stored(1) for each in runs if each["operation"] == "upgrade"},
        "environments": {f"/b/env.before-{each}": Stored(1) for each in ids},
        "evidence": {each: Stored(1) for each in ids},
        "databases": {name: Database() for each in ids for name in (f"shop_before_{each}", f"shop_failed_{each}")}
        | {"shop": Database(), "other": Database(), "shop_failed_20260101": Database()},
    }
    return Found(**{**found, **changes})  # type: ignore[arg-type]


def kept(runs: list[dict[str, Any]], found: Found, *, keep_runs: int = 10) -> dict[tuple[str, str], str]:
    """Why each thing is kept; what goes is not in it."""
    history = History(runs, Policy(WINDOW, keep_runs), NOW)
    return {(each.kind, each.name): each.why for each in retention.plan(history, found, "/s", "/b") if each.keep}


def judged(runs: list[dict[str, Any]], found: Found) -> set[str]:
    return {each.name for each in retention.plan(History(runs, Policy(WINDOW, 10), NOW), found, "/s", "/b")}


A, B = run("A", "succeeded", 30, 1, 2), run("B", "succeeded", 2, 2, 3)
OLD_B = run("B", "succeeded", 8, 2, 3)
BACK = run("R", "succeeded", 1, 3, 2, undoes="B")


@pytest.mark.parametrize(
    ("runs", "kind", "name", "stays"),
    [
        # the last upgrade, within its window and after it
        ([A, B], "database", "shop_before_B", True),
        ([A, OLD_B], "database", "shop_before_B", False),
        ([A, OLD_B], "snapshot", "/s/B.dump", True),
        ([A, OLD_B], "environment backup", "/b/env.before-B", True),
        ([A, OLD_B], "release", directory(2), True),
        ([A, OLD_B], "release", directory(3), True),
        # the one before it
        ([A, B], "database", "shop_before_A", False),
        ([run("A", "succeeded", 3, 1, 2), B], "database", "shop_before_A", False),
        ([run("A", "succeeded", 3, 1, 2), B], "database", "shop_before_A__partial", False),
        ([run("A", "succeeded", 3, 1, 2), B], "database", "shop_failed_A", True),
        ([run("A", "succeeded", 3, 1, 2), B], "snapshot", "/s/A.dump", True),
        ([A, B], "snapshot", "/s/A.dump", False),
        ([A, B], "environment backup", "/b/env.before-A", False),
        ([A, B], "release", directory(1), False),
        # undone: the window of what the rollback kept begins with the rollback
        ([A, OLD_B, BACK], "database", "shop_failed_B", True),
        ([A, OLD_B, run("R", "succeeded", 7.5, 3, 2, undoes="B")], "database", "shop_failed_B", False),
        ([A, OLD_B, run("R", "succeeded", 7.5, 3, 2, undoes="B")], "environment backup", "/b/env.before-B", False),
        ([A, OLD_B, run("R", "succeeded", 7.5, 3, 2, undoes="B")], "snapshot", "/s/B.dump", True),
        # not settled, however old, and what it undoes
        ([A, run("B", "open", 90, 2, 3)], "database", "shop_before_B", True),
        ([A, run("B", "rollback_failed", 90, 2, 3)], "database", "shop_failed_B", True),
        ([A, run("B", "interrupted", 90, 2, 3)], "release", directory(3), True),
        ([A, OLD_B, run("R", "open", 7.5, 3, 2, undoes="B")], "database", "shop_before_B", True),
        ([A, OLD_B, run("R", "rollback_failed", 90, 3, 2, undoes="B")], "database", "shop_before_B", True),
        # settled since
        ([A, run("B", "rollback_failed", 90, 2, 3, acknowledged={"at": ""})], "database", "shop_failed_B", False),
        ([A, run("B", "rollback_failed", 90, 2, 3), run("C", "succeeded", 1, 2, 3)], "database", "shop_failed_B", False),
        # a failed one after the last upgrade: its snapshot is the newest, and the rollback of A needs that of A
        ([A, run("B", "rolled_back", 20, 2, 3)], "snapshot", "/s/A.dump", True),
        ([A, run("B", "rolled_back", 20, 2, 3)], "snapshot", "/s/B.dump", True),
        ([A, run("B", "rolled_back", 20, 2, 3)], "release", directory(3), False),
        ([A, run("B", "rolled_back", 2, 2, 3)], "database", "shop_before_B", True),
        ([A, run("B", "rolled_back", 20, 2, 3)], "database", "shop_before_B", False),
        # what cannot be dated is not old
        ([A, {**run("B", "failed", 20, 2, 3), "finished": "?"}], "database", "shop_failed_B", True),
        ([], "evidence", "stranger", True),
    ],
)
def test_cases(runs: list[dict[str, Any]], kind: str, name: str, stays: bool) -> None:
    found = everything(runs, live=2 if runs and runs[-1] is not B and runs[-1] is not OLD_B else 3)
    if name.endswith("__partial"):
        found.databases[name] = Database()  # type: ignore[index]
    found.evidence["stranger"] = Stored(1)  # type: ignore[index]
    assert any(name == each for each in judged(runs, found)), "the case asks for a thing that is not judged"
    assert ((kind, name) in kept(runs, found)) is stays


def test_a_database_that_no_run_names_is_not_even_judged() -> None:
    assert judged([A, B], everything([A, B], 3)).isdisjoint({"shop", "other", "shop_failed_20260101"})


def test_a_database_with_sessions_and_a_release_with_processes_stay() -> None:
    found = everything(
        [A, OLD_B], 3, databases={"shop_before_A": Database(sessions=2)}, releases=[Release(directory(1), commit(1), users=(7, 8))]
    )
    why = kept([A, OLD_B], found)
    assert why["database", "shop_before_A"] == "2 sessions are in it"
    assert why["release", directory(1)] == "used by the processes 7, 8"


@pytest.mark.parametrize(
    ("release", "stays"),
    [
        (Release("/b/releases/mine", "f" * 40, prepared=False), True),
        (Release("/b/releases/v1.9.0-00000000", "f" * 40, made=NOW - 2 * WINDOW), False),
        (Release("/b/releases/v1.9.0-00000000", "f" * 40, made=NOW - WINDOW / 2), True),
        (Release("/b/releases/v1.0.0-00000000", "f" * 40, edited=True), True),
        (Release(directory(1), "", prepared=False), False),
        (Release(directory(2), "", prepared=False), True),
        (Release(directory(2) + retention.REMOVED, commit(2)), False),
        (Release(directory(2) + retention.REMOVED, commit(2), users=(7,)), True),
    ],
)
def test_releases(release: Release, stays: bool) -> None:
    assert (("release", release.directory) in kept([A, OLD_B], everything([A, OLD_B], 3, releases=[release]))) is stays


def test_everything_is_judged_with_its_reason() -> None:
    """The last upgrade is B, eight days ago; its window of seven days has ended."""
    runs = [A, OLD_B, run("C", "failed", 3, 3, 4), run("D", "open", 1, 3, 5)]
    until = f"until {stamp(3 - 7)}, for the run C"
    open_run = "the run D is not settled (open)"
    releases = [
        Release(directory(3), commit(3), 10, live=True),
        Release(directory(2), commit(2), 20),
        Release(directory(1), commit(1), 30),
        Release(directory(4), commit(4), 40),
        Release(directory(5), "", 50, users=(7, 8)),
        Release("/b/releases/disk.removed", "", 55, mounts=("/b/releases/disk.removed/uploads",)),
        Release("/b/releases/mine", "f" * 40, 60, prepared=False),
        Release("/b/releases/new", "e" * 40, 70, made=NOW - WINDOW / 7),
        Release("/b/releases/adopted", "d" * 40, 80, edited=True),
        Release("/b/releases/x.removed", "a" * 40, 90),
    ]
    found = Found(
        LIVE,
        releases,
        {f"/s/{name}.dump": Stored(1) for name in "ABCDX"},
        {f"/b/env.before-{name}": Stored(2) for name in "ABC"},
        {name: Stored(3) for name in "ABCX"},
        {**{f"shop_before_{name}": Database(4) for name in "ABC"}, "shop_failed_C": Database(5, sessions=2), "other": Database(6)},
    )
    went, last = "its window has ended", "a rollback goes back to it"
    verdicts = retention.plan(History(runs, Policy(WINDOW, 1), NOW), found, "/s", "/b")
    assert [(each.kind, each.name, each.bytes, each.keep, each.why) for each in verdicts] == [
        ("release", directory(3), 10, True, "it is live"),
        ("release", directory(2), 20, True, "the release before the last upgrade"),
        ("release", directory(1), 30, False, "neither live nor the release before"),
        ("release", directory(4), 40, True, until),
        ("release", directory(5), 50, True, "used by the processes 7, 8"),
        ("release", "/b/releases/disk.removed", 55, True, "/b/releases/disk.removed/uploads is mounted in it"),
        ("release", "/b/releases/mine", 60, True, "not made by this collection"),
        ("release", "/b/releases/new", 70, True, f"until {stamp(1 - 7)}"),
        ("release", "/b/releases/adopted", 80, True, "an adopted checkout with changes of your own"),
        ("release", "/b/releases/x.removed", 90, False, "left by a removal that was stopped"),
        ("snapshot", "/s/A.dump", 1, False, went),
        ("snapshot", "/s/B.dump", 1, True, last),
        ("snapshot", "/s/C.dump", 1, True, until),
        ("snapshot", "/s/D.dump", 1, True, open_run),
        ("snapshot", "/s/X.dump", 1, True, "no run names it"),
        ("environment backup", "/b/env.before-A", 2, False, went),
        ("environment backup", "/b/env.before-B", 2, True, last),
        ("environment backup", "/b/env.before-C", 2, True, until),
        ("database", "shop_before_A", 4, False, "no rollback leads back to it, or its window has ended"),
        ("database", "shop_before_B", 4, False, "no rollback leads back to it, or its window has ended"),
        ("database", "shop_before_C", 4, True, until),
        ("database", "shop_failed_C", 5, True, "2 sessions are in it"),
        ("evidence", "A", 3, False, "older than the newest 1"),
        ("evidence", "B", 3, True, "the last upgrade"),
        ("evidence", "C", 3, True, "one of the newest 1"),
        ("evidence", "X", 3, True, "no run names it"),
    ]
    assert verdicts[0].as_dict() == {"kind": "release", "name": directory(3), "bytes": 10, "why": "it is live"}


def test_a_window_ends_with_its_last_second() -> None:
    history = History([A, run("B", "succeeded", 7, 2, 3)], Policy(WINDOW, 10), NOW)
    assert history.within_window(history.runs[1]) == ""
    assert retention.rollback_available_until(history) is None
    release = Release("/b/releases/new", "e" * 40, made=NOW - WINDOW)
    assert [each.keep for each in retention.plan(history, Found(LIVE, [release]), "/s", "/b")] == [False]


def test_the_last_good_snapshot_and_a_live_database_stay_for_their_own_sake() -> None:
    failed = [run("A", "failed", 30, 1, 2), run("B", "failed", 20, 1, 2)]
    found = Found(LIVE | {"shop_before_B"}, snapshots={"/s/B.dump": Stored()}, databases={"shop_before_B": Database()})
    assert kept(failed, found) == {("snapshot", "/s/B.dump"): "the last good snapshot", ("database", "shop_before_B"): "it is live"}


def test_what_a_run_names_and_where_it_would_lie() -> None:
    assert retention.snapshot_of({"id": "A", "facts": {}}, "/s") == "/s/A.dump"
    assert retention.snapshot_of({"id": "A", "facts": {"snapshot": None}}, "/s") == "/s/A.dump"
    assert retention.snapshot_of({"id": "A", "facts": {"snapshot": {"path": "/elsewhere.dump"}}}, "/s") == "/elsewhere.dump"
    assert retention.environment_of({"id": "A", "facts": {}}, "/b") == "/b/env.before-A"
    assert retention.databases_of({"facts": {"standby_database": "s", "kept_database": "k"}}) == {
        "s": "standby_database",
        "s__partial": "standby_database",
        "k": "kept_database",
    }
    assert retention.databases_of({"facts": {}}) == {}


def test_a_damaged_snapshot_is_not_the_last_good_one() -> None:
    runs = [run("A", "failed", 30, 1, 2), run("B", "failed", 20, 1, 2)]
    found = everything(runs, 1, snapshots={"/s/A.dump": Stored(), "/s/B.dump": Stored(whole=False)})
    assert [name for kind, name in kept(runs, found) if kind == "snapshot"] == ["/s/A.dump"]


@pytest.mark.parametrize(
    ("runs", "stays"),
    [
        ([OLD_B], False),
        ([B], True),
        ([OLD_B, BACK], True),  # the window of what the rollback kept begins with it
        ([OLD_B, run("R", "succeeded", 7.5, 3, 2, undoes="B")], False),
        ([OLD_B, run("R", "rollback_failed", 90, 3, 2, undoes="B")], True),
        ([OLD_B, run("R", "open", 90, 3, 2, undoes="B")], True),
    ],
)
def test_dumps_of_what_failed_stay_as_long_as_a_kept_database_would(runs: list[dict[str, Any]], stays: bool) -> None:
    runs = [{**runs[0], "facts": {**runs[0]["facts"], "failed_dump": "/s/B.failed.dump"}}, *runs[1:]]
    dumps = {"/s/B.failed.dump": Stored(1), "/s/B.failed.20261120.dump": Stored(1), "/s/BB.failed.dump": Stored(1)}
    there = kept(runs, everything(runs, 3, failed_dumps=dumps))
    assert [("snapshot", path) in there for path in dumps] == [stays, stays, True]
    assert there["snapshot", "/s/BB.failed.dump"] == "no run names it"
    assert ("snapshot", "/s/B.dump") in there, "it is no snapshot to go back to, and takes no place of one"


def test_evidence_of_the_newest_runs_and_of_the_last_upgrade_stays() -> None:
    runs = [A, *(run(f"F{n}", "failed", 20 - n, 2, 3) for n in range(4))]
    found = everything(runs, 2)
    assert {name for kind, name in kept(runs, found, keep_runs=2) if kind == "evidence"} == {"A", "F2", "F3"}
    assert {name for kind, name in kept(runs, found, keep_runs=0) if kind == "evidence"} == {"A"}


@pytest.mark.parametrize(
    ("runs", "until"),
    [([], None), ([A, B], stamp(2 - 7)), ([A, OLD_B], None), ([A, B, BACK], None), ([B, run("C", "rolled_back", 1, 3, 4)], stamp(2 - 7))],
)
def test_until_when_a_rollback_is_available(runs: list[dict[str, Any]], until: str | None) -> None:
    assert retention.rollback_available_until(History(runs, Policy(WINDOW, 10), NOW)) == until


OUTCOMES = ["open", "succeeded", "failed", "rolled_back", "rollback_failed", "interrupted"]


@st.composite
def journals(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any runs in any order; names may even be shared, and be the live database's."""
    runs: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 7))):
        facts: dict[str, Any] = {}
        if runs and draw(st.booleans()):
            facts["undoes"] = draw(st.sampled_from([each["id"] for each in runs]))
        for fact in ("standby_database", "kept_database"):
            name = draw(st.sampled_from(["", None, "shop", "postgres", "shop_before_run0", f"shop_{fact}_run{number}"]))
            facts |= {fact: name} if name is not None else {}
        if draw(st.booleans()):
            facts["acknowledged"] = {"at": stamp(1)}
        source, target = draw(st.integers(0, 9)), draw(st.integers(0, 9))
        runs.append(run(f"run{number}", draw(st.sampled_from(OUTCOMES)), draw(st.floats(-5, 40)), source, target, **facts))
    return runs


@settings(max_examples=400)
@given(runs=journals(), live=st.integers(0, 9), used=st.sets(st.integers(0, 9)), keep_runs=st.integers(0, 12), data=st.data())
def test_what_must_never_go(runs: list[dict[str, Any]], live: int, used: set[int], keep_runs: int, data: st.DataObject) -> None:
    found = everything(runs, live)
    named = {name for each in runs for name in retention.databases_of(each)}
    found = everything(
        runs,
        live,
        releases=[Release(directory(n), commit(n), live=n == live, users=(1,) if n in used else ()) for n in range(10)],
        databases={**found.databases, **{name: Database(sessions=data.draw(st.integers(0, 1))) for name in sorted(named)}},
        snapshots={path: Stored(1, data.draw(st.booleans())) for path in found.snapshots},
    )
    verdicts = retention.plan(History(runs, Policy(WINDOW, keep_runs), NOW), found, "/s", "/b")
    gone = {(each.kind, each.name) for each in verdicts if not each.keep}
    event(f"goes: {min(len(gone), 5)}")

    assert ("release", directory(live)) not in gone
    assert all(("release", directory(n)) not in gone for n in used)
    upgrades = [each for each in runs if each["operation"] == "upgrade" and each["outcome"] == "succeeded"]
    if upgrades:
        assert all(d != upgrades[-1]["from"]["commit"] for d in (r.commit for r in found.releases if ("release", r.directory) in gone))
    whole = [path for path, stored in found.snapshots.items() if stored.whole]
    assert not whole or ("snapshot", whole[-1]) not in gone
    dropped = {name for kind, name in gone if kind == "database"}
    assert dropped.isdisjoint(LIVE)
    assert dropped <= named
    assert all(not found.databases[name].sessions for name in dropped)

    succeeded = [place for place, each in enumerate(runs) if each["outcome"] == "succeeded"]
    for place, each in enumerate(runs):
        settled_since = any(later > place for later in succeeded) or each["facts"].get("acknowledged")
        if each["outcome"] == "open" or (each["outcome"] == "rollback_failed" and not settled_since):
            untouchable = [each, *(other for other in runs if other["id"] == each["facts"].get("undoes"))]
            for one in untouchable:
                theirs = {
                    ("snapshot", f"/s/{one['id']}.dump"),
                    ("evidence", one["id"]),
                    ("environment backup", f"/b/env.before-{one['id']}"),
                }
                theirs |= {("database", name) for name in retention.databases_of(one)}
                theirs |= {("release", r.directory) for r in found.releases if r.commit in (one["from"]["commit"], one["to"]["commit"])}
                assert not theirs & gone


@settings(max_examples=200)
@given(runs=journals(), live=st.integers(0, 9))
def test_a_second_judgement_removes_nothing_more(runs: list[dict[str, Any]], live: int) -> None:
    found = everything(runs, live)
    history = History(runs, Policy(WINDOW, 3), NOW)
    stays = {(each.kind, each.name) for each in retention.plan(history, found, "/s", "/b") if each.keep}
    rest = Found(
        LIVE,
        [each for each in found.releases if ("release", each.directory) in stays],
        {path: each for path, each in found.snapshots.items() if ("snapshot", path) in stays},
        {path: each for path, each in found.environments.items() if ("environment backup", path) in stays},
        {name: each for name, each in found.evidence.items() if ("evidence", name) in stays},
        {name: each for name, each in found.databases.items() if ("database", name) in stays},
    )
    assert all(each.keep for each in retention.plan(history, rest, "/s", "/b"))
