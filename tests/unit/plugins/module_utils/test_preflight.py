# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How findings are judged, waived and told; the checks themselves are in test_checks_*.py."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _layout, _postgres, _preflight
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import (
    CHECKS,
    ERROR,
    WARNING,
    Check,
    Finding,
    Subject,
    Waiver,
    check,
    examine,
    refusal,
    stopping,
)

GOOD, BAD = Finding(True, "all is well", "mend it"), Finding(False, "it is ill", "mend it", facts={"pending": ["x"]})


@pytest.fixture(autouse=True)
def checks() -> Any:
    """None but those that a test registers."""
    before = dict(CHECKS)
    CHECKS.clear()
    yield
    CHECKS.clear()
    CHECKS.update(before)


def subject(**given: Any) -> Subject:
    return Subject(paths=_layout.Paths("/shop", "/shop.d"), layout="releases", version="v1.4.0", commit="", **given)


def register(name: str, found: Finding | Exception, *tags: str, **options: str) -> None:
    def run(_subject: Subject) -> Finding:
        if isinstance(found, Exception):
            raise found
        return found

    run.__name__ = name
    assert check(f"label of {name}", *tags, **options)(run) is run


def day(ahead: int) -> str:
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=ahead)).strftime("%Y-%m-%d")


def result(name: str, **changes: Any) -> dict[str, Any]:
    good = {"severity": "error", "tags": [], "ok": True, "found": "all is well", "remedy": ""}
    return {"check": name, "label": f"label of {name}", **good, **changes}


def test_a_check_is_known_by_the_name_of_its_function() -> None:
    register("first", GOOD, "host", "disk")
    register("second", GOOD, severity=WARNING)
    assert {
        "first": Check("first", "label of first", "error", ("host", "disk"), CHECKS["first"].run),
        "second": Check("second", "label of second", "warning", (), CHECKS["second"].run),
    } == CHECKS
    assert CHECKS["first"].run(subject()) is GOOD


def test_what_stops_the_run_comes_first() -> None:
    register("good", GOOD, "host")
    register("warned", BAD, severity=WARNING)
    register("bad", BAD)
    register("worse", Finding(False, "x", "y", severity=ERROR), severity=WARNING)
    register("refused", EcommusError("no access", "give it"))
    register("broken", KeyError("name"))
    ill = {"ok": False, "found": "it is ill", "remedy": "mend it", "facts": {"pending": ["x"]}}
    broken = {"found": "could not be checked: KeyError: 'name'", "remedy": "see the details on the host, or waive this check by name"}
    assert examine(subject()) == [
        result("bad", **ill),
        result("worse", ok=False, found="x", remedy="y"),
        result("refused", ok=False, found="no access", remedy="give it"),
        result("broken", ok=False, **broken),
        result("warned", severity="warning", **ill),
        result("good", tags=["host"]),
    ]
    assert [found["check"] for found in stopping(examine(subject()))] == ["bad", "worse", "refused", "broken"]


def test_a_check_that_fails_in_no_foreseen_way_is_not_swallowed() -> None:
    register("broken", TypeError("a slip"))
    with pytest.raises(TypeError):
        examine(subject())


@pytest.mark.parametrize(
    ("ahead", "severity", "remedy"),
    [(1, "warning", "mend it"), (0, "warning", "mend it"), (-1, "error", "mend it (its waiver ended on {})")],
)
def test_a_waiver_holds_until_its_day(ahead: int, severity: str, remedy: str) -> None:
    register("bad", BAD)
    register("good", GOOD)
    waivers = [Waiver.read({"check": name, "reason": "known", "until": day(ahead)}) for name in ("bad", "good")]
    bad, good = examine(subject(), waivers)
    assert (bad["severity"], bad["remedy"]) == (severity, remedy.format(day(ahead)))
    assert bad["waiver"] == {"check": "bad", "reason": "known", "until": day(ahead)}
    assert good == result("good")
    assert bool(stopping([bad, good])) is (severity == "error")


@pytest.mark.parametrize(
    ("given", "says", "remedy"),
    [
        ({"check": "none"}, "there is no check called 'none' to waive", "the checks are: bad, good"),
        ({}, "there is no check called '' to waive", "the checks are"),
        ({"check": "bad", "reason": "x"}, "the waiver of bad has no date in until: ''", "such as"),
        ({"check": "bad", "reason": "x", "until": "soon"}, "the waiver of bad has no date in until: 'soon'", "such as"),
        ({"check": "bad", "until": "2026-12-31"}, "the waiver of bad has no reason", "say why"),
        ({"check": "bad", "reason": " ", "until": "2026-12-31"}, "the waiver of bad has no reason", "say why"),
    ],
)
def test_a_waiver_says_what_why_and_until_when(given: dict[str, str], says: str, remedy: str) -> None:
    register("good", GOOD)
    register("bad", BAD)
    with pytest.raises(EcommusError) as caught:
        Waiver.read(given)
    assert caught.value.message == says
    assert remedy in caught.value.remedy


def test_a_refusal_names_everything_that_stops_the_run() -> None:
    register("bad", BAD)
    register("good", GOOD)
    register("warned", BAD, severity=WARNING)
    register("refused", EcommusError("no access", "give it"))
    results = examine(subject())
    error = refusal(results)
    assert error.message == (
        "2 of 4 checks stop the upgrade, nothing was changed. label of bad: it is ill. Remedy: mend it"
        " | label of refused: no access. Remedy: give it"
    )
    assert error.details == {"checks": results}


def test_what_is_checked_knows_its_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://u:p@h/d\nEMPTY=\n")
    given = {"env_file": str(tmp_path / ".env"), "services": [{"process": "api"}, {"process": "web"}, {"process": "api"}]}
    shop = subject(**given, workers_process="jobs")
    assert shop.database == shop.database_admin == _postgres.Target.from_url("postgresql://u:p@h/d")
    admin = "postgresql://root:geheim@h/postgres"
    assert subject(**given, database_admin_url=admin).database_admin == _postgres.Target.from_url(admin)
    assert "geheim" not in repr(subject(database_admin_url=admin, npm_token="geheim"))
    assert (shop.process_names, subject(**given).process_names) == (["api", "web", "jobs"], ["api", "web"])
    monkeypatch.setenv("HOME", "/home/ann")
    pm2 = subject(pm2_home="~/.pm2", path_prefix=["/node"]).pm2
    assert (pm2.home, pm2.path_prefix) == ("/home/ann/.pm2", ("/node",))
    with pytest.raises(EcommusError) as caught:
        _ = subject(**given, database_url_key="EMPTY").database
    assert caught.value.message == f"{tmp_path}/.env has no EMPTY"
    assert "ecommus_database_url_key" in caught.value.remedy


def test_a_program_is_looked_for_where_the_shop_has_its_own_first(tmp_path: Path) -> None:
    program = tmp_path / "sh"
    program.write_text("")
    program.chmod(0o755)
    assert subject(path_prefix=[str(tmp_path)]).program("sh") == str(program)
    assert subject().program("sh") not in (None, str(program))
    assert subject(path_prefix=[str(tmp_path)]).program("none-of-this-name") is None


@pytest.mark.parametrize(("text", "content"), [('{"a": 1}', {"a": 1}), ("[1]", {}), ("", {}), (None, {})])
def test_a_file_of_the_release_that_is_none_says_nothing(monkeypatch: pytest.MonkeyPatch, text: str | None, content: object) -> None:
    monkeypatch.setattr(_preflight._git, "file_at", lambda *asked: text if asked == ("/shop.d/repo.git", "", "x.json") else "?")
    assert subject().json("x.json") == content
