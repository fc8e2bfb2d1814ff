# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a database: made so that a half-written one cannot be mistaken for one, and never trusted without reading it.

A snapshot is ``<name>.dump`` (pg_dump's custom format) and ``<name>.manifest.json`` beside it. The manifest is written
last: without it there is no snapshot. An encrypted one is ``<name>.dump.age``; the manifest says so, and size and SHA-256 are then its.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import hashlib
import json
import os
import threading
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age, _clock
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database as database
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint as fingerprint
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres as postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result, clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._files import fsync_directory, write_json
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import Tools, find_tools, gently, newest_tools
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target, rows, value

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session

FORMAT = 1
SUFFIX = ".dump"
ENCRYPTED = ".age"

# A compressed dump took 0.12 to 0.17 of the table bytes of shops with jsonb and text; incompressible content takes more.
DUMP_RATIO = 0.5

# A file system must keep this much, whatever we do on it: a tenth, on big ones 1 GiB.
_RESERVE_SHARE, _RESERVE_BYTES = 0.1, 2**30

_CHUNK = 2**20


class Options(t.NamedTuple):
    """How client programs are found and run.

    :param compress: pg_dump's ``--compress``; ``auto`` is zstd:1 where the programs have it (16 on), else gzip 1.
    :param timeout: seconds for one program.
    :param lock_timeout: seconds that pg_dump waits for a lock.
    :param dump_ratio: expected size of the dump as a share of the tables'.
    :param require_settings: whether a copy that lacks settings, which the role may not make, is a failure.
    :param recipients: public keys to encrypt a snapshot to.
    :param identity_file: what decrypts it.
    :param ship: the command that takes it off the host, with ``{path}`` for the file.
    """

    bin_dir: str = ""
    path_prefix: t.Sequence[str] = ()
    compress: str = "auto"
    timeout: float = 3600.0
    lock_timeout: float = 30.0
    dump_ratio: float = DUMP_RATIO
    require_settings: bool = True
    recipients: t.Sequence[str] = ()
    identity_file: str = ""
    ship: t.Sequence[str] = ()


def manifest_path(path: str) -> str:
    """Where the manifest of the snapshot *path* lies.

    :raises EcommusError: when *path* does not end in ``.dump``.
    """
    if not path.endswith(SUFFIX) or not os.path.isabs(path):
        raise EcommusError(f"{path} is no path of a snapshot", f"give an absolute path that ends in {SUFFIX}")
    return path[: -len(SUFFIX)] + ".manifest.json"


def load(path: str) -> dict[str, t.Any] | None:
    """The manifest of the snapshot at *path*, None where there is none.

    :raises EcommusError: when it cannot be read or understood.
    """
    name = manifest_path(path)
    remedy = "restore the file, or remove the snapshot (state=absent) and make another"
    try:
        with open(name, encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EcommusError(f"the manifest {name} cannot be read: {error}", remedy) from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise EcommusError(f"the manifest {name} is not of format {FORMAT}", remedy)
    return {**found, "path": path, "file": path + ENCRYPTED if found.get("encrypted") else path}


def verify(path: str, options: Options) -> dict[str, t.Any]:
    """Read a whole snapshot and compare it with its manifest; returns the manifest.

    Size and SHA-256 find what happened since it was written. Reading every block through pg_restore finds what was wrong
    from the start; ``pg_restore --list`` reads only the table of contents in front and accepts a dump that was cut off.

    An encrypted one was read through before; without its identity only size and SHA-256 are compared.

    :raises EcommusError: when it is missing, incomplete or damaged.
    """
    manifest = verify_checksum(path)
    if not manifest.get("encrypted") or options.identity_file:
        with content(manifest, options) as stdin:
            read_through(path, newest_tools(options.bin_dir, options.path_prefix), options.timeout, stdin)
    return manifest


def content(manifest: t.Mapping[str, t.Any], options: Options) -> contextlib.AbstractContextManager[int | None]:
    """The descriptor of a pipe with the decrypted dump; None for one that is not encrypted, which programs read by its path.

    :raises EcommusError: when it cannot be decrypted.
    """
    if not manifest.get("encrypted"):
        return contextlib.nullcontext()
    return _age.decrypted(manifest["file"], options.identity_file, path_prefix=options.path_prefix)


def write_manifest(path: str, manifest: t.Mapping[str, t.Any]) -> None:
    """Keep the manifest of *path*, without what only says where it lies."""
    write_json(manifest_path(path), {key: value for key, value in manifest.items() if key not in ("path", "file")})


def verify_checksum(path: str) -> dict[str, t.Any]:
    """The cheaper part of :func:`verify`, for a caller who reads the archive anyway; returns the manifest."""
    manifest = load(path)
    remedy = "do not restore from it; use another snapshot, or remove this one (state=absent) and make a new one while the data is right"
    if manifest is None:
        raise EcommusError(f"there is no snapshot at {path}: it has no manifest", "make it with state=present, or correct the path")
    try:
        size = os.path.getsize(manifest["file"])
        if size != manifest["size"]:
            raise EcommusError(f"the snapshot {path} is damaged: {size} bytes instead of {manifest['size']}", remedy)
        if sha256(manifest["file"]) != manifest["sha256"]:
            raise EcommusError(f"the snapshot {path} is damaged: its content does not match the SHA-256 in the manifest", remedy)
    except OSError as error:
        raise EcommusError(f"the snapshot {path} cannot be read: {error.strerror}", remedy) from None
    return manifest


def read_through(path: str, tools: Tools, timeout: float, stdin: int | None = None) -> None:
    """Make pg_restore read and unpack every block of the archive.

    :param stdin: where to read it from, if not from the file *path*.
    :raises EcommusError: when it finds one that it cannot.
    """
    source = [path] if stdin is None else []
    answer = run(gently([tools.restore, "--file", os.devnull, *source]), env=clean_environment(), timeout=timeout, stdin=stdin)
    if answer.code != 0 or answer.error.strip():
        raise EcommusError(f"the snapshot {path} cannot be read to its end: {answer.tail(3)}", "do not restore from it; make a new one")


def sha256(path: str) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def files_of(path: str) -> tuple[str, ...]:
    """The files of a snapshot, in the order of their removal: the manifest first, last what a killed run may have left of it."""
    return manifest_path(path), path, path + ENCRYPTED, path + ENCRYPTED + ".partial", path + ".partial"


def remove(path: str) -> bool:
    """Remove a snapshot and what a killed run left of it; returns whether there was anything."""
    found = False
    for name in files_of(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
            found = True
    return found


def check_space(directory: str, needed: int) -> None:
    """See that *needed* bytes fit on the file system of *directory* and leave the reserve.

    :raises EcommusError: when they do not.
    """
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    free, reserve = _space(directory)
    if free - needed < reserve:
        raise EcommusError(
            f"{directory} has {_mib(free)} free; about {_mib(needed)} are needed and {_mib(reserve)} must stay free",
            "free disk space, or choose another directory",
            free_bytes=free,
            needed_bytes=needed,
        )


def prepare(target: Target, path: str, options: Options) -> tuple[Tools, int]:
    """Everything that can be known before a snapshot is made, without changing anything.

    :returns: the programs to use and the bytes of all tables.
    :raises EcommusError: when it cannot be made.
    """
    with postgres.session(target) as connection:
        tools = find_tools(connection.info.server_version // 10000, options.bin_dir, options.path_prefix)
        size = value(connection, "SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r' AND oid >= 16384")
    check_space(os.path.dirname(path), int(size * options.dump_ratio))
    return tools, size


def create(target: Target, path: str, options: Options) -> dict[str, t.Any]:
    """Make the snapshot *path* of the database, read it through and return its manifest.

    Row counts and hashes are taken in the very transaction whose view pg_dump exports, so they describe the dump and not
    what the shop did meanwhile.

    :raises EcommusError: when it fails; nothing is left behind then.
    """
    tools, _size = prepare(target, path, options)
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    remove(path)
    partial = path + ".partial"
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        made = _dump(target, partial, tools, options)
        read_through(partial, tools, options.timeout)
        made |= {"format": FORMAT, "size": os.path.getsize(partial), "sha256": sha256(partial), "client_version": str(tools)}
        fsync(partial)
        os.replace(partial, path)
        fsync_directory(directory)
        write_manifest(path, made)
    except BaseException:
        remove(path)
        raise
    return {**made, "path": path, "file": path}


def note_copy(path: str, name: str, seal: str) -> None:
    """Keep in the manifest the seal of a copy whose rows were proven; see :func:`_fingerprint.seal`."""
    manifest = load(path)
    if manifest is not None:
        write_manifest(path, {**manifest, "copies": {**manifest.get("copies", {}), name: seal}})


def _dump(target: Target, partial: str, tools: Tools, options: Options) -> dict[str, t.Any]:
    # The name by which a program that outlived its killed parent is found again.
    application = "ecommus " + hashlib.sha256(partial.encode()).hexdigest()[:16]
    with postgres.session(target, autocommit=False) as holder, postgres.session(target) as other:
        _end(other, application)
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        snapshot = value(holder, "SELECT pg_export_snapshot()")
        content = _circumstances(holder, target)
        with _space_watched(other, partial, application) as short, concurrent.futures.ThreadPoolExecutor(1) as pool:
            program = pool.submit(_pg_dump, target, partial, snapshot, tools, options, application)
            try:
                content["tables"] = fingerprint.tables(holder)
            except BaseException:
                while not program.done():  # it may still be connecting
                    _end(other, application)
                    time.sleep(0.2)
                raise
            compress, answer = program.result()
        if short and answer.code != 0:
            raise EcommusError(short[0], "free disk space, or choose another directory for the snapshot")
        if answer.code != 0:
            raise _dump_error(answer, partial)
    return {**content, "compress": compress, "fingerprint": fingerprint.digest(content["tables"])}


def _pg_dump(target: Target, partial: str, snapshot: str, tools: Tools, options: Options, application: str) -> tuple[str, Result]:
    """Run pg_dump with the best compression that it has; returns that and what it answered."""
    choices = ["zstd:1", "1"] if tools.version[0] >= 16 else ["1"]
    if options.compress != "auto":
        choices = [options.compress]
    with target.environment(options.path_prefix, application) as env:
        for compress in choices:
            argv = [tools.dump, "--format=custom", f"--compress={compress}", f"--snapshot={snapshot}", "--no-password", "--file", partial]
            argv.append(f"--lock-wait-timeout={int(options.lock_timeout * 1000)}")
            answer = run(gently(argv), env=env, timeout=options.timeout, secrets=target.secrets)
            if "does not support compression" not in answer.error:
                break
    return compress, answer


def _dump_error(answer: Result, partial: str) -> EcommusError:
    text = " ".join(answer.tail(3).split())
    free, _reserve = _space(os.path.dirname(partial))
    if "No space left" in text or (answer.code != 0 and free == 0):
        return EcommusError(f"the disk filled up while the snapshot was written: {text}", "free disk space, or choose another directory")
    if "permission denied" in text:
        return EcommusError(f"pg_dump may not read the whole database: {text}", "let database_url name the role that owns all objects")
    if "lock" in text and "timeout" in text:
        return EcommusError(f"pg_dump waited too long for a lock: {text}", "end the session that holds it (state=described lists them)")
    return EcommusError(f"pg_dump failed with exit code {answer.code}: {text}", "look at what it says, then run again")


def _circumstances(connection: Session, target: Target) -> dict[str, t.Any]:
    """What else was so at that moment: what a restore must reproduce, and from where rows written later are told apart."""
    moment = rows(
        connection,
        "SELECT pg_current_wal_lsn()::text, pg_current_snapshot()::text, pg_snapshot_xmin(pg_current_snapshot())::text,"
        " pg_database_size(current_database()), pg_postmaster_start_time(), current_setting('server_version')",
    )[0]
    statistics = rows(
        connection, "SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables ORDER BY 1"
    )
    return {
        "created": _clock.now(),
        "database": target.database,
        "lsn": moment[0],
        "snapshot": moment[1],
        "xid": moment[2],
        "database_bytes": moment[3],
        "postmaster_started": moment[4].astimezone(datetime.timezone.utc).isoformat(timespec="microseconds"),
        "server_version": moment[5].split()[0],
        "sequences": fingerprint.sequences(connection),
        "structure": fingerprint.structure(connection),
        "extensions": dict(rows(connection, "SELECT extname, extversion FROM pg_extension ORDER BY 1")),
        "statistics": {name: list(counts) for name, *counts in statistics},
        "facts": database.facts(connection, target.database),
    }


def _end(connection: Session, application: str) -> None:
    """End the server sessions of programs that carry that name, and so the programs."""
    rows(
        connection,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
        [application],
    )


@contextlib.contextmanager
def _space_watched(connection: Session, partial: str, application: str, every: float = 0.25) -> t.Iterator[list[str]]:
    """Ends the dump through its server session when the disk gets short; the list that is yielded says so then."""
    reasons: list[str] = []
    done = threading.Event()
    directory = os.path.dirname(partial)

    def look() -> None:
        while not done.wait(every):
            free, reserve = _space(directory)
            if free < reserve:
                reasons.append(f"the snapshot was given up because {directory} has only {_mib(free)} left")
                _end(connection, application)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield reasons
    finally:
        done.set()
        thread.join()


def _space(directory: str) -> tuple[int, int]:
    """Free bytes for us and the reserve of the file system."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize, int(min(found.f_blocks * found.f_frsize * _RESERVE_SHARE, _RESERVE_BYTES))


def _mib(size: float) -> str:
    return f"{size / 2**20:.0f} MiB"


def fsync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
