# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._plugins import Listing, Plugin, compare, parse
from hypothesis import given
from hypothesis import strategies as st

THREE = (
    Plugin("@acme/erp", "0.9.0", "private", False),
    Plugin("@ecommus-plugin/efactura-ro", "1.2.0", "premium", True),
    Plugin("reviews", "1.0.1", "built-in", True),
)
LINES = """\
@acme/erp@0.9.0                       private   disabled
@ecommus-plugin/efactura-ro@1.2.0     premium   enabled
reviews@1.0.1                         built-in  enabled
"""
RECORDS = [{"name": p.name, "version": p.version, "origin": p.origin, "enabled": p.enabled} for p in THREE]
FORMS = {
    "lines": LINES,
    "bullets": "Plugins:\n - @acme/erp v0.9.0 (private, disabled)\n - @ecommus-plugin/efactura-ro v1.2.0 (premium, enabled)\n"
    " - reviews v1.0.1 (built-in, enabled)\n",
    "csv": "reviews,1.0.1,built-in,enabled\n@acme/erp,0.9.0,private,disabled\n@ecommus-plugin/efactura-ro,1.2.0,premium,enabled\n",
    "json": json.dumps(RECORDS, indent=2),
    "json in an object": json.dumps({"plugins": RECORDS}),
    "json by name": json.dumps({r["name"]: {k: v for k, v in r.items() if k != "name"} for r in RECORDS}),
    "json lines": "\n".join(json.dumps(r) for r in RECORDS),
    "json lines with a log": json.dumps({"level": 30, "time": 1, "msg": "ready"}) + "\n" + "\n".join(json.dumps(r) for r in RECORDS),
    "columns": "VERSION  ENABLED   NAME                         ORIGIN\n0.9.0    no        @acme/erp                    private\n"
    "1.2.0    yes       @ecommus-plugin/efactura-ro  premium\n1.0.1    yes       reviews                      builtin\n",
    "markdown": "| Name | Version | Source | Status |\n|---|---|---|---|\n| @acme/erp | 0.9.0 | private | disabled |\n"
    "| @ecommus-plugin/efactura-ro | 1.2.0 | premium | enabled |\n| reviews | 1.0.1 | built-in | enabled |\n",
    "console.table": """\
┌─────────┬───────────────────────────────┬─────────┬────────────┬─────────┐
│ (index) │ name                          │ version │ origin     │ enabled │
├─────────┼───────────────────────────────┼─────────┼────────────┼─────────┤
│ 0       │ 'reviews'                     │ '1.0.1' │ 'built-in' │ true    │
│ 1       │ '@acme/erp'                   │ '0.9.0' │ 'private'  │ false   │
│ 2       │ '@ecommus-plugin/efactura-ro' │ '1.2.0' │ 'premium'  │ true    │
└─────────┴───────────────────────────────┴─────────┴────────────┴─────────┘
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str) -> None:
    listing = parse(FORMS[form])
    assert listing.plugins == THREE
    assert listing.unknown == (("Plugins:",) if form == "bullets" else ())


@given(st.text())
def test_any_text_is_read_or_kept(raw: str) -> None:
    listing = parse(raw)
    assert compare(listing, listing).verdict == "ok"


def change(number: int, **fields: object) -> Listing:
    plugins = list(THREE)
    plugins[number] = dataclasses.replace(plugins[number], **fields)  # type: ignore[arg-type]
    return Listing(tuple(plugins))


BEFORE = Listing(THREE)


def test_only_bumps_pass() -> None:
    found = compare(BEFORE, change(1, version="1.3.0"))
    assert found.verdict == "ok"
    assert found.bumps == [{"name": "@ecommus-plugin/efactura-ro", "from": "1.2.0", "to": "1.3.0", "kind": "minor"}]


@pytest.mark.parametrize(
    ("after", "where", "says"),
    [
        (change(1, version="1.1.9"), "downgraded", "went down from 1.2.0 to 1.1.9"),
        (change(1, version="1.2.0-rc.1"), "downgraded", "went down"),
        (change(1, version="next"), "altered", "cannot be ordered"),
        (change(1, enabled=False), "disabled", "is disabled"),
        (change(0, enabled=True), "altered", "was disabled and is enabled"),
        (change(1, enabled=None), "altered", "was enabled and is not said"),
        (change(2, origin="private"), "altered", "has another origin"),
        (change(2, notes=("deprecated",)), "altered", "has another notes"),
        (Listing(THREE[1:]), "missing", "@acme/erp 0.9.0 is missing"),
        (Listing((*THREE, Plugin("extra", "1.0.0"))), "added", "extra 1.0.0 is new"),
    ],
)
def test_everything_else_is_told(after: Listing, where: str, says: str) -> None:
    found = compare(BEFORE, after)
    assert found.verdict == "changed"
    assert len(found.problems) == 1
    assert says in found.problems[0]
    assert len(getattr(found, where)) == 1
    excused = compare(BEFORE, after, allow=["@acme/erp", "@ecommus-plugin/efactura-ro", "reviews", "extra"])
    assert excused.verdict == "ok"
    assert len(getattr(excused, where)) == 1, "excused is still reported"


def test_additions_can_be_allowed() -> None:
    assert compare(BEFORE, Listing((*THREE, Plugin("extra", "1.0.0"))), allow_added=True).verdict == "ok"


def test_lines_that_are_not_understood_are_compared() -> None:
    before, after = parse(LINES + "licence: pro\n"), parse(LINES + "licence: expired\n")
    assert compare(before, before).verdict == "ok"
    assert compare(before, after).problems == ["line not understood: - licence: pro", "line not understood: + licence: expired"]


def test_a_plugin_that_is_listed_twice() -> None:
    before = parse("a@1.0.0 tenant-1 enabled\na@1.1.0 tenant-2 enabled\n")
    assert compare(before, parse("a@1.0.0 tenant-1 enabled\na@1.2.0 tenant-2 enabled\n")).verdict == "ok"
    assert compare(before, parse("a@1.0.0 tenant-1 enabled\n")).missing == ["a #2"]
