# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the live database hold exactly what a snapshot holds, where no copy of it could be made beside.

All that belongs to no extension is dropped in one transaction and restored in another: the disk space of what is dropped is free only
when that is committed. So whenever this is killed the database is whole or empty, and an empty one is what a killed run has left.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database as database
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore as restore
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import Tools, find_tools
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, rows, statement, value

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._snapshot import Options

_ATTEMPTS = 3
_IN_THE_WAY = (postgres.LOCK_NOT_AVAILABLE, "40P01")  # the latter: a deadlock with a session that came in meanwhile

# What lies in a schema, with its owner. Kept out is what goes or stays with something else: members of extensions, the sequence of
# an identity column, the multirange of a range.
_OBJECTS = """
WITH owned(class, oid, owner) AS (
  SELECT 'pg_class'::regclass, oid, relowner FROM pg_class UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
  UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM pg_type
  UNION ALL SELECT 'pg_collation'::regclass, oid, collowner FROM pg_collation
  UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner FROM pg_conversion
  UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner FROM pg_operator
  UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner FROM pg_opclass
  UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner FROM pg_opfamily
  UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner FROM pg_statistic_ext
  UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner FROM pg_ts_config
  UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner FROM pg_ts_dict
)
SELECT DISTINCT i.type, i.identity, n.nspname::text, pg_get_userbyid(o.owner)::text
FROM pg_depend d JOIN owned o ON o.class = d.classid AND o.oid = d.objid
  CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) i JOIN pg_namespace n ON quote_ident(n.nspname) = i.schema
WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = d.classid AND m.objid = d.objid AND m.deptype IN ('e', 'i')
                  AND m.refobjid <> m.objid)  -- a partitioned table depends on columns of its own
ORDER BY 3, 1, 2
"""

# The last column is whether the schema stays: extensions that stay may be in it, or it is one's member.
_SCHEMAS = """
SELECT nspname::text, pg_get_userbyid(nspowner)::text, nspname = 'public'
       OR EXISTS (SELECT FROM pg_extension WHERE extnamespace = n.oid AND NOT extname = ANY(%(newer)s))
       OR EXISTS (SELECT FROM pg_depend m WHERE m.classid = 'pg_namespace'::regclass AND m.objid = n.oid AND m.deptype = 'e')
FROM pg_namespace n WHERE nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema' ORDER BY 1
"""

_EXTENSIONS = "SELECT extname::text, pg_get_userbyid(extowner)::text, extconfig IS NOT NULL FROM pg_extension ORDER BY 1"

_LARGE_OBJECTS = "SELECT oid, pg_get_userbyid(lomowner)::text FROM pg_largeobject_metadata ORDER BY 1"

# What lies in no schema, and what dropping the objects of all schemas would leave behind. 16384 is the first number of what was made
# after initdb (access/transam.h, FirstNormalObjectId). A cast goes with a type of its own.
_BEYOND = """
SELECT pg_describe_object(class, oid, 0) FROM (
  SELECT 'pg_cast'::regclass, oid FROM pg_cast WHERE castsource < 16384 AND casttarget < 16384
  UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication
  UNION ALL SELECT 'pg_subscription'::regclass, oid FROM pg_subscription
              WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
  UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
  UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
  UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
  UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
  UNION ALL SELECT 'pg_am'::regclass, oid FROM pg_am
  UNION ALL SELECT 'pg_default_acl'::regclass, oid FROM pg_default_acl
  UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
  UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
) beyond(class, oid)
WHERE oid >= 16384
  AND NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = beyond.class AND m.objid = beyond.oid AND m.deptype = 'e')
ORDER BY 1
"""

_END_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
)

# Where the word of DROP is not the type as pg_identify_object() calls it.
_WORDS = {"function": "ROUTINE", "procedure": "ROUTINE", "aggregate": "ROUTINE", "statistics object": "STATISTICS"}


class _Content(t.NamedTuple):
    """What a database holds that would be dropped, and what would stay.

    :param objects: type, identity, schema and owner of each object.
    :param schemas: name and owner of the schemas that go, with all that is in them.
    :param newer: name and owner of the extensions that the snapshot does not know.
    :param staying: kind and name of what of the archive is there already.
    """

    objects: t.Sequence[tuple[str, str, str, str]]
    schemas: t.Sequence[tuple[str, str]]
    large_objects: t.Sequence[tuple[int, str]]
    newer: t.Sequence[tuple[str, str]]
    staying: t.Sequence[str]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to drop: that is what a killed run has left, for no shop is like that."""
        return not (self.objects or self.schemas or self.large_objects)

    def owners(self) -> t.Iterator[tuple[str, str]]:
        yield from ((f"{kind} {identity}", owner) for kind, identity, _schema, owner in self.objects)
        yield from ((f"schema {name}", owner) for name, owner in self.schemas)
        yield from ((f"large object {oid}", owner) for oid, owner in self.large_objects)
        yield from ((f"extension {name}", owner) for name, owner in self.newer)

    def drop(self, connection: Session) -> None:
        for kind, identity, _schema, _owner in self.objects:
            # The identity is quoted by the server. Some are gone with others before.
            connection.execute(f"DROP {_WORDS.get(kind, kind)} IF EXISTS {identity} CASCADE")
        for name, _owner in self.schemas:
            connection.execute(statement("DROP SCHEMA {} CASCADE", name))
        for oid, _owner in self.large_objects:
            connection.execute("SELECT lo_unlink(%s)", [oid])
        for name, _owner in self.newer:
            connection.execute(statement("DROP EXTENSION IF EXISTS {}", name))


def require_possible(target: Target) -> None:
    """See that the role could drop all that is in the database and make it again; only looked at.

    :raises EcommusError: naming what it could not.
    """
    with postgres.session(target) as connection:
        _look(connection)


def plan(target: Target, path: str, keep: str, options: Options) -> tuple[dict[str, t.Any], list[str]]:
    """The manifest of the snapshot *path*, and in what the live database differs from it; nothing is changed.

    The snapshot is read to its end, with its identity where it is encrypted: it is about to be all that there is.

    :param keep: the dump that :func:`revert` makes first. When it says that this was done, what was written since is no difference.
    :raises EcommusError: when the database cannot be reverted.
    """
    manifest = snapshot.verify_checksum(path)
    if manifest["database"] != target.database:
        raise EcommusError(f"{path} is a snapshot of {manifest['database']}, not of {target.database}", "correct the path")
    if keep and (snapshot.load(keep) or {}).get("reverted_to") == path:
        return manifest, []
    if manifest.get("encrypted"):
        _age.check_identity(options.identity_file)
    snapshot.verify(path, options)
    with postgres.session(target) as connection:
        content = _look(connection, manifest["extensions"])
        others = restore.other_facts(connection, manifest, options.require_settings)
    if others:
        raise EcommusError(
            f"{target} differs from the snapshot {path} in what restoring in place does not change: {'; '.join(others)}",
            "ALTER DATABASE, ALTER ROLE ... IN DATABASE, GRANT or REVOKE it back, then run again",
            differences=others,
        )
    differences = restore.compare(target, manifest, require_settings=options.require_settings)
    if keep and differences and not content.empty and snapshot.load(keep) is None:
        snapshot.prepare(target, keep, options)
    return manifest, differences


def revert(target: Target, manifest: t.Mapping[str, t.Any], keep: str, options: Options) -> dict[str, t.Any]:
    """Drop what is in the live database, restore the snapshot into it, and compare the result with its *manifest*.

    The shop must have been stopped: what it writes from the dump on is dropped unseen.

    :param manifest: of :func:`plan`, which found it possible.
    :param keep: where the database is dumped as it is, before; empty to do without.
    :returns: ``database``, ``seconds``, ``rows``, ``warnings``.
    :raises EcommusError: when it fails; ``begun`` of its details says that the database was touched. Running it again goes on.
    """
    started = time.monotonic()
    with postgres.session(target) as connection, contextlib.ExitStack() as stack:
        archive = _Archive(manifest, find_tools(connection.info.server_version // 10000, options.bin_dir, options.path_prefix), options)
        _end_sessions(connection)
        content = _look(connection, manifest["extensions"])
        if keep and not content.empty:
            _keep(target, keep, options)
        listing = stack.enter_context(archive.listing(content.staying))
        _empty(connection, content, archive.script(listing))
        try:
            archive.restore(target, listing)
            connection.execute("ANALYZE")  # a dump carries no planner statistics before PostgreSQL 18
            differences = restore.compare(target, manifest, require_settings=options.require_settings)
            if differences:
                raise EcommusError(
                    f"the database that was restored in place differs from the snapshot {manifest['path']}: {'; '.join(differences[:3])}",
                    "look at the differences; what was in the database before is in the dump that was kept",
                    differences=differences,
                )
        except EcommusError as error:
            error.details["begun"] = True
            raise
    return {
        "database": target.database,
        "seconds": round(time.monotonic() - started, 1),
        "rows": sum(table["rows"] for table in manifest["tables"].values()),
        "warnings": restore.newer_extensions(target, manifest),
    }


def finish(target: Target, keep: str, path: str) -> str:
    """Say in the manifest of the dump *keep* that its database was reverted to *path*; returns *keep* if there is such a dump.

    Before, the sequences are set past what that database had given out: customers know its numbers, and its rows may be carried over.
    """
    known = snapshot.load(keep) if keep else None
    if known is None:
        return ""
    if known.get("reverted_to") != path:
        with postgres.session(target) as connection:
            for name in fingerprint.behind(known["sequences"], fingerprint.sequences(connection)):
                fingerprint.advance(connection, name, known["sequences"][name]["last_value"])
        snapshot.write_manifest(keep, {**known, "reverted_to": path})
    return keep


def _look(connection: Session, extensions: t.Collection[str] | None = None) -> _Content:
    """What the database holds, after seeing that the session's role can drop it and make it again.

    :param extensions: those that the snapshot knows; None: all that are there.
    :raises EcommusError: naming what it cannot.
    """
    there = rows(connection, _EXTENSIONS)
    newer = [(name, owner) for name, owner, _rows in there if extensions is not None and name not in extensions]
    schemas = rows(connection, _SCHEMAS, {"newer": [name for name, _owner in newer]})
    staying = [name for name, _owner, stays in schemas if stays]
    objects = t.cast("list[tuple[str, str, str, str]]", rows(connection, _OBJECTS))
    content = _Content(
        objects=objects,
        schemas=[(name, owner) for name, owner, stays in schemas if not stays],
        large_objects=t.cast("list[tuple[int, str]]", rows(connection, _LARGE_OBJECTS)),
        newer=newer,
        staying=[f"SCHEMA {name}" for name in staying] + [f"EXTENSION {name}" for name, _owner, _rows in there],
    )
    role, superuser = rows(connection, "SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user")[0]
    used = sorted({schema for _kind, _identity, schema, _owner in objects} & set(staying))
    closed = [name for name in used if not value(connection, "SELECT has_schema_privilege(%s, 'CREATE')", [name])]
    if content.schemas and not value(connection, "SELECT has_database_privilege(current_database(), 'CREATE')"):
        closed.append("the database")
    foreign = [f"{what} of {owner}" for what, owner in content.owners() if owner != role and not superuser]
    reasons = [
        *_reason(f"{role} cannot drop what is not its own", foreign),
        *_reason(f"{role} may not create in", closed),
        *_reason("not taken back would be", [str(what) for (what,) in rows(connection, _BEYOND)]),
        *_reason("not taken back would be rows of the extension", [name for name, _owner, rows_of_its_own in there if rows_of_its_own]),
        *_reason("it is held by the prepared transaction", database.prepared(connection, [connection.info.dbname])),
    ]
    if reasons:
        raise EcommusError(
            f"the database {connection.info.dbname} cannot be restored in place: {'; '.join(reasons)}",
            "settle that, or let the snapshot be restored beside it: by a role with CREATEDB (admin_url) and with disk space for a copy",
        )
    return content


def _reason(says: str, found: t.Sequence[str]) -> list[str]:
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return [f"{says} {', '.join(found[:3])}{more}"] if found else []


def _end_sessions(connection: Session) -> None:
    """End the other sessions of this role, among them that of a pg_restore whose parent was killed, before anybody looks what there is."""
    for _attempt in range(50):
        if not rows(connection, _END_SESSIONS):
            return
        time.sleep(0.1)


def _keep(target: Target, keep: str, options: Options) -> None:
    """Dump the database as it is now, unless that was done. An older dump of it steps aside: something was written since."""
    known = snapshot.load(keep)
    if known is not None:
        if not restore.compare(target, snapshot.verify_checksum(keep), require_settings=options.require_settings):
            return
        aside = f"{keep[: -len(snapshot.SUFFIX)]}.{re.sub('[^0-9]', '', known['created'])}{snapshot.SUFFIX}"
        for name, other in zip(snapshot.files_of(keep), snapshot.files_of(aside)):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                os.link(name, other)  # it keeps both names until it is made anew, in case this is killed
    snapshot.create(target, keep, options)


def _empty(connection: Session, content: _Content, script: str) -> None:
    """Drop everything, after the server took *script* on what is left: what the role may not make is known while nothing is lost."""
    for attempts_left in range(_ATTEMPTS - 1, -1, -1):
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = '5s'")
                connection.execute("SET LOCAL client_min_messages = error")
                rows(connection, _END_SESSIONS)  # a lock of theirs is waited for until they are gone
                content.drop(connection)
                with connection.transaction(force_rollback=True):
                    connection.execute(script)
            return
        except postgres.DATABASE_ERRORS as error:
            if getattr(error, "sqlstate", "") not in _IN_THE_WAY or not attempts_left:
                raise


class _Archive:
    """The dump, as pg_restore reads it."""

    def __init__(self, manifest: t.Mapping[str, t.Any], tools: Tools, options: Options) -> None:
        self.manifest, self.tools, self.options = manifest, tools, options

    @contextlib.contextmanager
    def listing(self, staying: t.Sequence[str]) -> t.Iterator[str]:
        """A file with the table of contents, without what is *staying*: such would be there already, and may not be ours to touch."""
        names = "|".join(f"{kind} - {re.escape(name)}" for kind, name in (entry.split(" ", 1) for entry in staying))
        about = "|".join(map(re.escape, staying))
        # 3; 3079 16565 EXTENSION - citext
        # 2770; 0 0 COMMENT - SCHEMA public pg_database_owner
        there = re.compile(rf"\d+; \d+ \d+ (?:(?:{names})|(?:COMMENT|ACL|SECURITY LABEL) - (?:{about})) ")
        lines = self._read("--list").splitlines(keepends=True)
        with tempfile.NamedTemporaryFile("w", prefix="ecommus-toc-", encoding="utf-8") as file:
            file.writelines(line for line in lines if not there.match(line))
            file.flush()
            yield file.name

    def script(self, listing: str) -> str:
        """The SQL that makes all but the rows."""
        # Only psql knows these two, which pg_restore writes since 2025 (CVE-2025-8714).
        return re.sub(r"(?m)^\\(?:un)?restrict \w+$", "", self._read("--schema-only", "--use-list", listing, "--file", "-"))

    def restore(self, target: Target, listing: str) -> None:
        """Restore it into *target*, in a single transaction."""
        with snapshot.content(self.manifest, self.options) as stdin:
            restore.pg_restore(target, self.manifest["path"], self.tools.restore, "", 1, self.options, stdin, ["--use-list", listing])

    def _read(self, *arguments: str) -> str:
        path = self.manifest["path"]
        with snapshot.content(self.manifest, self.options) as stdin:
            source = [path] if stdin is None else []
            answer = run([self.tools.restore, *arguments, *source], env=clean_environment(), timeout=self.options.timeout, stdin=stdin)
        if answer.code != 0:
            raise EcommusError(f"pg_restore cannot read the snapshot {path}: {' '.join(answer.tail(3).split())}", "do not restore from it")
        return answer.output
