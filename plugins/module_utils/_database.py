# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases as a whole: what a dump does not carry (owner, locale, settings, grants), creating and dropping, and who may do it."""

from __future__ import annotations

import contextlib
import re
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, rows, statement, value

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session

# Settings whose value is a list of names; PostgreSQL keeps such a list quoted (src/bin/pg_dump/dumputils.c,
# variable_is_guc_list_quote), all others are single strings.
_LISTS = {"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces"}

_MAINTENANCE = ("postgres", "template1")
LONG_SECONDS = 60  # from here on a transaction is no request of a customer any more
NAME_LIMIT = 63  # bytes of an identifier: NAMEDATALEN - 1


def exists(connection: Session, name: str) -> bool:
    """Whether the server has a database of that name."""
    return bool(value(connection, "SELECT 1 FROM pg_database WHERE datname = %s", [name]))


def facts(connection: Session, name: str) -> dict[str, t.Any]:
    """What belongs to a database and not to its contents: owner, locale, limits, settings, grants, comment. Names, no numbers.

    :raises EcommusError: when there is no such database.
    """
    found = rows(connection, "SELECT to_jsonb(d), pg_get_userbyid(datdba) FROM pg_database d WHERE datname = %s", [name])
    if not found:
        raise EcommusError(f"there is no database {name}", "correct the name")
    row, owner = found[0]
    return {
        "owner": owner,
        "encoding": value(connection, "SELECT pg_encoding_to_char(%s)", [row["encoding"]]),
        "collate": row["datcollate"],
        "ctype": row["datctype"],
        "provider": row.get("datlocprovider", "c"),  # from PostgreSQL 15 on
        "locale": row.get("datlocale", row.get("daticulocale")),  # 17 renamed it
        "icu_rules": row.get("daticurules"),
        "tablespace": value(connection, "SELECT spcname FROM pg_tablespace WHERE oid = %s", [row["dattablespace"]]),
        "connection_limit": row["datconnlimit"],
        "comment": value(connection, "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [name]),
        "settings": [
            [role, setting]
            for role, setting in rows(
                connection,
                "SELECT CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, unnest(setconfig)"
                " FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s ORDER BY 1, 2",
                [name],
            )
        ],
        "grants": [
            [grantee, privilege, grantable]
            for grantee, privilege, grantable in rows(
                connection,
                "SELECT CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, privilege_type, is_grantable"
                " FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE datname = %s ORDER BY 1, 2",
                [name],
            )
        ],
    }


def create(connection: Session, name: str, like: t.Mapping[str, t.Any]) -> None:
    """Create an empty database with owner, encoding, locale and tablespace of the :func:`facts` *like*."""
    words = [statement("CREATE DATABASE {} TEMPLATE template0 OWNER {}", name, like["owner"])]
    options = {"ENCODING": like["encoding"], "LC_COLLATE": like["collate"], "LC_CTYPE": like["ctype"]}
    provider = {"i": "icu", "b": "builtin"}.get(like["provider"])
    if provider:
        options |= {"LOCALE_PROVIDER": provider, f"{provider.upper()}_LOCALE": like["locale"]}
        options |= {"ICU_RULES": like["icu_rules"]} if like["icu_rules"] else {}
    words += [postgres.option(key, text) for key, text in options.items()]
    if like["tablespace"] != "pg_default":
        words.append(statement("TABLESPACE {}", like["tablespace"]))
    connection.execute(postgres.joined(words))


def apply(connection: Session, name: str, like: t.Mapping[str, t.Any], own: t.Mapping[str, Session]) -> list[str]:
    """Give the database *name* the settings, grants, connection limit and comment of the :func:`facts` *like*.

    :param own: sessions of other roles: every role may change its own settings, other roles' only a CREATEROLE one.
    :returns: the settings that these roles may not make, one line each. A superuser must have made them in the source.
    """
    with connection.transaction():
        if like["grants"] != facts(connection, name)["grants"]:
            connection.execute(statement("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}", name, like["owner"]))
            for grantee, privilege, grantable in like["grants"]:
                template = f"GRANT {privilege} ON DATABASE {{}} TO " + ("{}" if grantee else "PUBLIC") + " WITH GRANT OPTION" * grantable
                connection.execute(statement(template, *([name, grantee] if grantee else [name])))
        if like["connection_limit"] != -1:
            connection.execute(statement(f"ALTER DATABASE {{}} CONNECTION LIMIT {int(like['connection_limit'])}", name))
        if like["comment"] is not None:
            connection.execute(postgres.joined([statement("COMMENT ON DATABASE {} IS", name), postgres.literal(like["comment"])]))
    refused = []
    for role, setting in like["settings"]:
        key, _equals, text = setting.partition("=")
        values = [quoted.replace('""', '"') or bare for quoted, bare in _NAMES.findall(text)] if key in _LISTS else [text]
        head = statement("ALTER ROLE {} IN DATABASE {} SET", role, name) if role else statement("ALTER DATABASE {} SET", name)
        try:
            own.get(role, connection).execute(postgres.joined([head, postgres.setting(key, values)]))
        except postgres.DATABASE_ERRORS as error:
            if getattr(error, "sqlstate", "") != postgres.INSUFFICIENT_PRIVILEGE:
                raise
            refused.append(f"{setting}{f' (of role {role})' if role else ''}")
    return refused


_NAMES = re.compile(r'"((?:[^"]|"")*)"|([^,\s"]+)')


def drop(connection: Session, name: str) -> bool:
    """Drop the database *name* and end its sessions; returns whether there was one.

    Not WITH (FORCE): that is refused to ordinary roles while an autovacuum worker, which counts as a superuser's session, is
    in the database. A plain DROP asks autovacuum to leave and waits 5 s (PostgreSQL 17 dbcommands.c, CountOtherDBBackends).
    """
    if not exists(connection, name):
        return False
    for attempts_left in (2, 1, 0):
        end_sessions(connection, [name])
        try:
            connection.execute(statement("DROP DATABASE {}", name))
            break
        except postgres.DATABASE_ERRORS as error:
            if getattr(error, "sqlstate", "") != postgres.OBJECT_IN_USE or not attempts_left:
                raise
    return True


def end_sessions(connection: Session, names: t.Sequence[str]) -> set[int]:
    """End the sessions of all clients in those databases; returns their process ids.

    MATERIALIZED, because otherwise the planner may call the function for sessions of other databases first. Autovacuum's
    have no user and leave by themselves.
    """
    query = """
    WITH found AS MATERIALIZED (SELECT pid FROM pg_stat_activity WHERE datname = ANY(%s) AND usesysid IS NOT NULL)
    SELECT pid FROM found WHERE pg_terminate_backend(pid)
    """
    return {pid for (pid,) in rows(connection, query, [list(names)])}


@contextlib.contextmanager
def maintenance(target: Target, database: str = "") -> t.Iterator[Session]:
    """A session on *target*'s server in a database that is neither the live one nor a copy: no database can be renamed from within.

    :param database: its name; ``postgres``, else ``template1``, unless given.
    """
    names = [database] if database else [name for name in _MAINTENANCE if name != target.database]
    for name in names[:-1]:
        try:
            with postgres.session(target.at(name)):
                pass
        except EcommusError:
            continue
        names = [name]
        break
    with postgres.session(target.at(names[-1])) as connection:
        yield connection


def owner_of(connection: Session, name: str) -> str:
    """Owner of the database *name*.

    :raises EcommusError: when there is no such database.
    """
    owner: str | None = value(connection, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [name])
    if owner is None:
        raise EcommusError(f"there is no database {name}", "correct the name")
    return owner


def rights(connection: Session, owner: str) -> dict[str, t.Any]:
    """What the session's role may do with databases of *owner*, and whether it may create others."""
    query = "SELECT current_user, rolsuper, rolsuper OR rolcreatedb, pg_has_role(%s, 'USAGE') FROM pg_roles WHERE rolname = current_user"
    role, superuser, creates, member = rows(connection, query, [owner])[0]
    return {"role": role, "superuser": superuser, "can_create_database": creates, "is_owner": member, "owner": owner}


def require_rights(connection: Session, owner: str) -> dict[str, t.Any]:
    """The :func:`rights`, sufficient to create, rename and drop databases of *owner*.

    :raises EcommusError: when they are not.
    """
    if not value(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [owner]):
        raise EcommusError(f"the server has no role {owner}, which owned the database", f"CREATE ROLE {owner}, as on the source server")
    found = rights(connection, owner)
    missing = [] if found["can_create_database"] else ["has no CREATEDB"]
    missing += [] if found["is_owner"] else [f"is not a member of the owner {owner}"]
    if missing:
        raise EcommusError(
            f"role {found['role']} {' and '.join(missing)}, so it can neither restore into a new database nor swap databases",
            f"give admin_url a role with CREATEDB that is a member of {owner}, or: ALTER ROLE {found['role']} CREATEDB",
        )
    return found


def state(connection: Session, name: str) -> dict[str, t.Any]:
    """What a preflight wants to know about the server: version, rights, databases with sizes, who holds what open.

    ``bytes`` is None where the role may not connect. Transactions are long from :data:`LONG_SECONDS` on.
    """
    size = "CASE WHEN has_database_privilege(oid, 'CONNECT') AND datconnlimit <> -2 THEN pg_database_size(oid) END"
    return {
        "server_version": value(connection, "SHOW server_version"),
        **rights(connection, owner_of(connection, name)),
        "databases": [
            {"name": database, "owner": owner, "bytes": size_bytes, "allow_connections": allowed}
            for database, owner, size_bytes, allowed in rows(
                connection,
                f"SELECT datname, pg_get_userbyid(datdba), {size}, datallowconn FROM pg_database WHERE NOT datistemplate ORDER BY 1",  # noqa: S608
            )
        ],
        "prepared_transactions": prepared(connection, [name]),
        "long_transactions": [
            {"pid": pid, "role": role, "seconds": seconds, "state": what, "application": application}
            for pid, role, seconds, what, application in rows(
                connection,
                "SELECT pid, usename, extract(epoch FROM now() - xact_start)::float8, state, application_name FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type IS DISTINCT FROM 'autovacuum worker'"  # it yields to who wants its table
                " AND xact_start < now() - %s * interval '1 second' ORDER BY 3 DESC",
                [name, LONG_SECONDS],
            )
        ],
        # Only roles with pg_read_all_settings see it.
        "data_directory": value(connection, "SELECT setting FROM pg_settings WHERE name = 'data_directory'"),
    }


def prepared(connection: Session, names: t.Sequence[str]) -> list[str]:
    """Identifiers of the prepared transactions of those databases; they bar a rename and survive every restart."""
    return [gid for (gid,) in rows(connection, "SELECT gid FROM pg_prepared_xacts WHERE database = ANY(%s) ORDER BY 1", [list(names)])]
