# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which migrations a release brings, by its files, and which ones a database has, by its ledgers."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _manifest, _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Session

CORE, PLUGINS = "core", "plugins"
# The columns of the ledgers are not documented; names that migration tools use, the likeliest first.
_NAME_COLUMNS = ("name", "migration", "migration_name", "filename", "tag")
_PLUGIN_COLUMNS = ("plugin", "plugin_name", "package", "module")
_TIME_COLUMNS = ("applied_at", "created_at", "executed_at", "finished_at")


@dataclasses.dataclass(frozen=True, order=True)
class Migration:
    """One migration. ``plugin`` is the name of its package, empty for the core."""

    ledger: str
    plugin: str
    name: str

    def __str__(self) -> str:
        return f"{self.plugin}/{self.name}" if self.plugin else self.name


@dataclasses.dataclass(frozen=True)
class Places:
    """Where a release keeps its migrations (below its root) and a database its ledgers."""

    core_directory: str = "packages/db/migrations"
    # npm installs a package that two plugins need in different versions below the workspace instead of at the top.
    plugin_directories: tuple[str, ...] = ("plugins/*", "node_modules/@*/*", "apps/*/node_modules/@*/*")
    plugin_migrations: str = "migrations"
    ignored_plugins: tuple[str, ...] = ()
    core_table: str = "_ecommus_core_migrations"
    plugin_table: str = "_ecommus_plugin_migrations"


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a release brings, in the order in which it is applied; ``hashes`` maps the SHA-256 of a core file to its migration."""

    migrations: tuple[Migration, ...]
    hashes: t.Mapping[str, Migration]

    def of(self, ledger: str) -> tuple[Migration, ...]:
        return tuple(item for item in self.migrations if item.ledger == ledger)

    def package(self, plugin: str) -> str:
        """The package that a ledger means by *plugin*: its name, or the part behind the scope where that is unique."""
        packages = {item.plugin for item in self.migrations if item.plugin}
        short = [name for name in packages if name.rpartition("/")[2] == plugin]
        return plugin if plugin in packages or len(short) != 1 else short[0]


@dataclasses.dataclass(frozen=True)
class Applied:
    """One row of a ledger; ``at`` is ISO 8601 in UTC where the ledger says when."""

    migration: Migration
    at: str | None = None


def expected(root: str, places: Places) -> Expected:
    """Read what the release at *root* brings.

    :raises EcommusError: when it has no core migrations, since then nothing could be judged.
    """
    directory = os.path.join(root, places.core_directory)
    files = sorted(glob.glob(os.path.join(glob.escape(directory), "*.sql")))
    if not files:
        raise EcommusError(f"{directory} holds no migrations (*.sql)", "check root, or set core_directory to where this release keeps them")
    core = {path: Migration(CORE, "", _stem(path)) for path in files}
    plugins = [
        Migration(PLUGINS, package, _stem(path))
        for package, folder in sorted(plugin_folders(root, places).items())
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), places.plugin_migrations, "*.sql")))
    ]
    return Expected((*core.values(), *plugins), {_sha256(path): migration for path, migration in core.items()})


def plugin_folders(root: str, places: Places) -> dict[str, str]:
    """Folder of each plugin by package name. Workspaces come first; npm links them into node_modules as well."""
    found: dict[str, str] = {}
    for pattern in places.plugin_directories:
        for folder in sorted(glob.glob(os.path.join(glob.escape(root), pattern))):
            plugin = _manifest.read(folder)
            if plugin and plugin.name not in places.ignored_plugins:
                found.setdefault(plugin.name, folder)
    return found


def _stem(path: str) -> str:
    return os.path.basename(path)[: -len(".sql")]


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def applied(connection: Session, release: Expected, places: Places) -> tuple[Applied, ...]:
    """Read both ledgers; a ledger that does not exist yet is empty."""
    core = [
        Applied(Migration(CORE, "", name), at)
        for name, _plugin, at in _rows(connection, places.core_table, {digest: item.name for digest, item in release.hashes.items()})
    ]
    plugins = [
        Applied(Migration(PLUGINS, release.package(plugin), name), at) for name, plugin, at in _rows(connection, places.plugin_table, {})
    ]
    return (*core, *plugins)


def _rows(connection: Session, table: str, hashes: t.Mapping[str, str]) -> list[tuple[str, str, str | None]]:
    """Name, plugin and time of each row of *table*.

    :param hashes: names by SHA-256 of the file, for a ledger that keeps only hashes (Drizzle's own does).
    """
    places = _postgres.rows(
        connection,
        "SELECT n.nspname, array_agg(a.attname::text) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
        " WHERE c.relname = %s AND c.relkind IN ('r', 'p', 'v')"
        " GROUP BY c.oid, n.nspname ORDER BY pg_table_is_visible(c.oid) DESC, n.nspname",
        [table],
    )
    if not places:
        return []
    schema, columns = places[0]
    name = next((column for column in (*_NAME_COLUMNS, "hash") if column in columns), None)
    if name is None:
        raise EcommusError(
            f"the ledger {table} has no column that names a migration, only {', '.join(sorted(columns))}", "report this product version"
        )
    plugin = next((column for column in _PLUGIN_COLUMNS if column in columns), None)
    time = next((column for column in _TIME_COLUMNS if column in columns), None)
    wanted = [name, *([plugin] if plugin else []), *([time] if time else [])]
    query = _postgres.statement(f"SELECT {', '.join(['{}'] * len(wanted))} FROM {{}}.{{}} ORDER BY 1", *wanted, schema, table)  # noqa: S608
    found = []
    for row in _postgres.rows(connection, query):
        text = str(row[0])
        text = hashes.get(text, text) if name == "hash" else text[: -len(".sql")] if text.endswith(".sql") else text
        found.append((text, str(row[1]) if plugin else "", _iso(row[-1]) if time else None))
    return found


def _iso(value: t.Any) -> str | None:
    """ISO 8601 for a time; Drizzle keeps milliseconds since 1970 instead, which are left to the reader as they are."""
    return value.isoformat() if hasattr(value, "isoformat") else None if value is None else str(value)


@dataclasses.dataclass(frozen=True)
class State:
    """A database against a release. ``unknown`` is what a ledger has and the release does not know: drift, or a newer schema."""

    applied: tuple[Applied, ...]
    pending: tuple[Migration, ...]
    unknown: tuple[Migration, ...]


def state(release: Expected, rows: t.Sequence[Applied]) -> State:
    """Compare the files with the ledgers."""
    known, done = set(release.migrations), {row.migration for row in rows}
    # A ledger without a column for the plugin is compared by name alone.
    nameless = {item.name for item in done if item.ledger == PLUGINS and not item.plugin}
    pending = tuple(item for item in release.migrations if item not in done and not (item.ledger == PLUGINS and item.name in nameless))
    names = {item.name for item in known if item.ledger == PLUGINS}
    unknown = sorted(item for item in done - known if not (item.ledger == PLUGINS and not item.plugin and item.name in names))
    return State(tuple(rows), pending, tuple(unknown))
