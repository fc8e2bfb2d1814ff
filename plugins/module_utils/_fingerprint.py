# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a database, as numbers that can be compared with those of another one."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session, Table

# A row's text depends on these; both sides of a comparison read it the same way. Row security must fail, not hide rows.
_READING = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "search_path": "",
    "row_security": "off",
}

# Ordinary tables and partitions with rows of their own, that pg_dump dumps: not those that belong to an extension.
_TABLES = """
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""

_SEQUENCES = """
SELECT schemaname || '.' || sequencename, last_value, increment_by FROM pg_catalog.pg_sequences
WHERE schemaname NOT LIKE 'pg\\_%' ORDER BY 1
"""

# numeric: the sum may lie beyond bigint before it is cut to what the sequence can give out.
_ADVANCE = """
SELECT setval(seqrelid::regclass, CASE WHEN seqincrement > 0 THEN least(reserved, seqmax) ELSE greatest(reserved, seqmin) END::bigint)
FROM (SELECT *, %(last)s::numeric + seqincrement::numeric * %(reserve)s AS reserved FROM pg_sequence) s
JOIN pg_class c ON c.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname || '.' || relname = %(name)s
"""

# A backend reports what it wrote before it leaves pg_stat_activity (PostgreSQL 17 pgstat.c, pgstat_shutdown_hook), so with nobody
# else there the counters are complete. TRUNCATE and whatever rewrites a table change its file instead.
_WRITES = """
SELECT s.schemaname, s.relname, s.relid::int8, pg_relation_filenode(s.relid)::int8, n_tup_ins, n_tup_upd, n_tup_del
FROM pg_catalog.pg_stat_all_tables s
WHERE (s.schemaname NOT LIKE 'pg\\_%' OR s.relname = 'pg_largeobject') AND current_setting('track_counts')::bool
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend')
ORDER BY 1, 2
"""

# Who owns what and who may do what, one line per object. Definitions are left out on purpose: PostgreSQL prints some
# (CHECK with IN) differently after a dump and restore. An access list that is absent means the built-in default.
_STRUCTURE = """
WITH objects(kind, class, oid, name, owner, acl) AS (
  SELECT 'schema', 'pg_namespace'::regclass, oid, nspname::text, nspowner, coalesce(nspacl, acldefault('n', nspowner))
    FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL
  SELECT 'relation ' || relkind::text, 'pg_class'::regclass, c.oid, n.nspname || '.' || relname, relowner,
         coalesce(relacl, acldefault((CASE relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", relowner))
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE relpersistence <> 't' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL
  SELECT 'function', 'pg_proc'::regclass, p.oid, n.nspname || '.' || proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
         proowner, coalesce(proacl, acldefault('f', proowner))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL
  SELECT 'type', 'pg_type'::regclass, y.oid, n.nspname || '.' || typname || coalesce(' ' || (
           SELECT string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = y.oid), ''),
         typowner, coalesce(typacl, acldefault('T', typowner))
    FROM pg_type y JOIN pg_namespace n ON n.oid = typnamespace
   WHERE typtype IN ('e', 'd', 'r') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL
  SELECT 'column', 'pg_class'::regclass, c.oid, n.nspname || '.' || relname || '.' || attname || ' ' || format_type(atttypid, atttypmod)
         || CASE WHEN attnotnull THEN ' not null' ELSE '' END || attidentity::text || attgenerated::text, NULL, attacl
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
   WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'p', 'v', 'm') AND relpersistence <> 't'
     AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL
  SELECT 'constraint', 'pg_class'::regclass, conrelid,
         conrelid::regclass || ' ' || conname || ' ' || contype::text || convalidated::text, NULL, NULL
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace
   WHERE contype <> 'n' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  UNION ALL
  SELECT 'trigger', 'pg_class'::regclass, tgrelid, tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text, NULL, NULL
    FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL
  SELECT 'policy', 'pg_class'::regclass, polrelid, polrelid::regclass || ' ' || polname, NULL, NULL FROM pg_policy
  UNION ALL
  SELECT 'extension', 'pg_extension'::regclass, oid, extname::text, NULL, NULL FROM pg_extension
)
SELECT kind, name || coalesce(' owner=' || pg_get_userbyid(owner), '') || coalesce((
         SELECT ' ' || string_agg(CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(grantee) END || '=' || privilege_type
                                  || CASE WHEN is_grantable THEN '*' ELSE '' END, ' ' ORDER BY grantee = 0,
                                  CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, privilege_type)
           FROM aclexplode(acl)), '')
FROM objects o
WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""


def prepare(connection: Session) -> None:
    """Pin the settings that decide how a row reads as text, until the transaction ends."""
    for name, value in _READING.items():
        postgres.rows(connection, "SELECT set_config(%s, %s, true)", [name, value])


def table_names(connection: Session) -> list[Table]:
    """Schema and name of every table whose rows a dump carries."""
    return list(postgres.rows(connection, _TABLES))


def tables(connection: Session) -> dict[str, dict[str, t.Any]]:
    """Per table ``rows`` and ``hash``: the sum of a 64 bit hash of every row's text.

    A sum does not depend on the order of the rows, needs no sort and no memory, and counts equal rows. One pass per table.
    Call it in a transaction; see :func:`prepare`.
    """
    prepare(connection)
    found = {}
    for schema, name in table_names(connection):
        count, total = content(connection, (schema, name))
        found[f"{schema}.{name}"] = {"rows": count, "hash": total}
    blobs = postgres.rows(
        connection,
        "SELECT count(*), coalesce(sum(hashtextextended(oid::text || encode(sha256(lo_get(oid)), 'hex'), 0)::numeric), 0)::text"
        " FROM pg_catalog.pg_largeobject_metadata",
    )[0]
    if blobs[0]:
        found["large objects"] = {"rows": blobs[0], "hash": blobs[1]}
    return found


def content(connection: Session, table: Table, columns: t.Sequence[str] = (), without: t.Collection[str] = ()) -> tuple[int, str]:
    """Number and hash of the rows of one table, of all its columns or of those named.

    :param without: transactions (xmin) whose rows are left out.
    """
    row = ", ".join(["{}"] * len(columns)) or '"ecommus row".*'
    template = f'SELECT count(*), coalesce(sum(hashtextextended(ROW({row})::text COLLATE "C", 0)::numeric), 0)::text'
    template += ' FROM ONLY {}.{} AS "ecommus row"' + " WHERE NOT xmin::text = ANY(%s)" * bool(without)
    query = postgres.statement(template, *columns, *table)
    count, total = postgres.rows(connection, query, [list(without)] if without else None)[0]
    return count, total


def sequences(connection: Session) -> dict[str, dict[str, t.Any]]:
    """Per sequence ``last_value`` (None before its first use) and ``increment``. They do not obey snapshots."""
    query = _SEQUENCES
    return {name: {"last_value": last, "increment": step} for name, last, step in postgres.rows(connection, query)}


def seal(connection: Session) -> str:
    """What stays the same as long as nobody writes a row into the database; empty when that cannot be told now.

    Costs as many looks as there are tables, whatever their size. After a crash of the server it is another one.
    """
    writes = postgres.rows(connection, _WRITES)
    return digest(writes) if writes else ""


def structure(connection: Session) -> dict[str, dict[str, t.Any]]:
    """Per kind of object ``count`` and ``hash`` over names, owners and grants."""
    prepare(connection)
    kinds: dict[str, list[str]] = {}
    for kind, line in postgres.rows(connection, _STRUCTURE):
        kinds.setdefault(kind, []).append(line)
    return {kind: {"count": len(lines), "hash": digest(sorted(lines))} for kind, lines in kinds.items()}


def digest(content: t.Any) -> str:
    """SHA-256 of JSON content: equal content, equal digest."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def differences(expected: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> list[str]:
    """What differs between two maps of tables or kinds, one line each, empty when nothing does."""
    lines = [f"{name} is missing" for name in expected if name not in found]
    lines += [f"{name} was not there" for name in found if name not in expected]
    for name in expected:
        if name in found and expected[name] != found[name]:
            before, after = (
                " ".join(f"{key}={value}" for key, value in side.items() if key != "hash") for side in (expected[name], found[name])
            )
            lines.append(f"{name}: {before} became {after}" if before != after else f"{name}: same number, other content")
    return sorted(lines)


def behind(expected: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any]) -> dict[str, int | None]:
    """Sequences of *found* that would give out a value which *expected* has already given out, each with its last value."""
    late = {}
    for name, before in expected.items():
        last = found.get(name, {}).get("last_value")
        if before["last_value"] is not None and (last is None or (last - before["last_value"]) * before["increment"] < 0):
            late[name] = last
    return late


def advance(connection: Session, name: str, last: int, reserve: int = 0) -> None:
    """Set the sequence *name* as if it had given out *last* and *reserve* values more, as far as it goes."""
    connection.execute(_ADVANCE, {"name": name, "last": last, "reserve": reserve})
