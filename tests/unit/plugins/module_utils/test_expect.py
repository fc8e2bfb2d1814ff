"""What counts as a good answer, and the words for one that is not."""

from __future__ import annotations

import json

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation, judge, mismatch
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import Answer


def answer(body, status: int = 200, headers=None, truncated: bool = False) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(status, headers or {}, text.encode(), truncated, 1.0, "")


HEALTH = {"ok": True, "db": {"status": "up", "lag": 0}, "checks": [{"name": "redis", "ok": True}], "a.b": 1, "none": None}


@pytest.mark.parametrize(
    "expected",
    [
        {"ok": True},
        {"db": {"status": "up"}},
        {"db.status": "up", "db.lag": 0},
        {"checks.0.name": "redis"},
        {"checks": [{"name": "redis"}]},
        {"checks": {"0": {"ok": True}}},
        {"a.b": 1},
        {"none": None},
        {"db.lag": 0.0},
        {},
    ],
)
def test_subset_matches(expected):
    assert mismatch(expected, HEALTH) == ""


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        ({"ok": False}, "JSON at ok: expected false, found true"),
        ({"ok": 1}, "JSON at ok: expected 1, found true"),
        ({"ok": "true"}, 'JSON at ok: expected "true", found true'),
        ({"db.lag": False}, "JSON at db.lag: expected false, found 0"),
        ({"db": {"status": "down"}}, 'JSON at db.status: expected "down", found "up"'),
        ({"db.name": "x"}, 'JSON at db.name: expected "x", found nothing'),
        ({"gone": None}, "JSON at gone: expected null, found nothing"),
        ({"gone.deeper": 1}, "JSON at gone.deeper: expected 1, found nothing"),
        ({"checks.1.name": "x"}, 'JSON at checks.1.name: expected "x", found nothing'),
        ({"checks": []}, 'JSON at checks: expected [], found [{"name": "redis", "ok": true}]'),
        ({"ok": True, "db.status": 5}, 'JSON at db.status: expected 5, found "up"'),
        ({"db": {"status": {"x": 1}}}, 'JSON at db.status: expected {"x": 1}, found "up"'),
        ({"checks": [{"name": "db"}]}, 'JSON at checks.0.name: expected "db", found "redis"'),
        ({"checks": {"1": {}}}, "JSON at checks.1: expected {}, found nothing"),
        ({"checks": {"-1": {}}}, "JSON at checks.-1: expected {}, found nothing"),
        ({"checks.x": 1}, "JSON at checks.x: expected 1, found nothing"),
        ({"ok": "ț" * 120}, 'JSON at ok: expected "' + "ț" * 119 + "…, found true"),
        ({"ok": "ț" * 118}, 'JSON at ok: expected "' + "ț" * 118 + '", found true'),
    ],
)
def test_mismatch_names_path_expected_and_found(expected, problem):
    assert mismatch(expected, HEALTH) == problem


def test_json_that_is_no_object():
    assert mismatch({"ok": True}, "fine") == 'JSON at the top: expected {"ok": true}, found "fine"'


@pytest.mark.parametrize(
    ("given", "expected", "problem"),
    [
        (answer("ok"), Expectation(), ""),
        (answer("", status=204), Expectation(status=[200, 204]), ""),
        (answer("Service\n  Unavailable", 503), Expectation(), 'status 503 instead of 200, body "Service Unavailable"'),
        (answer("", 404), Expectation(status=[200, 204]), "status 404 instead of 200 or 204, body empty"),
        (answer("", 302, {"Location": "/login"}), Expectation(), "status 302 instead of 200, redirects to /login"),
        (answer("<html>x</html>"), Expectation(json={"ok": True}), 'the body is not JSON: "<html>x</html>"'),
        (answer({"ok": True}, truncated=True), Expectation(json={"ok": True}), "the body is too large to be read as JSON"),
        (answer("a page"), Expectation(text="shop"), 'the body lacks "shop", it is "a page"'),
        (answer("a shop page"), Expectation(text="shop"), ""),
        (answer("x" * 120, 500), Expectation(), 'status 500 instead of 200, body "' + "x" * 120 + '"'),
        (answer("x" * 500, 500), Expectation(), 'status 500 instead of 200, body "' + "x" * 120 + '…"'),
        (answer({"ok": False}), Expectation(json={"ok": True}), "JSON at ok: expected true, found false"),
    ],
)
def test_judgement(given, expected, problem):
    assert judge(given, expected) == problem


def test_secret_is_not_quoted_from_a_redirection_or_from_what_is_wanted():
    secrets = ["s3cret-token"]
    redirected = judge(answer("", 302, {"Location": "/login?t=s3cret-token"}), Expectation(), secrets)
    assert redirected == "status 302 instead of 200, redirects to /login?t=***"
    lacking = judge(answer("s3cret-token"), Expectation(text="of s3cret-token"), secrets)
    assert lacking == 'the body lacks "of ***", it is "***"'
    assert judge(answer({"a": 1}), Expectation(json={"a": "s3cret-token"}), secrets) == 'JSON at a: expected "***", found 1'
    assert judge(answer("s3cret-token {"), Expectation(json={"a": 1}), secrets) == 'the body is not JSON: "*** {"'
    assert judge(answer("7"), Expectation(json={"a": "s3cret-token"}), secrets) == 'JSON at the top: expected {"a": "***"}, found 7'


@pytest.mark.parametrize(
    ("wanted", "body"), [(["ok"], ["s3cret-token"]), ({"a": ["ok"]}, {"a": ["s3cret-token"]}), ([{"a": "ok"}], [{"a": "s3cret-token"}])]
)
def test_secret_is_not_quoted_from_within_a_list(wanted, body):
    problem = judge(answer(body, 200), Expectation(json=wanted), ["s3cret-token"])
    assert problem and "s3c" not in problem


@pytest.mark.parametrize("body", ["s3cret-token", "x" * 115 + "s3cret-token", {"ok": "s3cret-token"}, {"ok": "x" * 112 + "s3cret-token"}])
@pytest.mark.parametrize("status", [200, 500])
def test_secret_is_not_quoted_even_where_the_quote_is_cut(body, status):
    problem = judge(answer(body, status), Expectation(json={"ok": True}), ["s3cret-token"])
    assert problem
    assert "s3c" not in problem
