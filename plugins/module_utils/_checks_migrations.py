# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the migrations that the release brings, against the ledgers of the database."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _migrations, _npm, _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migrations import CORE, Migration
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import WARNING, Finding, Subject, check
from ansible_collections.mdlabs.ecommus.plugins.module_utils._release_tree import release_tree

_PLACES = _migrations.Places()
_SHOWN = 6


@check("The ledgers know nothing that the release does not know", "database", "migrations")
def ledgers_known(subject: Subject) -> Finding:
    with release_tree(subject) as root:
        state, _major = _compare(subject, root)
        in_tree = {_short(name) for name in _migrations.plugin_folders(root, _PLACES)}
    later = sorted({_short(name) for name in _npm.premium_packages(subject.json("package-lock.json"))} - in_tree)
    unknown = [item for item in state.unknown if item.ledger == CORE or _short(item.plugin) in in_tree]
    unjudged = sorted({_short(item.plugin) for item in state.unknown} - in_tree - {"", *later})
    facts = {"pending_migrations": [str(item) for item in state.pending]}
    if unknown:
        return Finding(
            False,
            f"{subject.version} does not know {_listed(unknown)}, which the ledger has as applied",
            "the database is newer than the release or was changed by hand: upgrade to a release that knows them, or ask the vendor",
            facts=facts,
        )
    found = f"{len(state.pending)} pending" + (f": {_listed(state.pending)}" if state.pending else "")
    found += f"; not known before npm ci: those of {', '.join(later)}" if later else ""
    found += f"; applied by plugins that the release does not bring: {', '.join(unjudged)}" if unjudged else ""
    return Finding(True, found, facts=facts)


@check("The pending migrations hold no dangerous locks", "database", "migrations", severity=WARNING)
def migrations_safe(subject: Subject) -> Finding:
    with release_tree(subject) as root:
        state, major = _compare(subject, root)
        if not state.pending:
            return Finding(True, "none is pending")
        squawk = subject.program("squawk")
        if squawk is None:
            return Finding(True, f"{len(state.pending)} pending, not linted: there is no squawk on this host (PyPI: squawk-cli)")
        folders = _migrations.plugin_folders(root, _PLACES)
        files = {os.path.relpath(_file(root, folders, item), root): item for item in state.pending}
        # The runner's transaction is what makes an index on a table that the same file creates harmless.
        result = run(
            [squawk, "--reporter", "json", "--assume-in-transaction", "--pg-version", f"{major}.0", *files],
            cwd=root,
            env=clean_environment(),
            timeout=120,
        )
    try:
        violations = [one for one in json.loads(result.output) if _is_about_locks(one["rule_name"])]
    except (ValueError, KeyError, TypeError):
        raise EcommusError(f"squawk cannot be understood: {result.tail(3)}", "repair or remove it; it is optional") from None
    if not violations:
        return Finding(True, f"squawk has nothing to say about {len(files)} files")
    said = [f"{files[one['file']]}:{one['line'] + 1} {one['rule_name']}" for one in violations]
    return Finding(
        False,
        f"squawk on {len(files)} files: {_listed(said)}",
        "look at these statements and at the size of their tables, and choose a quiet hour; "
        "what waits for a lock is ended and tried again, what holds one is not",
    )


def _compare(subject: Subject, root: str) -> tuple[_migrations.State, int]:
    """The release in *root* against the database; and the server's major version."""
    if not os.path.isdir(os.path.join(root, _PLACES.core_directory)):
        raise EcommusError(f"{subject.version} has no {_PLACES.core_directory}/*.sql", "ask the vendor where it keeps its migrations")
    release = _migrations.expected(root, _PLACES)
    with _postgres.session(subject.database) as connection:
        return _migrations.state(release, _migrations.applied(connection, release, _PLACES)), connection.info.server_version // 10000


def _file(root: str, folders: t.Mapping[str, str], item: Migration) -> str:
    if item.ledger == CORE:
        return os.path.join(root, _PLACES.core_directory, f"{item.name}.sql")
    return os.path.join(folders[item.plugin], _PLACES.plugin_migrations, f"{item.name}.sql")


def _is_about_locks(rule: str) -> bool:
    """Squawk's rules of style are the vendor's business; limits of time are set by the run itself."""
    return not rule.startswith("prefer-") and not rule.endswith(("-timeout", "timeout-settings"))


def _short(plugin: str) -> str:
    """A ledger may call a plugin by its package or only by what is behind the scope."""
    return plugin.rpartition("/")[2]


def _listed(items: t.Sequence[object]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(str(item) for item in items[:_SHOWN]) + more
