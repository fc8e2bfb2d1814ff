# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the rows that a shop wrote after a snapshot, in the database that was put aside when the snapshot became live again."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import rows, value

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session, Table

_BATCH = 500

# Whether a row of the live database was written since it has its name: the rename has written its row of pg_database.
WRITTEN_SINCE = "age(xmin) < (SELECT age(xmin) FROM pg_database WHERE datname = current_database())"
BOTH_CHANGED = "the live row was changed since the way back as well"
BY_MIGRATION = "a migration changed rows of this table: its values may no longer mean what they meant"
DELETED = "it was deleted, by the shop or by a migration, and is back"

# The key is the primary key, else a unique index that identifies every row.
_SHAPES = """
SELECT n.nspname, c.relname,
  ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
  ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''),
  coalesce((SELECT ARRAY(SELECT attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(att, nth), pg_attribute
                          WHERE attrelid = c.oid AND attnum = k.att AND k.nth <= i.indnkeyatts ORDER BY k.nth)
              FROM pg_index i
             WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
               AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum = ANY(i.indkey) AND NOT attnotnull)
             ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1), '{}'),
  EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'
"""

_REFERENCES = """
SELECT n.nspname, c.relname, fn.nspname, f.relname
FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class f ON f.oid = confrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE contype = 'f'
"""


@dataclasses.dataclass(frozen=True)
class Shape:
    """A table: its columns in order, which of them are computed, what identifies a row (empty: nothing does)."""

    table: Table
    columns: tuple[str, ...]
    generated: frozenset[str]
    key: tuple[str, ...]
    triggers: bool


@dataclasses.dataclass(frozen=True)
class Row:
    """A row as text. ``place`` is its ctid, ``transaction`` its xmin in the database that was put aside."""

    place: str
    transaction: str
    values: tuple[t.Optional[str], ...]  # noqa: UP045  (evaluated at run time, on Python 3.9 too)


@dataclasses.dataclass
class Found:
    """What a table holds that the live one does not. ``columns`` are those that both have and that can be written.

    :param lost: columns that only the database put aside has.
    :param held: further rows that were changed, but may not be given their later content: their places, by the reason.
    :param by_migration: rows that a migration added or changed, not the shop.
    :param deleted: rows that were gone; None when it cannot be known. *gone* has their places in the live table.
    :param problem: why none of its rows can be transferred, else empty.
    """

    table: Table
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    triggers: bool = False
    lost: tuple[str, ...] = ()
    inserted: list[Row] = dataclasses.field(default_factory=list)
    changed: list[Row] = dataclasses.field(default_factory=list)
    held: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    by_migration: int = 0
    deleted: t.Optional[int] = None  # noqa: UP045
    gone: list[str] = dataclasses.field(default_factory=list)
    problem: str = ""

    def hold(self, reason: str) -> None:
        """Leave all changed rows as they were at the snapshot."""
        if self.changed:
            self.held.setdefault(reason, []).extend(row.place for row in self.changed)
            self.changed = []


def shapes(connection: Session) -> dict[Table, Shape]:
    """Every table whose rows a dump carries."""
    known = set(fingerprint.table_names(connection))
    return {
        (schema, name): Shape((schema, name), tuple(columns), frozenset(generated), tuple(key), triggers)
        for schema, name, columns, generated, key, triggers in rows(connection, _SHAPES)
        if (schema, name) in known
    }


def triggers(connection: Session, table: Table) -> list[tuple[str, str]]:
    """Name and mode (empty, ``ALWAYS`` or ``REPLICA``) of the triggers of *table* that are not off."""
    query = (
        "SELECT tgname, CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END FROM pg_trigger"
        " JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE nspname = %s AND relname = %s AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1"
    )
    return list(rows(connection, query, table))


def in_reference_order(connection: Session, tables: t.Collection[Table]) -> list[Table]:
    """*tables* so that what is referred to comes first; circles are broken anywhere, rows are tried again anyway."""
    references: dict[Table, set[Table]] = {}
    for schema, name, other_schema, other in rows(connection, _REFERENCES):
        references.setdefault((schema, name), set()).add((other_schema, other))
    ordered: list[Table] = []
    seen: set[Table] = set()

    def visit(table: Table) -> None:
        if table not in seen:
            seen.add(table)
            for other in sorted(references.get(table, ())):
                visit(other)
            ordered.append(table)

    for table in sorted(tables):
        visit(table)
    return [table for table in ordered if table in tables]


def distance(connection: Session, xid: str) -> int | None:
    """How many transactions before this one *xid* was, as age() counts; None when that is too far for the 32 bits of a row's xmin.

    age() counts from a transaction that is fixed while ours lasts but whose number it does not tell, so that is found first.
    """
    newest, age = rows(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, age('3'::xid)")[0]
    newest += (age + 3 - newest + 2**31) % 2**32 - 2**31
    ago = int(newest) - int(xid)
    return ago if 0 <= ago < 2**31 else None


def migrations(aside: Session, live: Session, ledgers: t.Sequence[tuple[Shape, Shape | None]], ago: int | None) -> tuple[set[str], bool]:
    """The transactions of the migrations that were run since, by the ledgers' own rows; and whether a dump was restored since.

    :param ledgers: each as it is there and, where there is one, as it is in the live database.

    A transaction that also wrote rows which the live ledgers have ran no migration: it restored a dump, for a way back before this
    one, and may have written every row that the shop had by then (pg_restore --single-transaction).
    """
    added: set[str] = set()
    restored: set[str] = set()
    for theirs, ours in ledgers:
        columns = tuple(name for name in theirs.columns if ours and name in ours.columns)
        known = {row.values for batch in read(live, theirs.table, columns) for row in batch} if columns else set()
        for batch in read(aside, theirs.table, columns, _since(ago)):
            for row in batch:
                (restored if row.values in known else added).add(row.transaction)
    return added - restored, bool(restored)


def compare(aside: Session, live: Session, theirs: Shape, ours: Shape, ago: int | None, before: int | None, migrations: set[str]) -> Found:
    """Compare one table. Rows that no transaction touched since the snapshot are skipped by their xmin, without a look at the live one.

    :param ago: see :func:`distance`.
    :param before: rows at the snapshot, from the manifest.
    :param migrations: transactions of migrations, by the ledgers' own rows.
    """
    columns = tuple(name for name in theirs.columns if name in ours.columns and name not in ours.generated)
    key = ours.key if set(ours.key) <= set(columns) else ()
    lost = tuple(name for name in theirs.columns if name not in ours.columns)
    found = Found(theirs.table, columns, key, ours.triggers, lost)
    total = int(value(aside, postgres.statement("SELECT count(*) FROM ONLY {}.{}", *theirs.table)))
    if not key:
        _compare_without_key(aside, live, found, ago, before, total, migrations)
        return found
    touched_by_migration: set[str] = set()  # transactions of migrations that changed old rows here: a backfill
    differ: list[str] = []  # of what they touched, the places of the rows that are not what they were
    spared = False  # whether they touched others without a change to these columns
    carried = 0  # rows that a run before this one has carried over
    for batch in read(aside, theirs.table, columns, _since(ago)):
        known = _look_up(live, found, batch)
        for row in batch:
            mine, written_since = known.get(_key_of(found, row.values), (None, False))
            if mine is None:
                found.inserted.append(row)
            elif row.transaction in migrations:
                touched_by_migration.add(row.transaction)
                spared = spared or mine == row.values
                differ += [row.place] * (mine != row.values)
            elif mine == row.values:
                carried += written_since
            elif written_since:
                found.held.setdefault(BOTH_CHANGED, []).append(row.place)
            else:
                found.changed.append(row)
    _settle(found, differ, spared)
    if before is not None:
        found.gone = _gone(aside, live, found) if before + len(found.inserted) + carried > total else []
        found.deleted = len(found.gone)
    # A migration that only added rows here wrote its own; the next upgrade will write them again. One that changed old rows
    # changed the shop's new ones with them, and these must not be lost.
    added = migrations - touched_by_migration
    kept = [row for row in found.inserted if row.transaction not in added]
    found.by_migration += len(found.inserted) - len(kept)
    found.inserted = kept
    return found


def _settle(found: Found, differ: list[str], spared: bool) -> None:
    """Decide whose the rows are that a migration touched and that are not what they were, and what that means for the others."""
    if differ:
        found.hold(BY_MIGRATION)
    if differ and spared:  # a backfill of new columns may have passed over rows that the shop had changed before
        found.held.setdefault(BY_MIGRATION, []).extend(differ)
    else:
        found.by_migration = len(differ)


def only_there(aside: Session, theirs: Shape, ago: int | None, migrations: set[str]) -> Found:
    """The rows of a table that the live database does not have."""
    found = Found(theirs.table, theirs.columns, problem="the snapshot has no such table")
    for batch in read(aside, theirs.table, theirs.columns, _since(ago)):
        found.inserted += [row for row in batch if row.transaction not in migrations]
    return found


def read(connection: Session, table: Table, columns: t.Sequence[str], where: str = "") -> t.Iterator[list[Row]]:
    """The rows, in batches, every value as text."""
    wanted = "".join(", {}::text" for _name in columns)
    query = postgres.statement("SELECT ctid::text, xmin::text" + wanted + " FROM ONLY {}.{}" + where, *columns, *table)  # noqa: S608
    with connection.cursor(name="ecommus_rows") as cursor:
        cursor.execute(query)
        while batch := cursor.fetchmany(_BATCH):
            yield [Row(place, xmin, tuple(values)) for place, xmin, *values in batch]


def as_json(connection: Session, table: Table, places: t.Sequence[str]) -> t.Iterator[t.Any]:
    """Whole rows by their places, for a person to read."""
    for start in range(0, len(places), _BATCH):
        query = postgres.statement('SELECT to_jsonb("ecommus row".*) FROM ONLY {}.{} AS "ecommus row" WHERE ctid = ANY(%s::tid[])', *table)
        for (row,) in rows(connection, query, [list(places[start : start + _BATCH])]):
            yield row


def _since(ago: int | None) -> str:
    return "" if ago is None else f" WHERE age(xmin) <= {int(ago)}"


def _compare_without_key(
    aside: Session, live: Session, found: Found, ago: int | None, before: int | None, total: int, migrations: set[str]
) -> None:
    """Carry rows over only when it is certain that all new ones were added: nothing else tells added from changed ones."""
    here = fingerprint.content(live, found.table, found.columns)
    if fingerprint.content(aside, found.table, found.columns, migrations) == here:
        return  # nothing was written, or a run before this one has carried it over
    written = [row for batch in read(aside, found.table, found.columns, _since(ago)) for row in batch]
    found.inserted = [row for row in written if row.transaction not in migrations]
    found.by_migration = len(written) - len(found.inserted)
    if before is None:
        found.problem = "its rows have no key, and their number at the snapshot is not known"
    elif total - len(written) == before == here[0]:
        found.deleted = 0
    else:
        found.problem = "its rows have no key, and some were changed or deleted"


def _gone(aside: Session, live: Session, found: Found) -> list[str]:
    """The places of the live rows that are not in the database put aside any more."""
    keys = dataclasses.replace(found, columns=found.key)
    places: list[str] = []
    for batch in read(live, found.table, found.key, f" WHERE NOT {WRITTEN_SINCE}"):
        known = _look_up(aside, keys, batch)
        places += [row.place for row in batch if row.values not in known]
    return places


def _look_up(there: Session, found: Found, batch: list[Row]) -> dict[tuple[str | None, ...], tuple[tuple[str | None, ...], bool]]:
    """The rows with the keys of *batch*, as text by key, each with what :data:`WRITTEN_SINCE` says of it."""
    one = "(" + ", ".join(["%s"] * len(found.key)) + ")"
    template = f"SELECT {WRITTEN_SINCE}, " + ", ".join(["{}::text"] * len(found.columns)) + " FROM ONLY {}.{} WHERE ("  # noqa: S608
    template += ", ".join(["{}"] * len(found.key)) + ") IN (" + ", ".join([one] * len(batch)) + ")"
    query = postgres.statement(template, *found.columns, *found.table, *found.key)
    keys = [part for row in batch for part in _key_of(found, row.values)]
    return {_key_of(found, values): (tuple(values), since) for since, *values in rows(there, query, keys)}


def _key_of(found: Found, values: t.Sequence[str | None]) -> tuple[str | None, ...]:
    return tuple(values[found.columns.index(name)] for name in found.key)
