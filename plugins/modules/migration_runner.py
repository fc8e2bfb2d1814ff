#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_runner
short_description: Run the database migrations of a release, judged by the ledgers
version_added: 0.1.0
description:
  - Runs the release's own programs for core and plugin migrations, as the documented procedure does.
  - The outcome is judged by the tables C(_ecommus_core_migrations) and C(_ecommus_plugin_migrations) alone. What the release
    brings is read from its files, and afterwards exactly the pending ones must have been added. An exit code is not believed.
    The plugin runner exits with 0 after a failure, and a core runner that exits with 1 after applying everything is an error as well.
  - While the programs run, no new session of the shop's role in its database waits for a lock longer than O(lock_timeout).
    The limit is set with C(ALTER ROLE ... IN DATABASE ...), which binds every driver, and the former value is put back afterwards.
  - Programs that an earlier run has left at work, because it was killed, are waited for first.
author:
  - MD Labs (@mdlabs)
requirements:
  - psycopg 3
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.program, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
    details: O(state=migrated) returns what is pending and runs nothing.
  diff_mode:
    support: full
    details: Shows the names in both ledgers.
  idempotent:
    support: full
options:
  state:
    description:
      - V(pending) only reads.
      - V(migrated) runs what is pending.
      - V(released) puts back the lock limit that a run which was killed has left, if O(lock_state_file) says that there is one.
    type: str
    choices: [pending, migrated, released]
    default: pending
  which:
    description: The ledgers to bring up to date. V(all) is core first, then plugins.
    type: str
    choices: [core, plugins, all]
    default: all
  root:
    description: The checkout whose migrations are meant, with its dependencies installed. Required except with O(state=released).
    type: path
  lock_timeout:
    description: Seconds that a statement may wait for a lock; V(0) sets no limit.
    type: float
    default: 2.0
  lock_retries:
    description: How often a program is run again after a lock limit ended it. The pauses are 1, 2, 4 ... seconds, 30 at most.
    type: int
    default: 5
  lock_state_file:
    description:
      - Where the former lock limit is kept while another one is set; required with O(state=migrated) and O(state=released).
      - It must be on a disk that survives a reboot, in a directory that exists.
    type: path
  timeout:
    description: Seconds that one program may take, and that one of an earlier run is waited for.
    type: int
    default: 1800
  log_file:
    description: File to which the output of the programs is appended, secrets replaced, with mode 0600.
    type: path
  allow_unknown:
    description: Run although the core ledger has migrations that the release does not know.
    type: bool
    default: false
  core_script:
    description: The program for core migrations, below O(root).
    type: str
    default: packages/db/src/migrate.ts
  plugin_script:
    description: The program for plugin migrations, below O(root).
    type: str
    default: apps/api/src/cli/run-plugin-migrations.ts
  core_directory:
    description: Where the release keeps its core migrations as C(*.sql), below O(root). A file's name without C(.sql) is the migration's.
    type: str
    default: packages/db/migrations
  plugin_directories:
    description:
      - Patterns of directories that may be plugins, below O(root). One is, if its C(package.json) has an C(ecommus) block of kind
        C(plugin), or if it has an C(ecommus.plugin.json).
    type: list
    elements: str
    default: ['plugins/*', 'node_modules/@*/*', 'apps/*/node_modules/@*/*']
  plugin_migrations:
    description: Where a plugin keeps its migrations as C(*.sql), below its directory.
    type: str
    default: migrations
  ignored_plugins:
    description: Packages whose migrations the shop does not run, for example plugins that it refuses to load.
    type: list
    elements: str
    default: []
  core_table:
    description: The ledger of core migrations.
    type: str
    default: _ecommus_core_migrations
  plugin_table:
    description: The ledger of plugin migrations.
    type: str
    default: _ecommus_plugin_migrations
seealso:
  - module: mdlabs.ecommus.pg_snapshot
  - module: mdlabs.ecommus.plugin_inventory
"""

EXAMPLES = r"""
- name: See what a release would do to the database
  mdlabs.ecommus.migration_runner:
    root: /opt/ecommus.d/releases/v1.4.0-1a2b3c4d
  register: migrations

- name: Migrate
  mdlabs.ecommus.migration_runner:
    state: migrated
    root: /opt/ecommus.d/releases/v1.4.0-1a2b3c4d
    lock_timeout: 2
    lock_state_file: /opt/ecommus.d/state/lock-limit.json
    log_file: /opt/ecommus.d/state/runs/20261122T203000Z/migrations.log
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
before:
  description: Rows of both ledgers at the start, with C(name) and C(applied_at), and C(plugin) for plugins.
  returned: with a root
  type: dict
  sample: {core: [{name: 0001_init, applied_at: '2026-03-12T09:00:00+00:00'}], plugins: []}
after:
  description: Rows of both ledgers at the end; equal to RV(before) when nothing ran.
  returned: with a root
  type: dict
  sample: {core: [{name: 0001_init, applied_at: '2026-03-12T09:00:00+00:00'}], plugins: []}
pending:
  description: What the release brings and the database has not at the end, of the ledgers in O(which).
  returned: with a root
  type: list
  elements: dict
  sample: [{ledger: plugins, plugin: reviews, name: 0002_stars}]
applied:
  description: What was applied; in check mode what would be.
  returned: with a root
  type: list
  elements: dict
  sample: [{ledger: core, plugin: '', name: 0005_returns}]
unknown:
  description: What a ledger has and the release does not know. The database is newer than the release, or was changed by hand.
  returned: with a root
  type: list
  elements: dict
  sample: []
failed_migrations:
  description: What failed, each with C(log), the part of the output that is about it.
  returned: with O(state=migrated), and when it fails
  type: list
  elements: dict
  sample: []
attempts:
  description: How often each program ran.
  returned: with O(state=migrated)
  type: dict
  sample: {core: 1, plugins: 1}
blocked:
  description: Who waited for whom in the database meanwhile, the longest wait first. Text literals are taken out of the queries.
  returned: with O(state=migrated)
  type: list
  elements: dict
  sample: []
log:
  description: The end of what the last program said.
  returned: with O(state=migrated)
  type: str
released:
  description: Whether there was a lock limit to put back.
  returned: with O(state=released)
  type: bool
sqlstate:
  description: The server's code for the problem; V(null) when there is none.
  returned: on an error of the server
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import dataclasses
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _lock_limit, _migration_run, _migrations
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migration_sessions import APPLICATION
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from ansible_collections.mdlabs.ecommus.plugins.module_utils._program_options import program_options
from ansible_collections.mdlabs.ecommus.plugins.module_utils._shop_cli import run_script

LEDGERS = {"core": ("core",), "plugins": ("plugins",), "all": ("core", "plugins")}
DEFAULTS = _migrations.Places()
ARGUMENTS: dict[str, t.Any] = {
    **journal_options(),
    "state": {"type": "str", "choices": ["pending", "migrated", "released"], "default": "pending"},
    "which": {"type": "str", "choices": ["core", "plugins", "all"], "default": "all"},
    "root": {"type": "path"},
    **program_options(),
    "lock_timeout": {"type": "float", "default": 2.0},
    "lock_retries": {"type": "int", "default": 5},
    "lock_state_file": {"type": "path"},
    "timeout": {"type": "int", "default": 1800},
    "log_file": {"type": "path"},
    "allow_unknown": {"type": "bool", "default": False},
    "core_script": {"type": "str", "default": "packages/db/src/migrate.ts"},
    "plugin_script": {"type": "str", "default": "apps/api/src/cli/run-plugin-migrations.ts"},
    "core_directory": {"type": "str", "default": DEFAULTS.core_directory},
    "plugin_directories": {"type": "list", "elements": "str", "default": list(DEFAULTS.plugin_directories)},
    "plugin_migrations": {"type": "str", "default": DEFAULTS.plugin_migrations},
    "ignored_plugins": {"type": "list", "elements": "str", "default": []},
    "core_table": {"type": "str", "default": DEFAULTS.core_table},
    "plugin_table": {"type": "str", "default": DEFAULTS.plugin_table},
}


@noted
def main(module: AnsibleModule) -> dict[str, t.Any]:
    options = module.params
    variables = _variables(options)
    url = options["database_url"] or variables.get(options["database_url_key"], "")
    if not url:
        raise EcommusError(f"the environment file names no {options['database_url_key']}", "set database_url_key or database_url")
    target = Target.from_url(url)
    if options["state"] == "released":
        pending = os.path.exists(options["lock_state_file"])
        if pending and not module.check_mode:
            _lock_limit.release(target, options["lock_state_file"])
        return {"changed": pending, "released": pending}
    places = _places(options)
    release = _migrations.expected(options["root"], places)
    if options["state"] == "pending" or module.check_mode:
        return _predict(target, release, places, options)

    def runner(script: str) -> Result:
        return run_script(
            options["root"],
            script,
            variables=variables,
            database_url=url,
            database_url_key=options["database_url_key"],
            path_prefix=options["path_prefix"],
            application=APPLICATION,
            timeout=options["timeout"],
        )

    outcome = _migration_run.migrate(target, release, places, LEDGERS[options["which"]], _settings(options), runner)
    return _finished({"changed": bool(outcome.applied), **_migration_run.described_outcome(outcome)}, options)


def _variables(options: t.Mapping[str, t.Any]) -> dict[str, str]:
    path = options["env_file"] or (os.path.join(options["root"], ".env") if options["root"] else None)
    return _dotenv.read(path) if path else {}


def _places(options: t.Mapping[str, t.Any]) -> _migrations.Places:
    named = {field.name: options[field.name] for field in dataclasses.fields(_migrations.Places)}
    return _migrations.Places(**{name: tuple(value) if isinstance(value, list) else value for name, value in named.items()})


def _settings(options: t.Mapping[str, t.Any]) -> _migration_run.Settings:
    return _migration_run.Settings(
        scripts={"core": options["core_script"], "plugins": options["plugin_script"]},
        lock_timeout_ms=round(options["lock_timeout"] * 1000),
        lock_retries=options["lock_retries"],
        lock_state_file=options["lock_state_file"],
        timeout=options["timeout"],
        log_file=options["log_file"],
        allow_unknown=options["allow_unknown"],
    )


def _predict(target: Target, release: _migrations.Expected, places: _migrations.Places, options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    state = _migration_run.look(target, release, places)
    wanted = [dataclasses.asdict(item) for item in state.pending if item.ledger in LEDGERS[options["which"]]]
    migrating = options["state"] == "migrated"
    rows = _migration_run.ledger_rows(state)
    result = {
        "changed": migrating and bool(wanted),
        "before": rows,
        "after": rows,
        "pending": wanted,
        "applied": wanted if migrating else [],
        "unknown": [dataclasses.asdict(item) for item in state.unknown],
    }
    return _finished(result, options)


def _finished(result: dict[str, t.Any], options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Restrict to the ledgers that were asked for, and add the diff."""
    result["pending"] = [item for item in result["pending"] if item["ledger"] in LEDGERS[options["which"]]]
    before = [f"{ledger} {row.get('plugin', '')} {row['name']}" for ledger, rows in result["before"].items() for row in rows]
    added = [f"{item['ledger']} {item['plugin']} {item['name']}" for item in result["applied"]]
    result["diff"] = {
        "before_header": "migrations",
        "after_header": "migrations",
        "before": _sorted_lines(before),
        "after": _sorted_lines([*before, *added]),
    }
    return result


def _sorted_lines(lines: t.Iterable[str]) -> str:
    return "".join(f"{' '.join(line.split())}\n" for line in sorted(lines))


if __name__ == "__main__":
    run_module(
        main,
        ARGUMENTS,
        required_if=[
            ("state", "pending", ["root"]),
            ("state", "migrated", ["root", "lock_state_file"]),
            ("state", "released", ["lock_state_file"]),
        ],
    )
