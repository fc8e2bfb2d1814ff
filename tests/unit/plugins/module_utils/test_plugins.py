# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._plugins import Comparison, Listing, Plugin, compare, parse
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
    "json in an object": json.dumps({"name": "shop", "version": "1.4.0", "warnings": [], "plugins": RECORDS}),
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


@pytest.mark.parametrize(
    ("line", "plugin"),
    [
        ("reviews@1.0.1", Plugin("reviews", "1.0.1")),
        ("reviews 1.0.1 (Beta, since May)", Plugin("reviews", "1.0.1", notes=("Beta", "since", "May"))),
        ("reviews 1.0.1 PREMIUM Enabled", Plugin("reviews", "1.0.1", "premium", True)),
        ("reviews 1.0.1 core off", Plugin("reviews", "1.0.1", "built-in", False)),
        ('{"id": "reviews", "installed": 2, "status": "on"}', Plugin("reviews", "2", "", True)),
        ('{"name": "erp", "scope": "@acme", "version": "1.0.0"}', Plugin("@acme/erp", "1.0.0", notes=("scope=@acme",))),
        ('{"name": "@x/erp", "scope": "@acme", "version": "1.0.0"}', Plugin("@x/erp", "1.0.0", notes=("scope=@acme",))),
        ('{"name": "erp", "scope": "shop", "version": "1.0.0"}', Plugin("erp", "1.0.0", notes=("scope=shop",))),
        (
            '{"name": "erp", "version": "1.0.0", "source": "Vendor", "tenant": 3, "beta": true, "by": "b", "tags": {"x": 1}}',
            Plugin("erp", "1.0.0", "Vendor", None, ("beta=True", "by=b", "tenant=3")),
        ),
        ('{"name": "sms", "version": "1.0.0", "permissions": ["orders.read"]}', Plugin("sms", "1.0.0")),
    ],
)
def test_what_a_line_says_about_a_plugin(line: str, plugin: Plugin) -> None:
    assert parse(line) == Listing((plugin,))


def test_a_plugin_may_have_a_level_or_a_message() -> None:
    records = [{"name": "a", "version": "1.0.0", "level": 2}, {"name": "b", "version": "1.0.0", "msg": "old"}]
    plugins = (Plugin("a", "1.0.0", notes=("level=2",)), Plugin("b", "1.0.0", notes=("msg=old",)))
    assert parse(json.dumps(records)) == parse("\n".join(map(json.dumps, records))) == Listing(plugins)


def test_what_a_program_logs_is_no_plugin() -> None:
    log = '{"level": 30, "time": 1, "msg": "ready"}\n'
    assert parse(f"  {log}{LINES}") == Listing(THREE)
    odd = '{"level": 30, "time": 1}\n{"msg": "ready"}\n[1]\n{\n'
    assert parse(odd + LINES) == Listing(THREE, ('{"level": 30, "time": 1}', '{"msg": "ready"}', "[1]", "{"))


@pytest.mark.parametrize("raw", ["[]", "{}", "7", '"reviews@1.0.1"', '[{"name": "reviews"}]', '[{"version": "1.0.1"}]', "[1]"])
def test_json_that_lists_no_plugins_is_not_understood(raw: str) -> None:
    assert parse(raw) == Listing((), (raw,))


def test_a_row_that_does_not_fit_its_header_is_read_as_a_line() -> None:
    table = "NAME  VERSION  ORIGIN\nreviews  1.0.1  core\n@acme/erp  0.9.0  private  disabled\nsms  -\n- 1.0.0\n"
    plugins = (Plugin("@acme/erp", "0.9.0", "private", False), Plugin("reviews", "1.0.1", "built-in"))
    assert parse(table) == Listing(plugins, ("sms  -", "- 1.0.0"))
    assert parse("name  origin\nreviews  core\n").unknown == ("name  origin", "reviews  core")


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


NAMES = ("@acme/erp", "@ecommus-plugin/efactura-ro", "reviews")


@pytest.mark.parametrize(
    ("after", "where", "entry", "says"),
    [
        (change(1, version="1.1.9"), "downgraded", {"from": "1.2.0", "to": "1.1.9"}, "went down from 1.2.0 to 1.1.9"),
        (change(1, version="1.2.0-rc.1"), "downgraded", {"from": "1.2.0", "to": "1.2.0-rc.1"}, "went down from 1.2.0 to 1.2.0-rc.1"),
        (
            change(1, version="next"),
            "altered",
            {"field": "version", "from": "1.2.0", "to": "next"},
            "changed from 1.2.0 to next, which cannot be ordered",
        ),
        (change(1, enabled=False), "disabled", None, "is disabled"),
        (change(0, enabled=True), "altered", {"field": "enabled", "from": "False", "to": "True"}, "was disabled and is enabled"),
        (
            change(1, enabled=None),
            "altered",
            {"field": "enabled", "from": "True", "to": "None"},
            "was enabled and is not said to be enabled",
        ),
        (
            change(2, origin="private"),
            "altered",
            {"field": "origin", "from": "built-in", "to": "private"},
            "has another origin: built-in, now private",
        ),
        (change(2, origin=""), "altered", {"field": "origin", "from": "built-in", "to": ""}, "has another origin: built-in, now -"),
        (
            change(2, notes=("really", "old")),
            "altered",
            {"field": "notes", "from": "", "to": "really old"},
            "has another notes: -, now really old",
        ),
        (Listing(THREE[1:]), "missing", None, "0.9.0 is missing"),
        (Listing((*THREE, Plugin("extra", "1.0.0"))), "added", None, "1.0.0 is new"),
    ],
)
def test_everything_else_is_told(after: Listing, where: str, entry: dict[str, str] | None, says: str) -> None:
    found = compare(BEFORE, after)
    name = found.problems[0].partition(" ")[0]
    assert name in (*NAMES, "extra")
    told = Comparison(**{where: [{**entry, "name": name} if entry else name]})
    assert found == dataclasses.replace(told, problems=[f"{name} {says}"])
    assert (found.verdict, told.verdict) == ("changed", "ok")
    assert compare(BEFORE, after, allow=[*NAMES, "extra"]) == told, "excused is still reported"


def test_one_that_was_not_said_to_be_enabled_and_is_not_now_is_disabled() -> None:
    before, after = change(1, enabled=None), change(1, enabled=False)
    assert compare(before, after).disabled == ["@ecommus-plugin/efactura-ro"]
    assert compare(after, after) == Comparison()


def test_every_plugin_is_looked_at() -> None:
    new = Plugin("extra", "1.0.0")
    found = compare(Listing((THREE[0], THREE[2])), Listing((dataclasses.replace(THREE[2], version="v1.0.1+b"), new)))
    assert found == Comparison(
        bumps=[{"name": "reviews", "from": "1.0.1", "to": "v1.0.1+b", "kind": "patch"}],
        missing=["@acme/erp"],
        added=["extra"],
        problems=["@acme/erp 0.9.0 is missing", "extra 1.0.0 is new"],
    )


def test_additions_can_be_allowed() -> None:
    assert compare(BEFORE, Listing((*THREE, Plugin("extra", "1.0.0"))), allow_added=True).verdict == "ok"


def test_bumps_can_be_forbidden() -> None:
    after = change(1, version="1.3.0")
    assert compare(BEFORE, BEFORE, allow_bumps=False).verdict == "ok"
    found = compare(BEFORE, after, allow_bumps=False)
    assert found.problems == ["@ecommus-plugin/efactura-ro went up from 1.2.0 to 1.3.0"]
    assert compare(BEFORE, after, allow=NAMES, allow_bumps=False).verdict == "ok"


def test_lines_that_are_not_understood_are_compared() -> None:
    before, after = parse(LINES + "licence: pro\n"), parse(LINES + "licence: expired\n")
    assert compare(before, before).verdict == "ok"
    assert compare(before, after).problems == ["line not understood: - licence: pro", "line not understood: + licence: expired"]


def test_a_plugin_that_is_listed_twice() -> None:
    before = parse("a@1.0.0 tenant-1 enabled\na@1.1.0 tenant-2 enabled\n")
    assert compare(before, parse("a@1.0.0 tenant-1 enabled\na@1.2.0 tenant-2 enabled\n")).verdict == "ok"
    assert compare(before, parse("a@1.0.0 tenant-1 enabled\n")).missing == ["a #2"]
    assert compare(before, Listing(()), allow=["a"]) == Comparison(missing=["a", "a #2"])
    assert compare(before, Listing(()), allow=["a #2"]).problems == ["a 1.0.0 is missing"]
    third = parse("a@1.0.0\na@2.0.0\na@3.0.0\nb@1.0.0").by_name()
    assert {name: plugin.version for name, plugin in third.items()} == {"a": "1.0.0", "a #2": "2.0.0", "a #3": "3.0.0", "b": "1.0.0"}
