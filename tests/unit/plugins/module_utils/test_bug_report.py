"""The report that goes to the vendor: what it holds, and when there is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.filter.defect import defect
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _bug_report
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migration_run import Outcome, described_outcome
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migrations import CORE, PLUGINS, Applied, Migration, State

INIT, RETURNS, REPLIES = (
    Migration(CORE, "", "0001_init"),
    Migration(CORE, "", "0005_returns"),
    Migration(PLUGINS, "@x/reviews", "0002_replies"),
)
WAIT = {
    "waiting_pid": 7, "waiting_application": "ecommus-migrations", "waiting_query": "ALTER TABLE orders", "waited_ms": 2034,
    "blocking_pid": 9, "blocking_application": "backoffice", "blocking_state": "idle in transaction", "blocking_query": "SELECT '...'",
    "blocking_role": "shop", "blocking_client": "127.0.0.1", "transaction_age_s": 61,
}  # fmt: skip


def failed_migration() -> dict:
    """What the module returns when a core migration failed."""
    before = State((Applied(INIT, "2026-03-12T09:00:00+00:00"),), (RETURNS, REPLIES), ())
    outcome = Outcome(before, before, failed=[(RETURNS, '0005_returns: ```relation "orders" | exists```')], attempts={"core": 3})
    outcome.blocked, outcome.log = [WAIT], "[migrate] 0005_returns\nERROR"
    error = EcommusError("core migration 0005_returns failed", "restore the snapshot", **described_outcome(outcome))
    return {**error.details, "msg": str(error), "remedy": error.remedy, "failed": True, "invocation": {"module_args": {"root": "/srv"}}}


def run_with(found: dict) -> dict:
    return {
        "id": "20261122T203000Z-upgrade",
        "from": {"version": "v1.3.2", "commit": "a" * 40},
        "to": {"version": "v1.4.0", "commit": "b" * 40},
        "phases": [
            {"name": "snapshot", "started": "2026-11-22T20:30:00Z", "finished": "2026-11-22T20:30:05Z", "status": "done"},
            {"name": "migrate", "started": "2026-11-22T20:30:05Z", "finished": "2026-11-22T20:30:09Z", "status": "failed"},
            {"name": "way_back", "started": "2026-11-22T20:30:09Z", "finished": "2026-11-22T20:30:12Z", "status": "done"},
        ],
        "facts": {
            "defect": found,
            "pm2_version": "7.0.4",
            "processes": [{"name": "api", "node_version": "22.20.0"}, {"name": "workers", "node_version": None}],
            "snapshot": {"path": "/backup/x.dump", "server_version": "17.2"},
        },
    }


def test_a_failed_migration_is_told_whole() -> None:
    text = _bug_report.render(run_with(defect(failed_migration())))
    # Neither the remedy, which is for the operator, nor the module's arguments.
    assert text == f"""\
# Migration 0005_returns of v1.4.0 failed

Core migration 0005_returns failed.

| what | value |
| --- | --- |
| From | v1.3.2 (commit {"a" * 40}) |
| To | v1.4.0 (commit {"b" * 40}) |
| Phase | migrate, 2026-11-22T20:30:05Z to 2026-11-22T20:30:09Z |
| Node.js | 22.20.0 |
| pm2 | 7.0.4 |
| PostgreSQL server | 17.2 |
| Run | 20261122T203000Z-upgrade |

## What the runner said about 0005_returns

````text
0005_returns: ```relation "orders" | exists```
````

## Ledgers

How often the programs ran: core 3.

| migration | state |
| --- | --- |
| core: 0001_init | applied before |
| core: 0005_returns | **expected, and missing** |
| plugins: @x/reviews/0002_replies | **expected, and missing** |

## Blockers seen in the database

- backoffice (pid 9, idle in transaction, transaction open for 61 s) holds what "ALTER TABLE orders" waits for, for 2.0 s

## End of the log

```text
[migrate] 0005_returns
ERROR
```
"""


def test_a_report_has_only_the_parts_that_there_is_something_to_say_in() -> None:
    found = {
        **defect(failed_migration()),
        **{"failed_migrations": [], "blocked": [], "log": "\n\n", "before": {"core": []}, "pending": []},
        "applied": [{"ledger": "plugins", "plugin": "@x/reviews", "name": "0002_replies"}],
        "unknown": [{"ledger": "core", "plugin": "", "name": "0009|a\nb"}],
        "attempts": {"core": 1, "plugins": 2},
        "msg": "",
    }
    run = {"id": "one", "to": {"version": "v1.4.0"}, "facts": {"defect": found}}
    assert _bug_report.render(run) == """\
# The migrations of v1.4.0 failed

.

| what | value |
| --- | --- |
| From | no tag |
| To | v1.4.0 |
| Run | one |

## Ledgers

How often the programs ran: core 1, plugins 2.

| migration | state |
| --- | --- |
| plugins: @x/reviews/0002_replies | applied in this run |
| core: 0009\\|a b | **not of this release** |
"""


def test_the_first_phase_that_failed_and_every_node_are_named() -> None:
    run = run_with({"kind": "build", "workspaces": ["@x/api"], "msg": "it broke", "log": []})
    run["phases"] += [{**run["phases"][1], "name": "later"}]
    run["facts"]["processes"] = [{"node_version": "24.1.0"}, {}, {"node_version": "22.20.0"}, {"node_version": "24.1.0"}]
    text = _bug_report.render(run)
    assert "| Phase | migrate, 2026-11-22T20:30:05Z to 2026-11-22T20:30:09Z |\n" in text
    assert "| Node.js | 22.20.0, 24.1.0 |\n" in text


def test_only_what_a_report_needs_is_taken_from_a_result() -> None:
    assert defect({"workspaces": ["@x/api"], "log": "boom", "msg": "it broke", "failed": True}) == {
        "kind": "build",
        "msg": "it broke",
        "workspaces": ["@x/api"],
        "log": "boom",
    }
    assert defect({"service": "api", "reason": "crashed", "log": ["boom"], "name": "x"}) == {
        "kind": "candidate",
        "msg": "",
        "service": "api",
        "reason": "crashed",
        "log": ["boom"],
    }
    keys = ("failed_migrations", "before", "applied", "pending", "unknown", "attempts", "blocked", "log", "msg")
    whole = failed_migration()
    assert defect(whole) == {"kind": "migration", **{key: whole[key] for key in keys}}


@pytest.mark.parametrize(
    ("result", "title"),
    [
        ({"service": "api", "reason": "crashed", "log": ["boom"]}, "# The boot of api of v1.4.0 failed"),
        ({"workspaces": ["@x/admin", "@x/api"], "log": "boom"}, "# The build of @x/admin, @x/api of v1.4.0 failed"),
        ({"process": "shop-api", "reason": "ended", "log": ["boom"], "done": []}, "# The start of shop-api of v1.4.0 failed"),
    ],
)
def test_what_else_the_release_is_to_blame_for(result: dict, title: str) -> None:
    text = _bug_report.render(run_with(defect({**result, "msg": "it crashed. Remedy: none"})))
    assert text.startswith(f"{title}\n\nIt crashed.\n")
    assert text.endswith("```text\nboom\n```\n")
    assert "Ledgers" not in text


@pytest.mark.parametrize(
    "result",
    [
        {"msg": "the disk is full", "log": "ENOSPC"},
        {"msg": "npm ci failed", "code": "E403", "cause": "unlicensed", "packages": ["@x/y"], "log": "npm error"},
        {"msg": "the ecosystem file defines no process api", "process": "api"},
        {**failed_migration(), "attempts": {}},  # drift, found before anything ran
        "a task that never ran",
    ],
)
def test_what_is_not_the_release_s_fault(result: object, tmp_path: Path) -> None:
    assert defect(result) == {}
    assert _bug_report.write({"id": "x", "facts": {}}, str(tmp_path / "new")) == ""
    assert _bug_report.write({}, str(tmp_path / "new")) == ""
    assert not (tmp_path / "new").exists()


def test_the_file_is_private(tmp_path: Path) -> None:
    path = Path(_bug_report.write(run_with(defect(failed_migration())), str(tmp_path / "run" / "host")))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert _bug_report.write(run_with(defect(failed_migration())), str(path.parent)) == str(path)
    assert path == tmp_path / "run" / "host" / "bug-report.md"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == _bug_report.render(run_with(defect(failed_migration())))


def test_a_task_that_was_retried_is_no_migration() -> None:
    assert defect({"failed": True, "msg": "the hook failed", "attempts": 3}) == {}
