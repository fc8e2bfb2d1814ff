# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock_watch import described, without_literals

WAIT: dict[str, Any] = {
    "waiting_query": "ALTER TABLE orders",
    "blocking_pid": 9,
    "blocking_application": "backoffice",
    "blocking_state": "idle in transaction",
    "blocking_role": "shop",
    "transaction_age_s": 61,
}


@pytest.mark.parametrize(
    ("given", "who", "state"),
    [
        ({}, "backoffice", "idle in transaction"),
        ({"blocking_application": ""}, "shop", "idle in transaction"),
        ({"blocking_application": "", "blocking_role": "", "blocking_state": ""}, "a session", "state hidden"),
    ],
)
def test_who_holds_up_a_migration_is_told_in_one_line(given: dict[str, Any], who: str, state: str) -> None:
    said = f'{who} (pid 9, {state}, transaction open for 61 s) holds what "ALTER TABLE orders" waits for'
    assert described({**WAIT, **given}) == said


def test_a_long_statement_is_cut() -> None:
    assert described({**WAIT, "waiting_query": "x" * 81}).endswith(f'holds what "{"x" * 80}" waits for')


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT *\n  FROM users", "SELECT * FROM users"),
        ("WHERE email = 'o''hara@x.test' AND name = 'cut of", "WHERE email = '...' AND name = '...'"),
        ("x" * 201, "x" * 200),
        ("", ""),
    ],
)
def test_literals_are_customers_data(query: str, shown: str) -> None:
    assert without_literals(query) == shown
