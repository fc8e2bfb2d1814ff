# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bug report for whoever made a release, ready to send: what failed, what it said, and on which versions.

It is written from the journal alone, which holds no secret. So it can be written again after the controller was lost.
"""

from __future__ import annotations

import os
import re
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import told_apart
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock_watch import described

Data = t.Mapping[str, t.Any]

NAME = "bug-report.md"
_FENCE = re.compile(r"`{3,}")


def render(run: Data) -> str:
    """The report about the ``defect`` among the facts of *run*, in Markdown; empty when there is none."""
    found = run.get("facts", {}).get("defect")
    if not found:
        return ""
    problem = told_apart(str(found["msg"]))[0]
    parts = [f"# {_subject(found)} of {run['to']['version']} failed", f"{_sentence(problem)}.", _circumstances(run)]
    if found["kind"] == "migration":
        parts += [*_failures(found), _ledgers(found), _blockers(found)]
    parts.append(_excerpt("End of the log", found.get("log") or ""))
    return "\n\n".join(part for part in parts if part) + "\n"


def write(run: Data, directory: str) -> str:
    """Write the report about *run* into *directory*; its path, empty when there is nothing to report."""
    text = render(run)
    if not text:
        return ""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, NAME)
    _files.write_atomic(path, text)
    return path


def _subject(found: Data) -> str:
    failed = [_name(item) for item in found.get("failed_migrations", ())]
    return {
        "migration": f"Migration {', '.join(failed)}" if failed else "The migrations",
        "candidate": f"The boot of {found.get('service')}",
        "build": f"The build of {', '.join(found.get('workspaces', ()))}",
        "process": f"The start of {found.get('process')}",
    }[str(found["kind"])]


def _circumstances(run: Data) -> str:
    facts = run["facts"]
    snapshot = facts.get("snapshot", {})
    nodes = sorted({str(process["node_version"]) for process in facts.get("processes", ()) if process.get("node_version")})
    failed = [phase for phase in run.get("phases", ()) if phase["status"] == "failed"]
    rows = {
        "From": _release(run.get("from", {})),
        "To": _release(run["to"]),
        "Phase": ", ".join(f"{phase['name']}, {phase['started']} to {phase['finished']}" for phase in failed[:1]),
        "Node.js": ", ".join(nodes),
        "pm2": str(facts.get("pm2_version") or ""),
        "PostgreSQL server": str(snapshot.get("server_version") or ""),
        "Run": str(run["id"]),
    }
    return _table(("what", "value"), [(key, value) for key, value in rows.items() if value])


def _release(release: Data) -> str:
    commit = release.get("commit")
    return f"{release.get('version') or 'no tag'}" + (f" (commit {commit})" if commit else "")


def _failures(found: Data) -> list[str]:
    return [_excerpt(f"What the runner said about {_name(item)}", item["log"]) for item in found.get("failed_migrations", ())]


def _ledgers(found: Data) -> str:
    """What was in the ledgers before, and what had to be in them afterwards."""
    rows = [
        *((f"{ledger}: {_name(row)}", "applied before") for ledger, rows in found["before"].items() for row in rows),
        *((f"{item['ledger']}: {_name(item)}", "applied in this run") for item in found["applied"]),
        *((f"{item['ledger']}: {_name(item)}", "**expected, and missing**") for item in found["pending"]),
        *((f"{item['ledger']}: {_name(item)}", "**not of this release**") for item in found["unknown"]),
    ]
    tries = ", ".join(f"{ledger} {count}" for ledger, count in found["attempts"].items())
    return f"## Ledgers\n\nHow often the programs ran: {tries}.\n\n{_table(('migration', 'state'), rows)}"


def _blockers(found: Data) -> str:
    lines = [f"- {described(wait)}, for {wait['waited_ms'] / 1000:.1f} s" for wait in found["blocked"]]
    return "\n".join(["## Blockers seen in the database", "", *lines]) if lines else ""


def _name(item: Data) -> str:
    return f"{item['plugin']}/{item['name']}" if item.get("plugin") else str(item["name"])


def _table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _excerpt(title: str, log: str | t.Sequence[str]) -> str:
    text = (log if isinstance(log, str) else "\n".join(log)).strip("\n")
    if not text:
        return ""
    # A fence must be longer than any in what it holds (spec.commonmark.org, "Fenced code blocks").
    fence = "`" * max([3, *(len(match) + 1 for match in _FENCE.findall(text))])
    return f"## {title}\n\n{fence}text\n{text}\n{fence}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
