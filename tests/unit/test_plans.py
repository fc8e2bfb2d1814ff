# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator reads before anything is touched. Of a rollback: the rows at stake, and what no rollback takes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
RUN = {
    "id": "20261125T143310Z-upgrade",
    "from": {"version": "v1.3.2"},
    "to": {"version": "v1.4.0"},
    "phases": [],
    "facts": {
        "schema_touched": True,
        "snapshot": {"path": "/backup/x.dump", "created": "2026-11-25T14:34:00Z"},
        "standby_database": "shop_before",
        "kept_database": "shop_failed",
    },
}
NOTHING = {"inserted": 0, "changed": 0, "deleted": None, "by_migration": 0, "not_transferable": 0, "reasons": [], "columns_left_behind": []}
COUNTED = {
    "tables": {
        "public.orders": {**NOTHING, "inserted": 3, "columns_left_behind": ["channel"]},
        "public.customers": {**NOTHING, "inserted": 1, "changed": 2, "deleted": 4},
        "public.order_returns": {**NOTHING, "not_transferable": 5, "reasons": ["the snapshot has no such table"]},
        "public.flags": {**NOTHING, "by_migration": 6},
    }
}
SHOP = {
    "ecommus_layout": "releases",
    "ecommus_salvage": "replay",
    "ecommus_salvage_updates": True,
    "ecommus_snapshot_dir": "/backup",
    "ecommus_rollback_window_days": 7,
    "rollback_data": True,
    "rollback_of": RUN,
    "rollback_copy": {"changed": False},
    "rollback_at_stake": COUNTED,
}


def rendered(place: Path, role: str, variables: dict[str, Any], *arguments: str) -> list[str]:
    """The lines of the plan of *role*."""
    plan = f"{{{{ lookup('ansible.builtin.template', '{REPO}/roles/{role}/templates/plan.txt.j2') }}}}"
    tasks = [
        {"ansible.builtin.include_vars": str(REPO / f"roles/{role}/vars/main.yml")},
        {"ansible.builtin.copy": {"content": plan, "dest": str(place / "plan.txt")}, "check_mode": False},
    ]
    shop = {"ansible_python_interpreter": sys.executable, **variables}
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": shop, "tasks": tasks}
    (place / "play.yml").write_text(json.dumps([play]))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(place / "play.yml"), "-i", "localhost,", *arguments]
    # The filters of the collection are found by their full names.
    env = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(REPO / "playbooks/collections")}
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (place / "plan.txt").read_text().splitlines()


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    """The plan of a rollback, with *variables* in the place of those of SHOP."""
    return lambda *arguments, **variables: rendered(tmp_path, "rollback", {**SHOP, **variables}, *arguments)


def at_stake(lines: list[str]) -> list[str]:
    return [line.removeprefix("at stake: ") for line in lines if line.startswith("at stake: ")]


def test_the_rows_at_stake_and_what_becomes_of_them(plan: Any) -> None:
    first, data, *_tables, salvage, kept, outside = lines = plan()
    assert first == "localhost: v1.4.0 -> v1.3.2, releases layout; undoes 20261125T143310Z-upgrade"
    assert data == "data: goes back to the snapshot of 2026-11-25T14:34:00Z, /backup/x.dump"
    assert at_stake(lines) == [
        "public.orders: 3 new; without channel",
        "public.customers: 1 new, 2 changed, 4 deleted",
        "public.order_returns: 5 that do not fit (the snapshot has no such table)",
    ]
    assert "carried over" in salvage and salvage.endswith("/backup/20261125T143310Z-upgrade.review.jsonl")
    assert "shop_failed, until 20" in kept and kept.endswith("(7 days)")
    assert all(word in outside for word in ("payments", "mails", "webhooks", "uploaded files"))


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        ([], {"rollback_at_stake": {"tables": {"public.flags": COUNTED["tables"]["public.flags"]}}}, "nothing, no row"),
        (["--check"], {"rollback_copy": {"changed": True}, "rollback_at_stake": {"skipped": True}}, "the copy of the snapshot is gone"),
        ([], {"rollback_at_stake": {"msg": "no room"}}, "not known, the rows could not be counted: no room"),
    ],
)
def test_what_is_not_there_or_not_known_is_said(plan: Any, arguments: list[str], variables: dict[str, Any], says: str) -> None:
    (line,) = at_stake(plan(*arguments, **variables))
    assert says in line


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"rollback_data": "false"}, "with the migrated schema, on which v1.3.2 must be able to work"),
        ({"rollback_of": {**RUN, "facts": {"schema_touched": False}}}, "the upgrade did not change it"),
    ],
)
def test_where_the_data_stays_nothing_is_at_stake(plan: Any, variables: dict[str, Any], says: str) -> None:
    _first, data, outside = plan(**variables)
    assert says in data and outside.startswith("outside the database")


@pytest.mark.parametrize(("updates", "says"), [(True, "new rows and changed ones are"), (False, "new rows are"), ("false", "new rows are")])
def test_whether_changed_rows_are_carried_over(plan: Any, updates: bool | str, says: str) -> None:
    assert any(line.startswith(f"ecommus_salvage is replay: {says} carried over") for line in plan(ecommus_salvage_updates=updates))


@pytest.mark.parametrize(("salvage", "says"), [("report", "no row is carried over; all go into"), ("off", "no row is carried over")])
def test_what_is_not_carried_over(plan: Any, salvage: str, says: str) -> None:
    assert any(line.startswith(f"ecommus_salvage is {salvage}: {says}") for line in plan(ecommus_salvage=salvage))


CHECKS = [
    {"ok": True, "facts": {"dump_bytes": 100 * 2**20}},
    {"ok": True, "facts": {"pending_migrations": ["0006"]}},
    {"ok": True, "facts": {"database_bytes": 200 * 2**20}},
    {"ok": True},
    {"ok": True, "facts": {"release_bytes": 300 * 2**20}},
]


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        (CHECKS, "keeps about 600 MiB: 100 at most for the dump, 200 for the copy of the database, 300 for the release before"),
        (CHECKS[1:4], "keeps about 200 MiB: 200 for the copy of the database"),
    ],
)
def test_until_when_an_upgrade_can_be_taken_back_and_what_that_costs(tmp_path: Path, checks: list[dict[str, Any]], says: str) -> None:
    variables = {
        "upgrade_version": "v1.4.0",
        "upgrade_resolved": {"step": {"source": "v1.3.2", "bump": "minor"}, "installed": {"directory": "/opt/ecommus"}},
        "upgrade_preflight": {"checks": checks, "pending_migrations": [], "found": {"plugin_count": 4, "standby": True, "processes": []}},
        "upgrade_fetched": {"notes": ""},
        "upgrade_services": [],
        "ecommus_layout": "releases",
        "ecommus_rollback_window_days": 9,
    }
    (line,) = [line for line in rendered(tmp_path, "upgrade", variables) if line.startswith("rollback: ")]
    assert "until 9 days after the upgrade" in line and line.endswith(says)
