# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock limit for whatever a role runs in a database, and its removal whatever happens.

``PGOPTIONS`` binds node-postgres and not postgres.js, which are both drivers of Drizzle; a default of the role in the
database binds every new session of any driver. It binds new sessions of the running shop too, for as long as it is set.
"""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._files import write_json
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session


@contextlib.contextmanager
def lock_limit(target: Target, milliseconds: int, state_file: str) -> t.Iterator[None]:
    """Within the context no new session of *target*'s role in its database waits longer for a lock.

    :param milliseconds: 0 sets nothing.
    :param state_file: keeps the former value while the limit is set, so that a run that was killed is cleaned up by the
        next one or by :func:`release`.
    :raises EcommusError: when the role may not do this.
    """
    if milliseconds <= 0:
        yield
        return
    release(target, state_file)
    with _postgres.session(target) as connection:
        oid, role = _postgres.rows(
            connection, "SELECT oid::bigint, session_user::text FROM pg_database WHERE datname = current_database()"
        )[0]
        write_json(state_file, {"database_oid": oid, "role": role, "former": _setting(connection, oid, role)})
        _set(connection, target.database, role, f"{milliseconds}ms")
    try:
        yield
    finally:
        release(target, state_file)


def release(target: Target, state_file: str) -> bool:
    """Put back what *state_file* remembers, if it exists; whether there was something to put back."""
    try:
        with open(state_file, encoding="utf-8") as file:
            memory = json.load(file)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise EcommusError(
            f"{state_file} cannot be read: {error}", "check lock_timeout of the shop's role (psql: \\drds), reset it and remove the file"
        ) from None
    with _postgres.session(target) as connection:
        # By its number: a rollback may have renamed the database since.
        name = _postgres.value(connection, "SELECT datname FROM pg_database WHERE oid = %s", [memory["database_oid"]])
        if name is not None:
            _set(connection, name, memory["role"], memory["former"])
    os.unlink(state_file)
    return True


def _setting(connection: Session, database_oid: int, role: str) -> str | None:
    """The default of *role* in the database, None where it has none. PostgreSQL docs: catalog pg_db_role_setting."""
    value = _postgres.value(
        connection,
        "SELECT split_part(item, '=', 2) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) item"
        " WHERE s.setdatabase = %s AND r.rolname = %s AND item LIKE 'lock\\_timeout=%%'",
        [database_oid, role],
    )
    return None if value is None else str(value)


def _set(connection: Session, database: str, role: str, value: str | None) -> None:
    if value is None:
        connection.execute(_postgres.statement("ALTER ROLE {} IN DATABASE {} RESET lock_timeout", role, database))
    else:  # SET takes a quoted name where it takes a text
        connection.execute(_postgres.statement("ALTER ROLE {} IN DATABASE {} SET lock_timeout = {}", role, database, value))
