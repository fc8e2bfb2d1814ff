"""What is read out of a prober's log."""

from __future__ import annotations

import json

from ansible_collections.mdlabs.ecommus.plugins.module_utils._receipt import read_log, summarize

START = {"t": 0.0, "event": "started", "pid": 1, "rate": 10, "targets": ["api", "web"]}
END = {"t": 10.0, "event": "ended", "reason": "stopped", "skipped": 2}


def asked(t: float, ok: bool = True, ms: float = 10.0, target: str = "api", **more):
    return {"t": t, "target": target, "ok": ok, "ms": ms, **({} if ok else {"error": "connection refused"}), **more}


def test_all_good():
    start = {**START, "t": 0.25}
    quick = {"median_ms": 20, "slowest_ms": 30, "longest_gap_ms": 0.0}
    good = {"failed": 0, "first_failure": None, "last_failure": None, "gaps": [], "identities": []}
    assert summarize([start, asked(1), asked(2, ms=30), asked(3, ms=20), asked(3, target="web", ms=500.06), END]) == {
        "totals": {
            "requests": 4,
            "failed": 0,
            "median_ms": 25.0,
            "slowest_ms": 500.06,
            "longest_gap_ms": 0.0,
            "skipped": 2,
            "started": "1970-01-01T00:00:00.250Z",
            "ended": "1970-01-01T00:00:10.000Z",
            "seconds": 9.75,
            "rate": 10,
        },
        "targets": {
            "api": {"requests": 3, **quick, **good},
            "web": {"requests": 1, "median_ms": 500.1, "slowest_ms": 500.06, "longest_gap_ms": 0.0, **good},
        },
        "ended_because": "stopped",
    }


def test_failures_without_a_good_answer_between_are_one_gap():
    log = [START, asked(1), asked(2, False), asked(3, False, ms=500), asked(4, ms=100), asked(5, False), asked(5.5), END]
    api = summarize(log)["targets"]["api"]
    assert (api["failed"], api["longest_gap_ms"]) == (3, 3090.0)
    assert api["gaps"] == [
        {
            "from": "1970-01-01T00:00:01.010Z",
            "to": "1970-01-01T00:00:04.099Z",
            "ms": 3090.0,
            "failed": 2,
            "reason": "connection refused",
            "over": True,
        },
        {
            "from": "1970-01-01T00:00:04.099Z",
            "to": "1970-01-01T00:00:05.509Z",
            "ms": 1410.0,
            "failed": 1,
            "reason": "connection refused",
            "over": True,
        },
    ]
    assert api["first_failure"] == {"at": "1970-01-01T00:00:02.000Z", "reason": "connection refused"}
    assert api["last_failure"]["at"] == "1970-01-01T00:00:05.000Z"


def test_gap_at_the_end_is_not_over():
    api = summarize([START, asked(1), asked(2, False), asked(4, False, ms=0.06)])["targets"]["api"]
    gap = {"ms": 2990.1, "failed": 2, "reason": "connection refused", "over": False}
    assert api["gaps"] == [{"from": "1970-01-01T00:00:01.010Z", "to": "1970-01-01T00:00:04.000Z", **gap}]
    assert api["longest_gap_ms"] == 2990.1


def test_a_report_shows_the_longest_of_many_gaps_in_their_order():
    # Every second request fails; each good answer takes longer than the one before, and so does each gap.
    api = summarize([asked(t, t % 2 == 1, ms=t * t / 10) for t in range(1, 60)])["targets"]["api"]
    begins = [gap["from"] for gap in api["gaps"]]
    assert (api["failed"], len(begins), begins[0], begins[-1]) == (29, 20, "1970-01-01T00:00:19.036Z", "1970-01-01T00:00:57.324Z")
    assert begins == sorted(begins)


def test_failure_without_a_reason_is_shown_without_one():
    failed = {"t": 1.0, "target": "api", "ok": False}
    api = summarize([failed])["targets"]["api"]
    assert api["first_failure"] == api["last_failure"] == {"at": "1970-01-01T00:00:01.000Z", "reason": ""}
    assert (api["gaps"][0]["reason"], api["gaps"][0]["to"], api["longest_gap_ms"]) == ("", "1970-01-01T00:00:01.000Z", 0.0)


def test_target_that_never_answered():
    api = summarize([START, asked(1, False), asked(2, False)])["targets"]["api"]
    assert (api["requests"], api["failed"], api["slowest_ms"], api["longest_gap_ms"]) == (2, 2, 0.0, 1010.0)


def test_gaps_are_of_a_target_and_not_hidden_by_another():
    targets = summarize([START, asked(1, False), asked(2, target="web"), asked(3, False)])["targets"]
    assert len(targets["api"]["gaps"]) == 1
    assert targets["web"]["gaps"] == []


def test_answers_that_overtake_each_other_are_put_in_order():
    slow_good = asked(1, ms=3000)
    api = summarize([asked(0.5), slow_good, asked(2, False), asked(5)])["targets"]["api"]
    assert api["longest_gap_ms"] == 3490.0  # from 0.51 until the slow answer came at 4.0


def test_releases_that_answered():
    log = [asked(1, identity="v1.3.2"), asked(2, identity="v1.4.0"), asked(3, identity="v1.3.2"), asked(4, identity=None)]
    assert summarize(log)["targets"]["api"]["identities"] == [
        {"identity": "v1.3.2", "requests": 2, "first": "1970-01-01T00:00:01.000Z", "last": "1970-01-01T00:00:03.000Z"},
        {"identity": "v1.4.0", "requests": 1, "first": "1970-01-01T00:00:02.000Z", "last": "1970-01-01T00:00:02.000Z"},
    ]


def test_target_that_was_never_asked_is_shown_with_zero():
    targets = summarize([START])["targets"]
    assert list(targets) == ["api", "web"]
    assert targets["web"] == {
        **{"requests": 0, "failed": 0, "median_ms": 0.0, "slowest_ms": 0.0, "longest_gap_ms": 0.0},
        **{"first_failure": None, "last_failure": None, "gaps": [], "identities": []},
    }


def test_nothing():
    totals = {"requests": 0, "failed": 0, "median_ms": 0.0, "slowest_ms": 0.0, "longest_gap_ms": 0.0}
    empty = {**totals, "skipped": 0, "started": "", "ended": "", "seconds": 0.0, "rate": 0.0}
    assert summarize([]) == {"totals": empty, "targets": {}, "ended_because": ""}


def test_a_prober_that_was_started_again_counts_as_its_last_start():
    log = [START, {**END, "t": 3.0}, {**START, "t": 4.0, "rate": 5}, asked(5), {"t": 6.5, "event": "ended", "skipped": 1}]
    summary = summarize(log)
    totals = summary["totals"]
    assert (summary["ended_because"], totals["rate"], totals["skipped"], totals["seconds"]) == ("", 5, 3, 6.5)


def test_line_that_was_cut_off_is_left_out(tmp_path):
    log = tmp_path / "log"
    first, last = {"t": 1.0, "target": "api", "ok": True, "ms": 1}, {"t": 1.5, "event": "ended"}
    log.write_bytes(f'{json.dumps(first)}\n[1]\n\n{{"ok": true}}\n{json.dumps(last)}\n{{"t": 2.0, "target": "'.encode() + b"\xc8")
    assert read_log(str(log)) == [first, last]
