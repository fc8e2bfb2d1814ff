# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prober's log says: how many requests, how many failed, and for how long nobody was served."""

from __future__ import annotations

import json
import statistics
import time
import typing as t

Record = dict[str, t.Any]

# As many gaps and failures as a report can show; the log has them all.
_MAX_GAPS = 20


def read_log(path: str) -> list[Record]:
    """All lines of the log. A last line that was cut off (the prober was killed, the disk is full) is left out.

    :raises FileNotFoundError: nothing was ever written.
    """
    records = []
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and "t" in record:
                records.append(record)
    return records


def summarize(records: t.Sequence[Record]) -> Record:
    """Counts, latencies and gaps, per target and in total.

    A gap is a stretch in which at least one request failed and none succeeded: from the end of the last good answer
    before (or the first request) to the end of the first good answer after (or of the last request). That is the longest that a
    visitor can have been without service; what was not asked in between is not known to have been served.
    """
    asked = [record for record in records if "target" in record]
    names = list(dict.fromkeys([name for r in records for name in r.get("targets", [])] + [r["target"] for r in asked]))
    targets = {name: _target([record for record in asked if record["target"] == name]) for name in names}
    last = next((record for record in reversed(records) if "event" in record), {})
    total = _figures(asked)
    total.update(
        longest_gap_ms=max((target["longest_gap_ms"] for target in targets.values()), default=0.0),
        skipped=sum(record.get("skipped", 0) for record in records),
        started=_iso(records[0]["t"]) if records else "",
        ended=_iso(max(map(_end, records))) if records else "",
        seconds=round(max(map(_end, records)) - records[0]["t"], 3) if records else 0.0,
        rate=next((record["rate"] for record in reversed(records) if "rate" in record), 0.0),
    )
    return {"totals": total, "targets": targets, "ended_because": last.get("reason", "")}


def _target(records: list[Record]) -> Record:
    gaps = _gaps(records)
    failures = [record for record in records if not record["ok"]]
    figures = _figures(records)
    figures.update(
        longest_gap_ms=max((gap["ms"] for gap in gaps), default=0.0),
        first_failure=_failure(failures[0]) if failures else None,
        last_failure=_failure(failures[-1]) if failures else None,
        gaps=sorted(sorted(gaps, key=lambda gap: -gap["ms"])[:_MAX_GAPS], key=lambda gap: gap["from"]),
        identities=_identities(records),
    )
    return figures


def _figures(records: t.Sequence[Record]) -> Record:
    good = [record["ms"] for record in records if record["ok"]]
    return {
        "requests": len(records),
        "failed": len(records) - len(good),
        "median_ms": round(statistics.median(good), 1) if good else 0.0,
        "slowest_ms": max(good, default=0.0),
    }


def _gaps(records: t.Sequence[Record]) -> list[Record]:
    gaps: list[Record] = []
    begin = min((record["t"] for record in records), default=0.0)
    gap: Record | None = None
    for record in sorted(records, key=_end):
        end = _end(record)
        if not record["ok"]:
            if gap is None:
                gap = {"from": _iso(begin), "failed": 0, "reason": record.get("error", ""), "over": False}
                gaps.append(gap)
            gap["failed"] += 1
        if gap is not None:
            gap.update(to=_iso(end), ms=round((end - begin) * 1000, 1), over=record["ok"])
        if record["ok"]:
            begin, gap = end, None
    return gaps


def _identities(records: t.Sequence[Record]) -> list[Record]:
    found: dict[str, Record] = {}
    for record in records:
        name = record.get("identity")
        if name:
            entry = found.setdefault(name, {"identity": name, "requests": 0, "first": _iso(record["t"])})
            entry["requests"] += 1
            entry["last"] = _iso(record["t"])
    return list(found.values())


def _failure(record: Record) -> Record:
    return {"at": _iso(record["t"]), "reason": record.get("error", "")}


def _end(record: Record) -> float:
    return float(record["t"] + record.get("ms", 0.0) / 1000)


def _iso(moment: float) -> str:
    whole = int(moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((moment - whole) * 1000):03d}Z"
