# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the database: reachable, owned, with room for a snapshot and for its copy."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database, _postgres, _restore, _revert
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import find_tools
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import WARNING, Finding, Need, Subject, check

MIB = 1024 * 1024


@check("The database answers", "database")
def database_reachable(subject: Subject) -> Finding:
    with _postgres.session(subject.database) as connection:
        version, size = _postgres.rows(connection, "SELECT current_setting('server_version'), pg_database_size(current_database())")[0]
    found = f"PostgreSQL {version}, {subject.database.database} has {size // MIB} MiB"
    return Finding(True, found, facts={"database_bytes": size})


@check("The way back may create and rename databases", "database")
def database_rights(subject: Subject) -> Finding:
    with _database.maintenance(subject.database_admin) as connection:
        owner = _database.owner_of(connection, subject.database.database)
        try:
            rights = _database.require_rights(connection, owner)
        except EcommusError as error:
            return _without_standby(subject, error)
    return Finding(True, f"{rights['role']} has CREATEDB and is a member of the owner {owner}")


def _without_standby(subject: Subject, why: EcommusError) -> Finding:
    """No copy can be made beside the live database: no obstacle, when the snapshot can be restored in its place instead.

    :raises EcommusError: when a copy is required, or it cannot.
    """
    if subject.standby == "required":
        raise why
    try:
        _revert.require_possible(subject.database)
    except EcommusError as error:
        raise EcommusError(f"{why.message}; and without a copy beside it, {error.message}", f"{why.remedy}; or {error.remedy}") from None
    return Finding(
        False,
        f"{why.message}; so there is no copy beside the live database: the snapshot is read through and checked, but not proven by a"
        " restore, and a rollback of the data stops the services while it is restored in place, for how long is not known",
        f"to have the copy, and the way back in a second: {why.remedy} (ecommus_database_admin_url, free disk space)",
        WARNING,
        {"standby": False},
    )


@check("No transaction stands in the way of a migration", "database")
def no_long_transactions(subject: Subject) -> Finding:
    with _database.maintenance(subject.database_admin) as connection:
        state = _database.state(connection, subject.database.database)
    found = [
        f"pid {one['pid']} of {one['role']} ({one['application'] or 'unnamed'}, {one['state']}) for {one['seconds']} s"
        for one in state["long_transactions"]
    ]
    found += [f"prepared transaction {gid}" for gid in state["prepared_transactions"]]
    if found:
        return Finding(False, "; ".join(found), "end them (COMMIT, ROLLBACK PREPARED, or pg_terminate_backend after asking their owner)")
    return Finding(True, "none is older than 60 s, none is prepared")


@check("pg_dump and pg_restore fit the server", "host", "database")
def database_programs(subject: Subject) -> Finding:
    with _postgres.session(subject.database) as connection:
        major = connection.info.server_version // 10000
    tools = find_tools(major, subject.pg_bin_dir, subject.path_prefix)
    return Finding(True, f"{tools} in {tools.directory} for a server of version {major}")


@check("The disk has room for the snapshot", "disk", "database")
def room_for_snapshot(subject: Subject) -> Finding:
    place = subject.snapshot_dir
    while not os.path.isdir(place):
        place = os.path.dirname(place) or "/"
    with _postgres.session(subject.database) as connection:
        tables = _postgres.value(
            connection, "SELECT coalesce(sum(pg_table_size(oid)), 0)::bigint FROM pg_class WHERE relkind IN ('r', 'm')"
        )
    free = shutil.disk_usage(place).free
    # Without a copy beside it the database is dumped once more before a rollback, and what is in it is kept so.
    dumps = 1 if _has_standby(subject) else 2
    # A compressed dump was 12 to 14 % of a shop-like database of 2 GB; half leaves room for data that compresses badly.
    need = dumps * tables // 2 + 64 * MIB
    what = "a dump" if dumps == 1 else "two dumps"
    found = f"{free // MIB} MiB free in {place}, up to {need // MIB} MiB needed for {what} of {tables // MIB} MiB of tables, 64 to spare"
    remedy = f"free space in {place}, or set ecommus_snapshot_dir to a larger disk"
    return Finding(free > need, found, remedy, facts={"dump_bytes": tables // 2}, needs=(Need("the snapshot", place, need),))


@check("The server's disk has room for a copy of the database", "disk", "database")
def room_for_copy(subject: Subject) -> Finding:
    name = subject.database.database
    with _database.maintenance(subject.database_admin) as connection:
        state = _database.state(connection, name)
    size = next((one["bytes"] for one in state["databases"] if one["name"] == name), None)
    try:
        seen = size is not None and _restore.require_room(subject.database_admin, state["data_directory"], size)
    except EcommusError as error:
        return _without_standby(subject, error)
    if size is None or not seen:
        return Finding(True, "not seen from here: the server is elsewhere, or hides its directory from this role")
    needs = (Need("a copy of the database", state["data_directory"], _restore.copy_bytes(size)),)
    return Finding(True, f"a copy of {size // MIB} MiB fits in {state['data_directory']}", needs=needs)


def _has_standby(subject: Subject) -> bool:
    """Whether a copy can be made beside the live database; what stops the upgrade is said by the checks of that."""
    with contextlib.suppress(EcommusError):
        return all(subject.finding(one).facts.get("standby", True) for one in (database_rights, room_for_copy))
    return True


@check("The server's clock agrees with the host's", "host", severity=WARNING)
def clock_sane(subject: Subject) -> Finding:
    with _postgres.session(subject.database) as connection:
        apart = float(_postgres.value(connection, "SELECT abs(extract(epoch FROM clock_timestamp()) - %s)", [time.time()]))
    return Finding(apart < 30, f"{apart:.1f} s apart", "repair time synchronisation (chrony, systemd-timesyncd)")
