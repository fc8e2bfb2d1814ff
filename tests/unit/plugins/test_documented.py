# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of results with RETURN finds what it is there for."""

from __future__ import annotations

import typing as t

import documented
import pytest
import yaml

RETURN = """
ok: {description: Whether., returned: always, type: bool}
size: {description: "Bytes; V(null) without a file.", returned: success, type: int}
items:
  description: Things.
  returned: when there are some
  type: list
  elements: dict
  contains:
    name: {description: Name., type: str}
tables:
  description: By name.
  returned: when there are some
  type: dict
  contains:
    each_table:
      description: One.
      type: dict
      contains:
        rows: {description: Number., type: int}
"""
GOOD: dict[str, t.Any] = {"changed": False, "ok": True, "size": 3, "items": [{"name": "x"}], "tables": {"orders": {"rows": 1}}}


@pytest.fixture(autouse=True)
def documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documented, "returned", lambda module: yaml.safe_load(RETURN))


def test_what_is_as_documented_passes() -> None:
    assert documented.problems("m", GOOD) == []
    assert documented.problems("m", {**GOOD, "size": None}) == []
    assert documented.problems("m", {"failed": True, "msg": "no"}) == []
    assert documented.problems("m", {**GOOD, "attempts": 2, "changed_when_result": False}) == [], "of Ansible's keywords"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"more": 1}, "m: more is not documented"),
        ({"ok": None}, "m: ok is null, which its description does not say"),
        ({"size": True}, "m: size is a bool and not a int"),
        ({"size": 1.5}, "m: size is a float and not a int"),
        ({"items": {}}, "m: items is a dict and not a list"),
        ({"items": ["x"]}, "m: items[] is a str and not a dict"),
        ({"items": [{"name": "x", "age": 1}]}, "m: items[].age is not documented"),
        ({"tables": {"orders": {"rows": "1"}}}, "m: tables.each_table.rows is a str and not a int"),
    ],
)
def test_what_is_not_is_told(change: dict[str, t.Any], says: str) -> None:
    assert documented.problems("m", {**GOOD, **change}) == [says]


@pytest.mark.parametrize("key", ["ok", "size"])
def test_what_is_promised_must_be_there(key: str) -> None:
    result = {name: value for name, value in GOOD.items() if name != key}
    assert documented.problems("m", result) == [f"m: {key} is promised and missing"]
