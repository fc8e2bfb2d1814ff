# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a snapshot into a new database beside the live one, and proving that it is equal to what was dumped."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database as database
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import find_tools, gently
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, statement

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._snapshot import Options

# A database carries this at the end of its name until it is proven: what a killed run left is told apart by its name.
PARTIAL = "__partial"

# Dump and indexes against the size of the source, which is bloated: 1.0 was never exceeded; 1.1 keeps a margin.
_SIZE_RATIO = 1.1


def default_jobs() -> int:
    """Parallel jobs: one core stays with the shop."""
    return max(1, (os.cpu_count() or 2) - 1)


def plan(target: Target, admin: Target, path: str, name: str, options: Options) -> dict[str, t.Any] | None:
    """See whether *path* can be restored into *name*, without changing anything; the checks are cheap ones.

    :returns: the manifest, or None when *name* already is that copy.
    :raises EcommusError: when it cannot.
    """
    manifest = snapshot.load(path) or snapshot.verify_checksum(path)
    if name in (target.database, admin.database, manifest["database"]):
        raise EcommusError(f"{name} is a live database: a snapshot is restored beside it, not over it", "choose another target_database")
    if len((name + PARTIAL).encode()) > database.NAME_LIMIT:
        raise EcommusError(f"the name {name} is too long", f"use at most {database.NAME_LIMIT - len(PARTIAL)} bytes")
    with database.maintenance(admin) as connection:
        rights = database.require_rights(connection, manifest["facts"]["owner"])
        if database.exists(connection, name):
            role = _acting_role(rights)
            found = compare(admin.at(name), manifest, role, options.require_settings, sealed=manifest.get("copies", {}).get(name, ""))
            if not found:
                return None
            raise EcommusError(
                f"the database {name} exists and is not a copy of the snapshot {path}: {'; '.join(found[:3])}",
                "choose another target_database, or remove it (state=absent)",
                differences=found,
            )
        state = database.state(connection, connection.info.dbname)
    if manifest.get("encrypted"):
        _age.check_identity(options.identity_file)
    require_room(admin, state["data_directory"], manifest["database_bytes"])
    return manifest


def require_room(admin: Target, data_directory: str | None, database_bytes: int) -> bool:
    """See that a copy of a database of that size fits on the server's disk.

    :param data_directory: of the server; None where the role may not see it.
    :returns: whether it could be seen at all: on a server elsewhere it cannot.
    :raises EcommusError: when the copy does not fit.
    """
    if not data_directory or not _is_local(admin) or not os.path.isdir(data_directory):
        return False
    snapshot.check_space(data_directory, copy_bytes(database_bytes))
    return True


def copy_bytes(database_bytes: int) -> int:
    """Room that a copy of a database of that size takes at most."""
    return int(database_bytes * _SIZE_RATIO)


def restore(target: Target, admin: Target, path: str, name: str, jobs: int, options: Options) -> dict[str, t.Any]:
    """Restore the snapshot *path* into the new database *name*, and compare the result with the manifest.

    It is made under another name and renamed when it is proven, so a database called *name* is always a whole one. When
    anything fails, the half-made database is dropped.

    :param admin: the role that creates the database; the objects belong to whom they belonged anyway.
    :returns: ``database``, ``seconds``, ``rows``, ``warnings``.
    :raises EcommusError: when it fails or differs.
    """
    started = time.monotonic()
    manifest = snapshot.verify_checksum(path)
    partial = name + PARTIAL
    facts = manifest["facts"]
    with database.maintenance(admin) as connection:
        rights = database.require_rights(connection, facts["owner"])
        tools = find_tools(connection.info.server_version // 10000, options.bin_dir, options.path_prefix)
        role = _acting_role(rights)
        database.drop(connection, partial)
        try:
            database.create(connection, partial, facts)
            with snapshot.content(manifest, options) as stdin:
                pg_restore(admin.at(partial), path, tools.restore, role, jobs, options, stdin)
            with _own_session(target, admin, connection) as own:
                refused = database.apply(connection, partial, facts, own)
            if refused and options.require_settings:
                raise EcommusError(
                    f"role {rights['role']} may not give the copy the settings of the source: {'; '.join(refused)}",
                    "give admin_url a superuser's role, GRANT SET ON PARAMETER, or do without them: require_settings: false",
                    settings=refused,
                )
            with postgres.session(admin.at(partial)) as inside:
                _act_as(inside, role)
                inside.execute("ANALYZE")  # a dump carries no planner statistics before PostgreSQL 18
            found = compare(admin.at(partial), manifest, role, options.require_settings)
            if found:
                raise EcommusError(
                    f"the restored database differs from the snapshot {path}: {'; '.join(found[:3])}",
                    "do not rely on this snapshot; look at the differences, or use admin_url with a superuser's role",
                    differences=found,
                )
            with postgres.session(admin.at(partial)) as inside:
                snapshot.note_copy(path, name, fingerprint.seal(inside))
            connection.execute(statement("ALTER DATABASE {} RENAME TO {}", partial, name))
        except BaseException:
            with contextlib.suppress(EcommusError, *postgres.DATABASE_ERRORS):
                _drop_again(admin, partial)
            raise
    return {
        "database": name,
        "seconds": round(time.monotonic() - started, 1),
        "rows": sum(table["rows"] for table in manifest["tables"].values()),
        "warnings": [f"setting not carried over: {line}" for line in refused] + newer_extensions(admin.at(name), manifest),
    }


def compare(target: Target, manifest: t.Mapping[str, t.Any], role: str = "", require_settings: bool = True, sealed: str = "") -> list[str]:
    """How the database differs from the one that was dumped: rows, sequences, owners, grants, settings. Empty: not at all.

    :param sealed: the seal that it had when its rows were proven; they are not read again when it still has it.
    """
    with postgres.session(target, autocommit=False) as connection:
        _act_as(connection, role)
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        lines = other_facts(connection, manifest, require_settings)
        lines += fingerprint.differences(manifest["structure"], fingerprint.structure(connection))
        drawn = manifest["sequences"]
        late = fingerprint.behind(drawn, fingerprint.sequences(connection))
        lines += [f"sequence {name}: {drawn[name]['last_value']} became {last}" for name, last in late.items()]
        if not sealed or fingerprint.seal(connection) != sealed:
            lines += fingerprint.differences(manifest["tables"], fingerprint.tables(connection))
        return lines


def other_facts(connection: Session, manifest: t.Mapping[str, t.Any], require_settings: bool = True) -> list[str]:
    """How the session's database differs from the one that was dumped in what no dump carries: see :func:`_database.facts`."""
    facts = database.facts(connection, connection.info.dbname)
    return [
        f"{key}: {known!r} became {facts.get(key)!r}"
        for key, known in manifest["facts"].items()
        if facts.get(key) != known and (key != "settings" or require_settings)
    ]


def pg_restore(
    target: Target, path: str, program: str, role: str, jobs: int, options: Options, stdin: int | None, arguments: t.Sequence[str] = ()
) -> None:
    """Run *program*, a pg_restore, with *arguments* more.

    :param role: whom it becomes; empty for whoever logs in.
    :param stdin: where the dump is read from, if not from the file *path*.
    :raises EcommusError: when it fails.
    """
    argv = [program, "--exit-on-error", "--no-password", "--dbname", target.database]
    # Parallel jobs must find their place in a file; a pipe is read once, from front to end.
    argv += ["--single-transaction"] if jobs == 1 or stdin is not None else ["--jobs", str(jobs)]
    argv += [*(["--role", role] if role else []), *arguments]
    with target.environment(options.path_prefix, "ecommus pg_restore") as env:
        source = [path] if stdin is None else []
        answer = run(gently([*argv, *source]), env=env, timeout=options.timeout, secrets=target.secrets, stdin=stdin)
    if answer.code != 0:
        text = " ".join(answer.tail(4).split())
        if "No space left" in text:
            raise EcommusError(f"the database server's disk filled up during the restore: {text}", "free disk space on the database server")
        remedy = "look at what it says; objects of several owners, or extensions, may need admin_url with a superuser's role"
        raise EcommusError(f"pg_restore failed with exit code {answer.code}: {text}", remedy)


def _acting_role(rights: t.Mapping[str, t.Any]) -> str:
    """The role to become, so that new objects belong to the owner: none for the owner itself and for superusers.

    A superuser keeps its rights (extensions may need them); what it creates is handed over by the archive's ALTER ... OWNER.
    """
    return "" if rights["superuser"] or rights["role"] == rights["owner"] else str(rights["owner"])


def _act_as(connection: Session, role: str) -> None:
    if role:
        connection.execute(statement("SET ROLE {}", role))


@contextlib.contextmanager
def _own_session(target: Target, admin: Target, connection: Session) -> t.Iterator[dict[str, Session]]:
    """The shop's own session by role name: another role may not change its settings, unless it is allowed to alter roles."""
    user = target.parameters.get("user", "")
    if target == admin or not user:
        yield {}
    else:
        with postgres.session(target) as own:
            yield {user: own}


def _drop_again(admin: Target, name: str) -> None:
    # A session of its own: the one that failed may be the one that broke.
    with database.maintenance(admin) as connection:
        database.drop(connection, name)


def newer_extensions(target: Target, manifest: t.Mapping[str, t.Any]) -> list[str]:
    with postgres.session(target) as connection:
        now = dict(postgres.rows(connection, "SELECT extname, extversion FROM pg_extension"))
    return [
        f"extension {name} was {version} in the source and is {now[name]} in the copy"
        for name, version in manifest["extensions"].items()
        if now.get(name, version) != version
    ]


def _is_local(target: Target) -> bool:
    host = target.parameters.get("host", "")
    return host == "" or host.startswith(("/", "127.")) or host in ("localhost", "::1")
