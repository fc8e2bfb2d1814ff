# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each state of the module pg_snapshot means, with its prediction for check mode."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _database as database
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore as restore
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _revert as revert
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot_away as away
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import find_tools
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from ansible_collections.mdlabs.ecommus.plugins.module_utils._snapshot import Options

Answer = t.Dict[str, t.Any]  # noqa: UP006  (evaluated at run time, on Python 3.9 too)


@dataclasses.dataclass(frozen=True)
class Request:
    """What the module was asked for; ``path`` and ``database`` are empty when not given."""

    target: Target
    admin: Target
    path: str
    database: str
    jobs: int
    options: Options
    unless_database: str = ""
    keep: str = ""
    check: bool = False


def present(request: Request) -> Answer:
    """Make the snapshot, or verify the one that is there."""
    if snapshot.load(request.path) is not None:
        return {"manifest": snapshot.verify(request.path, request.options)}
    answer = _changed("absent", request.path)
    if request.check:
        snapshot.prepare(request.target, request.path, request.options)
        return answer
    return {**answer, "manifest": snapshot.create(request.target, request.path, request.options)}


def verified(request: Request) -> Answer:
    """Read the snapshot through."""
    return {"manifest": snapshot.verify(request.path, request.options)}


def encrypted(request: Request) -> Answer:
    """Encrypt the snapshot, unless it is."""
    if not request.check:
        changed = away.encrypt(request.path, request.options)
        return {"changed": changed, "manifest": snapshot.load(request.path)}
    manifest = snapshot.verify_checksum(request.path)
    return {"changed": not manifest.get("encrypted"), "manifest": manifest}


def shipped(request: Request) -> Answer:
    """Take the snapshot off the host, each time anew."""
    ship = snapshot.verify_checksum if request.check else lambda path: away.ship(path, request.options)
    return {"changed": True, "manifest": ship(request.path)}


def described(request: Request) -> Answer:
    """The manifest, unread, and the state of the server."""
    answer: Answer = {}
    manifest = snapshot.load(request.path) if request.path else None
    if manifest is not None:
        answer["manifest"] = manifest
    with database.maintenance(request.admin) as connection:
        answer["server"] = database.state(connection, request.target.database)
        major = connection.info.server_version // 10000
    try:
        tools = find_tools(major, request.options.bin_dir, request.options.path_prefix)
        answer["server"]["tools"] = {"directory": tools.directory, "version": str(tools)}
    except EcommusError as error:
        answer["server"]["tools"] = {"error": str(error)}
    return answer


def restored(request: Request) -> Answer:
    """Restore into the new database, unless it is that copy already or was put to use by a swap."""
    if request.unless_database:
        with database.maintenance(request.admin) as connection:
            if database.exists(connection, request.unless_database):
                return {"changed": False, "manifest": snapshot.load(request.path)}
    manifest = restore.plan(request.target, request.admin, request.path, request.database, request.options)
    if manifest is None:
        return {"manifest": snapshot.load(request.path)}
    answer = {**_changed("absent", f"database {request.database}"), "manifest": manifest}
    if not request.check:
        answer["restored"] = restore.restore(request.target, request.admin, request.path, request.database, request.jobs, request.options)
    return answer


def proven(request: Request) -> Answer:
    """Make the snapshot unless it is there, and restore it."""
    made = present(request)
    if request.check:  # there may be nothing yet that could be looked at
        return made
    copied = restored(request)
    before, after = ("".join(answer.get("diff", {}).get(side, "") for answer in (made, copied)) for side in ("before", "after"))
    changed = bool(made.get("changed") or copied.get("changed"))
    return {**made, **copied, "changed": changed, "diff": {"before": before, "after": after}}


def reverted(request: Request) -> Answer:
    """Make the live database what the snapshot is, unless it is, or was once."""
    manifest, differences = revert.plan(request.target, request.path, request.keep, request.options)
    answer: Answer = {"manifest": manifest}
    if differences:
        answer |= _changed("\n".join(differences), f"as in {request.path}")
    if request.check:
        return answer
    if differences:
        answer["reverted"] = revert.revert(request.target, manifest, request.keep, request.options)
    kept = revert.finish(request.target, request.keep, request.path)
    return {**answer, **({"kept": kept} if kept else {})}


def absent(request: Request) -> Answer:
    """Remove the snapshot, the database, or both."""
    gone = []
    if request.database:
        gone += _drop(request)
    if request.path:
        files = [name for name in snapshot.files_of(request.path) if os.path.exists(name)]
        gone += files
        if not request.check:
            snapshot.remove(request.path)
    if not gone:
        return {"changed": False}
    return _changed("\n".join(gone), "absent")


def _drop(request: Request) -> list[str]:
    if request.database in (request.target.database, "postgres", "template0", "template1"):
        raise EcommusError(
            f"{request.database} is not removed: it is the live database or belongs to the server", "correct target_database"
        )
    gone = []
    with database.maintenance(request.admin) as connection:
        # The half-made copy of a killed run goes with it.
        for name in (request.database, request.database + restore.PARTIAL):
            if database.exists(connection, name):
                gone.append(f"database {name}")
                if not request.check:
                    database.drop(connection, name)
    return gone


def _changed(before: str, after: str) -> Answer:
    return {"changed": True, "diff": {"before": before + "\n", "after": after + "\n"}}


STATES: dict[str, t.Callable[[Request], Answer]] = {
    "present": present,
    "verified": verified,
    "encrypted": encrypted,
    "shipped": shipped,
    "described": described,
    "restored": restored,
    "proven": proven,
    "reverted": reverted,
    "absent": absent,
}
