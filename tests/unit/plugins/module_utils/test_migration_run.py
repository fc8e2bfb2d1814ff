# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of migrations that ran; tests/integration runs them."""

from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migration_run import Outcome, described_outcome, excerpt, ledger_rows
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migrations import Applied, Migration, State

CORE = Migration("core", "", "0001_init")
STARS = Migration("plugins", "@ecommus-plugin/reviews", "0001_stars")
LAST = Migration("plugins", "@acme/erp", "0009_last")


@pytest.mark.parametrize(
    ("log", "migration", "part"),
    [
        ("running @ecommus-plugin/reviews/0001_stars\nFAILED @ecommus-plugin/reviews/0001_stars\n\n at x\nother/0001_stars ok\nend", STARS,
         "FAILED @ecommus-plugin/reviews/0001_stars\n at x\nother/0001_stars ok\nend"),
        ("0001_stars begins\n0001_stars fails\nend", STARS, "0001_stars fails\nend"),  # a runner that names no plugins
        ("0001_init\n" + "".join(f"{n}\n" for n in range(9)), CORE, "0001_init\n0\n1\n2\n3\n4"),
        ("a\n\nb", CORE, "a\nb"),
        ("".join(f"{n}\n" for n in range(20)), CORE, "\n".join(str(n) for n in range(5, 20))),
        ("", CORE, ""),
    ],
)  # fmt: skip
def test_the_part_of_a_log_that_is_about_a_migration(log: str, migration: Migration, part: str) -> None:
    assert excerpt(log, migration) == part


def test_an_outcome_is_told_as_data() -> None:
    before = State((Applied(CORE, "2026-03-12T09:00:00+00:00"),), (STARS, LAST), ())
    after = State((*before.applied, Applied(STARS)), (LAST,), (Migration("plugins", "@acme/gone", "0001_x"),))
    told = {
        "core": [{"name": "0001_init", "applied_at": "2026-03-12T09:00:00+00:00"}],
        "plugins": [{"plugin": "@ecommus-plugin/reviews", "name": "0001_stars", "applied_at": None}],
    }
    last = {"ledger": "plugins", "plugin": "@acme/erp", "name": "0009_last"}
    outcome = Outcome(before, after, [STARS], [(LAST, "boom")], {"plugins": 2}, [{"waiting_pid": 1}], "log")
    assert described_outcome(outcome) == {
        "before": {**told, "plugins": []},
        "after": told,
        "applied": [{"ledger": "plugins", "plugin": "@ecommus-plugin/reviews", "name": "0001_stars"}],
        "pending": [last],
        "unknown": [{"ledger": "plugins", "plugin": "@acme/gone", "name": "0001_x"}],
        "failed_migrations": [{**last, "log": "boom"}],
        "attempts": {"plugins": 2},
        "blocked": [{"waiting_pid": 1}],
        "log": "log",
    }
    assert ledger_rows(State((), (), ())) == {"core": [], "plugins": []}
