# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying the rows that a shop wrote after a snapshot over into the database that the snapshot became.

Everything happens in one transaction of the live database: a killed run has done nothing, and the next one starts anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database as database
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _salvage_find as find
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._files import fsync_directory
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, statement
from ansible_collections.mdlabs.ecommus.plugins.module_utils._salvage_find import Found, Row

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session, Table

# What tells which migrations have run must say what is true of the live schema.
LEDGERS = ("_ecommus_core_migrations", "_ecommus_plugin_migrations")

_FOREIGN_KEY = "23503"
_UNKNOWN_WRITER = "whether the shop or a migration changed it is not known"


class _Overtaken(Exception):
    """The shop has changed a live row since it was compared."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """What to do with what is found.

    :param replay: write into the live database; otherwise only look.
    :param updates: also give rows that were changed their later content, unless :attr:`Found.held` says otherwise.
    :param review: file for the rows that a person has to look at, else empty.
    """

    replay: bool
    updates: bool = False
    review: str = ""
    ledgers: t.Sequence[str] = LEDGERS


def salvage(target: Target, failed: str, path: str, wish: Wish) -> dict[str, t.Any]:
    """Find the rows of *failed* that are newer than the snapshot *path*, and carry over into *target* what fits.

    Rows are found by their key in both databases; those that no transaction touched since are not even looked at. They are
    inserted in the order of the foreign keys, and each that is refused is kept for review instead of ending the run.

    :param path: the snapshot that *target* was restored from; empty when unknown, then every row is compared and deletions are not known.
    :returns: ``changed``, ``tables`` (per table inserted, updated, changed, deleted, by_migration, not_transferable, columns_left_behind),
        ``totals``, ``sequences``.
    :raises EcommusError: when a database or the manifest is missing.
    """
    if failed == target.database:
        raise EcommusError(f"{failed} is the live database", "name the database that was put aside")
    return _between(target.at(failed), target, path, wish)


def at_stake(target: Target, replacement: str, failed: str, path: str, wish: Wish) -> dict[str, t.Any]:
    """What :func:`salvage` would find if the copy *replacement* of the snapshot took the place of *target* now. Only reads.

    Where a run before this one has exchanged them already, *target* is that copy, and *failed* has the rows.

    :raises EcommusError: when a database or the manifest is missing.
    """
    wish = dataclasses.replace(wish, replay=False)
    if replacement == target.database:
        raise EcommusError(f"{replacement} is the live database", "name the copy that is to take its place")
    with postgres.session(target) as connection:
        exchanged = database.exists(connection, failed)
    return salvage(target, failed, path, wish) if exchanged else _between(target, target.at(replacement), path, wish)


def _between(newer: Target, older: Target, path: str, wish: Wish) -> dict[str, t.Any]:
    manifest = (snapshot.load(path) if path else None) or {}
    with postgres.session(newer, autocommit=False) as aside, postgres.session(older, autocommit=False) as live:
        aside.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        live.execute("SET TRANSACTION ISOLATION LEVEL " + ("READ COMMITTED, READ WRITE" if wish.replay else "REPEATABLE READ, READ ONLY"))
        for connection in (aside, live):
            fingerprint.prepare(connection)
        found = _find(aside, live, manifest, wish)
        refused = _replay(live, found, wish) if wish.replay else {}
        if wish.review:
            _write_review(aside, live, found, refused, wish)
        sequences = _advance_sequences(aside, live, wish.replay)
        live.commit()
    return _report(found, refused, sequences, wish)


def _find(aside: Session, live: Session, manifest: t.Mapping[str, t.Any], wish: Wish) -> list[Found]:
    theirs, ours = find.shapes(aside), find.shapes(live)
    ago = find.distance(aside, manifest["xid"]) if manifest else None
    counts = {name: table["rows"] for name, table in manifest.get("tables", {}).items()}
    ledgers = [table for table in theirs if table[1] in wish.ledgers]
    # Each migration enters itself into the ledger in its own transaction. Without a manifest nobody knows which are new.
    known = [(theirs[table], ours.get(table)) for table in ledgers]
    migrations, unsure = find.migrations(aside, live, known, ago) if manifest else (set(), True)
    found = []
    for table in find.in_reference_order(live, set(theirs) - set(ledgers)):
        if table in ours:
            found.append(find.compare(aside, live, theirs[table], ours[table], ago, counts.get(".".join(table)), migrations))
        else:
            found.append(find.only_there(aside, theirs[table], ago, migrations))
    if unsure:
        for each in found:
            each.hold(_UNKNOWN_WRITER)
    return [table for table in found if table.inserted or table.changed or table.held or table.deleted or table.by_migration]


def _replay(live: Session, found: t.Sequence[Found], wish: Wish) -> dict[Table, list[tuple[Row, str]]]:
    """Write what fits; returns per table the rows that were refused, with the reason."""
    live.execute("SET CONSTRAINTS ALL IMMEDIATE")
    waiting: list[tuple[Found, Row, str]] = []
    refused: dict[Table, list[tuple[Row, str]]] = {}
    with _without_triggers(live, [table for table in found if not table.problem]):
        for table in found:
            if table.problem:
                refused[table.table] = [(row, table.problem) for row in table.inserted]
            else:
                waiting += _insert(live, table, table.inserted)
        # What referred to a row of its own or of a later table gets another chance, as long as that helps.
        while True:
            again = [(table, row) for table, row, state in waiting if state.startswith(_FOREIGN_KEY)]
            left = [entry for table, row in again for entry in _insert(live, table, [row])]
            waiting = [entry for entry in waiting if not entry[2].startswith(_FOREIGN_KEY)] + left
            if len(left) == len(again):
                break
        if wish.updates:
            for table in found:
                waiting += _update(live, table)
    for table, row, state in waiting:
        refused.setdefault(table.table, []).append((row, state.partition(" ")[2]))
    return refused


def _insert(live: Session, found: Found, new: t.Sequence[Row]) -> list[tuple[Found, Row, str]]:
    """Insert rows, all at once or, when one is refused, one by one; returns the refused with sqlstate and message."""
    columns, places = ", ".join(["{}"] * len(found.columns)), ", ".join(["%s"] * len(found.columns))
    template = f"INSERT INTO {{}}.{{}} ({columns}) OVERRIDING SYSTEM VALUE VALUES ({places})"  # noqa: S608
    query = statement(template, *found.table, *found.columns)
    return _write(live, found, new, query, lambda row: row.values)


def _update(live: Session, found: Found) -> list[tuple[Found, Row, str]]:
    """Give changed rows their later content, as long as the live row is what it was at the snapshot."""
    others = [name for name in found.columns if name not in found.key]
    template = "UPDATE {}.{} SET " + ", ".join(["{} = %s"] * len(others)) + " WHERE " + " AND ".join(["{} = %s"] * len(found.key))  # noqa: S608
    template += f" AND NOT {find.WRITTEN_SINCE}"
    query = statement(template, *found.table, *others, *found.key)
    places = [found.columns.index(name) for name in (*others, *found.key)]
    return _write(live, found, found.changed, query, lambda row: [row.values[place] for place in places])


def _write(
    live: Session, found: Found, wanted: t.Sequence[Row], query: t.Any, values: t.Callable[[Row], t.Sequence[t.Any]]
) -> list[tuple[Found, Row, str]]:
    if not wanted:
        return []
    try:
        with live.transaction(), live.cursor() as cursor:
            cursor.executemany(query, [values(row) for row in wanted])
            if cursor.rowcount != len(wanted):
                raise _Overtaken
        return []
    except (*postgres.DATABASE_ERRORS, _Overtaken) as error:
        # Who holds a lock holds it against every row: thirty seconds each, and none of them is at fault.
        if live.closed or getattr(error, "sqlstate", "") == postgres.LOCK_NOT_AVAILABLE:
            raise
        if len(wanted) == 1:
            return [(found, wanted[0], f" {find.BOTH_CHANGED}" if isinstance(error, _Overtaken) else postgres.refusal(error))]
    middle = len(wanted) // 2  # halving finds a few bad ones among many in few statements
    return [entry for half in (wanted[:middle], wanted[middle:]) for entry in _write(live, found, half, query, values)]


@contextlib.contextmanager
def _without_triggers(live: Session, found: t.Sequence[Found]) -> t.Iterator[None]:
    """Keep triggers from acting a second time: what they wrote is among the rows that are carried over.

    Part of the transaction: other sessions wait for those tables and never see them without.
    """
    touched = [table.table for table in found if table.triggers and (table.inserted or table.changed)]
    known = [(table, name, mode) for table in touched for name, mode in find.triggers(live, table)]
    for table, name, _mode in known:
        live.execute(statement("ALTER TABLE {}.{} DISABLE TRIGGER {}", *table, name))
    yield
    for table, name, mode in known:
        live.execute(statement(f"ALTER TABLE {{}}.{{}} ENABLE {mode} TRIGGER {{}}", *table, name))


def _advance_sequences(aside: Session, live: Session, replay: bool) -> dict[str, int]:
    """Set the live sequences past what has been given out: numbers that customers have seen are not given out twice."""
    theirs, ours = fingerprint.sequences(aside), fingerprint.sequences(live)
    common = {name: known for name, known in theirs.items() if name in ours}
    advanced = {}
    for name in fingerprint.behind(common, ours):
        advanced[name] = int(common[name]["last_value"])
        if replay:
            fingerprint.advance(live, name, advanced[name])
    return advanced


def _write_review(
    aside: Session, live: Session, found: t.Sequence[Found], refused: t.Mapping[Table, t.Sequence[tuple[Row, str]]], wish: Wish
) -> None:
    """One JSON object per line: table, kind, reason, row. Readable by its owner only: these are customers' data."""
    directory = os.path.dirname(wish.review)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    partial = wish.review + ".partial"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        for table in found:
            kinds = [(aside, *line) for line in _for_review(table, refused.get(table.table, ()), wish)]
            for where, kind, reason, places in [*kinds, (live, "deleted", find.DELETED, table.gone)]:
                for row in find.as_json(where, table.table, places):
                    line = {"table": ".".join(table.table), "kind": kind, "reason": reason, "row": row}
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, wish.review)
    fsync_directory(directory)


def _for_review(table: Found, refused: t.Sequence[tuple[Row, str]], wish: Wish) -> t.Iterator[tuple[str, str, list[str]]]:
    """Kind, reason and places of the rows of a table that a person has to look at."""
    reasons: dict[str, list[str]] = {}
    for row, reason in refused:
        reasons.setdefault(reason, []).append(row.place)
    for reason, places in reasons.items():
        yield "not_transferable", reason, places
    gone = {row.place for row, _reason in refused}
    others = [row.place for row in table.inserted if row.place not in gone]
    changed = [row.place for row in table.changed if row.place not in gone]
    if not wish.replay:
        yield "inserted", table.problem, others
    elif table.lost:
        yield "partial", f"the live table has no {', '.join(table.lost)}", others + (changed if wish.updates else [])
    if not (wish.replay and wish.updates):
        yield "changed", "", changed
    for reason, places in table.held.items():
        yield "changed", reason, places


def _report(
    found: t.Sequence[Found], refused: t.Mapping[Table, t.Sequence[tuple[Row, str]]], sequences: dict[str, int], wish: Wish
) -> dict[str, t.Any]:
    tables = {}
    for table in found:
        bad = {row.place for row, _reason in refused.get(table.table, ())}
        if not wish.replay and table.problem:
            bad = {row.place for row in table.inserted}
        updated = sum(row.place not in bad for row in table.changed) if wish.updates else 0
        tables[".".join(table.table)] = {
            "inserted": sum(row.place not in bad for row in table.inserted),
            "updated": updated,
            "changed": sum(map(len, table.held.values())) + (0 if wish.updates else len(table.changed)),
            "deleted": table.deleted,
            "by_migration": table.by_migration,
            "not_transferable": len(bad),
            "reasons": sorted({reason for _row, reason in refused.get(table.table, ())} | ({table.problem} - {""}))[:5],
            "columns_left_behind": list(table.lost),
        }
    keys = ("inserted", "updated", "changed", "deleted", "by_migration", "not_transferable")
    totals = {key: sum(table[key] or 0 for table in tables.values()) for key in keys}
    written = totals["inserted"] + totals["updated"]
    return {"changed": bool(written or sequences), "tables": tables, "totals": totals, "sequences": sequences}
