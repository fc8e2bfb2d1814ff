# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last screen of a run: what became of each shop, what it cost, and where the evidence is."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: Summary of upgrades and rollbacks, a line per shop
version_added: 0.1.0
author:
  - MD Labs (@mdlabs)
description:
  - Prints a table at the end of a run, from what M(mdlabs.ecommus.report) returned for each host.
  - Below each shop stand the services that missed requests, the snapshot, the report and, where something went wrong, the
    problem, the remedy and the bug report that is ready for the vendor.
  - Prints nothing when no report was seen.
requirements:
  - enable with C(callbacks_enabled = mdlabs.ecommus.summary) in the C([defaults]) section of the configuration
"""

import textwrap
import typing as t

from ansible import constants as C
from ansible.plugins.callback import CallbackBase

Report = dict[str, t.Any]

WIDTH = 100
HEADINGS = ("host", "outcome", "from", "to", "minutes", "change window", "requests failed")
NUMBERS = (4, 5, 6)  # columns that are set flush right
_LONGEST_NAME = 30
PATHS = {"snapshot": "snapshot", "report": "report", "bug_report": "to vendor"}

COLORS = {
    "upgraded": C.COLOR_CHANGED,
    "unchanged": C.COLOR_OK,
    "rolled_back": C.COLOR_WARN,
    "refused": C.COLOR_ERROR,
    "failed": C.COLOR_ERROR,
    "held": C.COLOR_ERROR,
    "rollback_failed": C.COLOR_ERROR,
}


def row(report: Report) -> list[str]:
    """The cells of a shop's line; what was not measured is a dash."""
    seconds, window, requests = report.get("seconds"), report.get("change_window_seconds"), report.get("requests")
    return [
        shorten(str(report.get("host") or "-")),
        str(report.get("outcome") or "-").replace("_", " "),
        str(report.get("from_version") or "-"),
        str(report.get("to_version") or "-"),
        "-" if seconds is None else f"{float(seconds) / 60:.1f}",
        "-" if window is None else f"{float(window):.1f} s",
        f"{int(report.get('requests_failed') or 0)} of {int(requests)}" if requests else "-",
    ]


def shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def table(reports: t.Sequence[Report]) -> list[str]:
    """Heading and one line per report, in aligned columns."""
    rows = [list(HEADINGS), *(row(report) for report in reports)]
    widths = [max(len(cells[i]) for cells in rows) for i in range(len(HEADINGS))]
    return [
        "  ".join(cell.rjust(widths[i]) if i in NUMBERS else cell.ljust(widths[i]) for i, cell in enumerate(cells)).rstrip()
        for cells in rows
    ]


def notes(report: Report) -> list[str]:
    """What stands below a shop's line. Paths are not broken, so that they can be copied."""
    lines = []
    for name, service in (report.get("services") or {}).items():
        if service.get("failed"):
            gap = f", longest gap {service['longest_gap_ms']:.0f} ms" if service.get("longest_gap_ms") else ""
            lines.append(f"    {name}: {service['failed']} of {service['requests']} requests failed{gap}")
    lines += [f"    {label:<9} {report[key]}" for key, label in PATHS.items() if report.get(key)]
    told = [("notice", notice) for notice in report.get("notices") or ()]
    told += [("by hand", step) for step in report.get("manual_steps") or ()]
    told += [(label, report[label]) for label in ("problem", "remedy") if report.get(label)]
    for label, text in told:
        lines += textwrap.wrap(f"{label:<9} {text}", WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 14)
    return lines


class CallbackModule(CallbackBase):
    """Collects the reports while the play runs and prints them after its recap."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "mdlabs.ecommus.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: t.Any, **options: t.Any) -> None:
        super().__init__(*args, **options)
        self._reports: dict[tuple[str, str], Report] = {}

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._collect(result)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._collect(result)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        reports = [self._reports[key] for key in sorted(self._reports)]
        if not reports:
            return
        self._display.banner("SHOPS")
        heading, *lines = table(reports)
        self._display.display(heading)
        for report, line in zip(reports, lines):
            self._display.display(line, color=COLORS.get(str(report.get("outcome"))))
            for note in notes(report):
                self._display.display(note)
        self._display.display("")

    def _collect(self, result: t.Any) -> None:
        report = result.result.get("ecommus_report")
        if isinstance(report, dict):
            report = {"host": result.host.get_name(), **report}
            # The last word on a shop counts, also when one run upgrades it and takes it back.
            self._reports[str(report["host"]), str(report.get("operation"))] = report
