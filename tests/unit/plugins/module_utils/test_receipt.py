"""What is read out of a prober's log."""

from __future__ import annotations

from ansible_collections.mdlabs.ecommus.plugins.module_utils._receipt import read_log, summarize

START = {"t": 0.0, "event": "started", "pid": 1, "rate": 10, "targets": ["api", "web"]}
END = {"t": 10.0, "event": "ended", "reason": "stopped", "skipped": 2}


def asked(t: float, ok: bool = True, ms: float = 10.0, target: str = "api", **more):
    return {"t": t, "target": target, "ok": ok, "ms": ms, **({} if ok else {"error": "connection refused"}), **more}


def test_all_good():
    summary = summarize([START, asked(1), asked(2, ms=30), asked(3, ms=20), asked(3, target="web", ms=500), END])
    assert summary["ended_because"] == "stopped"
    totals = summary["totals"]
    assert (totals["requests"], totals["failed"], totals["median_ms"], totals["slowest_ms"]) == (4, 0, 25.0, 500)
    assert (totals["longest_gap_ms"], totals["skipped"], totals["seconds"], totals["rate"]) == (0.0, 2, 10.0, 10)
    assert (totals["started"], totals["ended"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:10.000Z")
    api = summary["targets"]["api"]
    assert (api["requests"], api["median_ms"], api["gaps"], api["first_failure"]) == (3, 20, [], None)


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
    api = summarize([START, asked(1), asked(2, False), asked(4, False)])["targets"]["api"]
    assert (api["gaps"][0]["over"], api["longest_gap_ms"]) == (False, 3000.0)


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
    log = [asked(1, identity="v1.3.2"), asked(2, identity="v1.4.0"), asked(3, identity="v1.3.2"), asked(4, identity="v1.4.0")]
    first, second = summarize(log)["targets"]["api"]["identities"]
    assert (first["identity"], first["requests"], first["last"]) == ("v1.3.2", 2, "1970-01-01T00:00:03.000Z")
    assert (second["identity"], second["first"]) == ("v1.4.0", "1970-01-01T00:00:02.000Z")


def test_target_that_was_never_asked_is_shown_with_zero():
    assert summarize([START])["targets"]["web"]["requests"] == 0


def test_nothing():
    assert summarize([])["totals"]["requests"] == 0


def test_line_that_was_cut_off_is_left_out(tmp_path):
    log = tmp_path / "log"
    log.write_text('{"t": 1.0, "target": "api", "ok": true, "ms": 1}\n[1]\n\n{"t": 2.0, "target": "a')
    assert [record["t"] for record in read_log(str(log))] == [1.0]
