#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check a shop and its host before an upgrade
version_added: 0.1.0
description:
  - Runs every named check and reports all results at once, each with what was found and, where it fails, the remedy.
  - Returns what the shop is like before, for what has to be brought back or is compared afterwards.
  - Reads only. A failing check of severity C(error) fails the module unless it is waived by name.
author: [MD Labs (@mdlabs)]
requirements: [requests >= 2.25, psycopg >= 3.1]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.install]
attributes:
  check_mode:
    support: full
    details: Nothing is changed in either mode.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
    details: Nothing is changed.
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.install, mdlabs.ecommus.pm2]
options:
  version:
    description:
      - The release that is to come. M(mdlabs.ecommus.release) must have fetched it into the mirror of the host.
    type: str
    required: true
  commit:
    description: Its commit.
    type: str
    required: true
  layout:
    description: The layout in which it will be installed.
    type: str
    choices: [releases, in_place]
    default: releases
  services:
    description: The services, as C(ecommus_services) of the role P(mdlabs.ecommus.install#role).
    type: list
    elements: dict
    default: []
  workers_process:
    description: pm2 name of the workers; empty where there is no such process.
    type: str
    default: ""
  workers_mode:
    description: Where the workers work, as C(mode) of M(mdlabs.ecommus.workers_info). With V(api), O(workers_process) names the API.
    type: str
    choices: [process, api, none]
    default: process
  workers_stop_timeout:
    description: Seconds that the longest job may need; V(0) when that is not known.
    type: float
    default: 0
  resolve:
    description: Address that the health probes connect to instead of asking the DNS.
    type: str
    default: ""
  ca_path:
    description: CA bundle for the health probes.
    type: path
    default: ""
  env_file:
    description: The shop's environment file.
    type: path
    required: true
  env_given:
    description: Names of the keys that the inventory has values for.
    type: list
    elements: str
    default: []
  env_required:
    description: Names of the keys that the release cannot do without, as its notes say.
    type: list
    elements: str
    default: []
  database_url_key:
    description: Key of the environment file that holds the address of the database.
    type: str
    default: DATABASE_URL
  admin_url:
    description: Address of the role that creates databases, where it is not the shop's own.
    type: str
    default: ""
  standby:
    description:
      - Whether a copy of the database must be made beside the live one. With V(preferred), a role or a disk that does not allow it is a
        warning, as long as the snapshot can be restored in place.
    type: str
    choices: [preferred, required]
    default: preferred
  bin_dir:
    description: Where the programs of PostgreSQL are.
    type: path
    default: ""
  snapshot_recipients:
    description: Public keys that snapshots will be encrypted to.
    type: list
    elements: str
    default: []
  snapshot_ship:
    description: Program and arguments that will take snapshots off the host.
    type: list
    elements: str
    default: []
  snapshot_dir:
    description: Where the snapshot will be written.
    type: path
    default: /backup
  pm2_home:
    description: PM2_HOME of the shop's daemon.
    type: path
    required: true
  npm_token:
    description: Token of the private registry; empty means C(NPM_REGISTRY_TOKEN) of the environment file.
    type: str
    default: ""
  shared_paths:
    description: What belongs to the shop and not to a release, as C(ecommus_shared_paths) of the role P(mdlabs.ecommus.install#role).
    type: list
    elements: str
    default: []
  backup_dir:
    description: Directory below which the shop's regular backup is written. Snapshots of this collection do not count.
    type: path
    default: /var/backups/ecommus
  backup_max_age_hours:
    description: Hours after which the newest file in O(backup_dir) is too old.
    type: float
    default: 24
  backup_cron_file:
    description: File in the manner of C(/etc/cron.d) that starts the regular backup; one that does not exist is passed over.
    type: path
    default: /etc/cron.d/ecommus-backup
  backup_margin_minutes:
    description: Minutes before the next backup of O(backup_cron_file) in which no upgrade should start.
    type: int
    default: 10
  waivers:
    description: Checks that may fail.
    type: list
    elements: dict
    default: []
    suboptions:
      check:
        description: Name of the check.
        type: str
        required: true
      reason:
        description: Why; it is quoted in the report.
        type: str
        required: true
      until:
        description: The last day (C(YYYY-MM-DD)) on which the waiver holds.
        type: str
        required: true
  fail:
    description: Whether the module fails when a check stops the upgrade. When V(false), see RV(ok).
    type: bool
    default: true
seealso:
  - module: mdlabs.ecommus.release
  - module: mdlabs.ecommus.health_check
"""

EXAMPLES = r"""
- name: Find out what the step is
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: v1.4.0
  register: resolved

- name: Have its tag in the mirror of the host
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: v1.4.0
    commit: "{{ resolved.step.commit }}"
    state: fetched

- name: See what an upgrade would stumble over
  mdlabs.ecommus.preflight:
    root: /opt/ecommus
    version: v1.4.0
    commit: "{{ resolved.step.commit }}"
    env_file: /opt/ecommus/.env
    pm2_home: /home/ecommus/.pm2
    waivers:
      - check: room_for_snapshot
        reason: the disk is a thin volume that grows
        until: "2026-12-31"
    fail: false
  register: preflight

- name: Show what stands in the way
  ansible.builtin.debug:
    msg: "{{ preflight.checks | rejectattr('ok') | map(attribute='remedy') }}"
"""

RETURN = r"""
ok:
  description: Whether nothing stops the upgrade.
  returned: always
  type: bool
checks:
  description: Every check, those that stop the upgrade first.
  returned: always
  type: list
  elements: dict
  contains:
    check: {description: Name., type: str}
    label: {description: What it asks., type: str}
    severity: {description: V(error) stops the upgrade., type: str}
    ok: {description: Whether it passed., type: bool}
    found: {description: What was found., type: str}
    remedy: {description: What to do., type: str}
    tags: {description: What it is about., type: list, elements: str}
    waiver: {description: The waiver of a check that failed., type: dict}
    facts: {description: Data for the plan that the check came by; absent where there are none., type: dict}
database:
  description: Name of the shop's database.
  returned: always
  type: str
  sample: shop_prod
found:
  description: What the shop is like now.
  returned: when O(commit) may be installed
  type: dict
  contains:
    processes: {description: "pm2's table, as RV(mdlabs.ecommus.pm2_control#module:processes).", type: list, elements: dict}
    pm2_version: {description: Version of the pm2 daemon., type: str}
    workers: {description: "Whether the workers work, as RV(mdlabs.ecommus.workers_info#module:workers).", type: dict}
    plugins: {description: "The plugin list, as RV(mdlabs.ecommus.plugin_inventory#module:raw).", type: str}
    plugin_count: {description: How many there are., type: int}
    standby: {description: Whether a copy of the database can be made beside the live one., type: bool}
pending_migrations:
  description:
    - The migrations that the release brings and the database lacks, in the order in which they will be applied.
    - Those of the registry's packages are not among them; they are known only after C(npm ci).
  returned: always
  type: list
  elements: str
  sample: [0006_order_returns, "@ecommus-plugin/reviews/0002_replies"]
sqlstate:
  description: The server's code for the problem; V(null) when there is none.
  returned: on an error of the server
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

# Importing a set of checks registers them.
from ansible_collections.mdlabs.ecommus.plugins.module_utils import (  # noqa: F401  # pylint: disable=unused-import
    _checks_backup,
    _checks_database,
    _checks_disk,
    _checks_host,
    _checks_migrations,
    _checks_packages,
    _checks_plugins,
    _checks_processes,
    _installed,
    _postgres,
    _preflight,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._install_options import install_options, paths_of

PASSED_ON = (
    "layout", "version", "commit", "services", "workers_mode", "workers_process", "workers_stop_timeout", "resolve", "ca_path",
    "env_file", "env_given", "env_required", "database_url_key", "standby", "snapshot_dir", "snapshot_recipients", "snapshot_ship",
    "pm2_home", "path_prefix", "npm_token", "shared_paths", "backup_dir", "backup_max_age_hours", "backup_cron_file",
    "backup_margin_minutes",
)  # fmt: skip


def main(module: AnsibleModule) -> dict[str, t.Any]:
    _postgres.require_psycopg()
    given = module.params
    subject = _preflight.Subject(
        paths=paths_of(given),
        database_admin_url=given["admin_url"],
        pg_bin_dir=given["bin_dir"],
        **{name: given[name] for name in PASSED_ON},
    )
    results = _preflight.examine(subject, [_preflight.Waiver.read(waiver) for waiver in given["waivers"]])
    stopped = bool(_preflight.stopping(results))
    if given["fail"] and stopped:
        raise _preflight.refusal(results)
    return {
        "changed": False,
        "ok": not stopped,
        **({} if stopped else {"found": {**_installed.observe(subject), "standby": _preflight.has_standby(results)}}),
        "checks": results,
        "database": subject.database.database,
        "pending_migrations": [name for result in results for name in result.get("facts", {}).get("pending_migrations", [])],
    }


if __name__ == "__main__":
    run_module(
        main,
        {
            **install_options(),
            "version": {"type": "str", "required": True},
            "commit": {"type": "str", "required": True},
            "layout": {"type": "str", "choices": ["releases", "in_place"], "default": "releases"},
            "services": {"type": "list", "elements": "dict", "default": []},
            "workers_process": {"type": "str", "default": ""},
            "workers_mode": {"type": "str", "choices": ["process", "api", "none"], "default": "process"},
            "workers_stop_timeout": {"type": "float", "default": 0},
            "resolve": {"type": "str", "default": ""},
            "ca_path": {"type": "path", "default": ""},
            "env_file": {"type": "path", "required": True},
            "env_given": {"type": "list", "elements": "str", "default": []},
            "env_required": {"type": "list", "elements": "str", "default": []},
            "database_url_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
            "admin_url": {"type": "str", "default": "", "no_log": True},
            "standby": {"type": "str", "choices": ["preferred", "required"], "default": "preferred"},
            "bin_dir": {"type": "path", "default": ""},
            "snapshot_dir": {"type": "path", "default": "/backup"},
            "snapshot_recipients": {"type": "list", "elements": "str", "default": []},
            "snapshot_ship": {"type": "list", "elements": "str", "default": []},
            "pm2_home": {"type": "path", "required": True},
            "npm_token": {"type": "str", "default": "", "no_log": True},
            "shared_paths": {"type": "list", "elements": "str", "default": []},
            "backup_dir": {"type": "path", "default": "/var/backups/ecommus"},
            "backup_max_age_hours": {"type": "float", "default": 24},
            "backup_cron_file": {"type": "path", "default": "/etc/cron.d/ecommus-backup"},
            "backup_margin_minutes": {"type": "int", "default": 10},
            "waivers": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "check": {"type": "str", "required": True},
                    "reason": {"type": "str", "required": True},
                    "until": {"type": "str", "required": True},
                },
            },
            "fail": {"type": "bool", "default": True},
        },
    )
