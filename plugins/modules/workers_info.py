#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: workers_info
short_description: Tell whether the workers of a shop work
version_added: 0.1.0
description:
  - Reads what the workers do, so that they can be brought back to exactly that after an upgrade. Changes nothing.
author: [MD Labs (@mdlabs)]
requirements:
  - Linux
  - psycopg 3.1 or newer, for O(jobs_query)
  - pm2 5 or newer, run by the same user as this module
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.pm2]
attributes:
  check_mode:
    support: full
    details: Nothing is changed.
  diff_mode:
    support: none
    details: Nothing is changed.
  idempotent:
    support: full
    details: Nothing is changed.
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.pm2]
options:
  mode:
    description: Where they work; V(process) is a process of their own, V(api) inside the API, V(none) nowhere.
    type: str
    choices: [process, api, none]
    default: process
  process:
    description: pm2 name of that process, or of the API; empty where there is none.
    type: str
    default: ""
  env_file:
    description: The environment file that the API reads at boot, for O(mode=api). A variable of the process itself goes before it.
    type: path
  database_url_key:
    description: Key of O(env_file) that holds the address of the database, for O(jobs_query).
    type: str
    default: DATABASE_URL
  jobs_query:
    description:
      - SQL whose first value is how many jobs are under way by the shop's own records. It is run read-only, with O(expect=resting).
      - The module fails when there are some. A process that ended is no proof that its job did.
    type: str
    default: ""
  expect:
    description: Fail unless the workers are found so.
    type: str
    choices: [working, resting]
seealso:
  - module: mdlabs.ecommus.pm2_control
  - module: mdlabs.ecommus.maintenance
"""

EXAMPLES = r"""
- name: See whether the workers work
  mdlabs.ecommus.workers_info:
    process: ecommus-api-workers
  register: found

- name: Stop them
  mdlabs.ecommus.pm2_control:
    state: stopped
    name: [ecommus-api-workers]

- name: Prove that no job was cut off
  mdlabs.ecommus.workers_info:
    process: ecommus-api-workers
    expect: resting
    env_file: /opt/ecommus/.env
    jobs_query: SELECT count(*) FROM jobs WHERE status = 'running'

- name: Bring them back to what they were
  mdlabs.ecommus.pm2_control:
    state: started
    name: [ecommus-api-workers]
    instances: "{{ found.workers.running }}"
"""

RETURN = r"""
workers:
  description: What the workers do.
  returned: success
  type: dict
  contains:
    mode: {description: O(mode)., type: str}
    process: {description: O(process)., type: str}
    running: {description: How many of its processes do the workers' work; V(0) when the operator has stopped them., type: int}
    note: {description: Why none works; empty when they do., type: str}
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
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _workers
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_options import pm2_of, pm2_options
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import target_in


def main(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    pm2 = pm2_of(given)
    pm2.daemon_pid()
    found = _workers.observe(pm2, given["mode"], given["process"], given["env_file"])
    if given["expect"]:
        _workers.check(found, working=given["expect"] == "working")
    if given["expect"] == "resting" and given["jobs_query"]:
        _workers.check_jobs(target_in(given["env_file"], given["database_url_key"]), given["jobs_query"])
    return {"workers": found}


if __name__ == "__main__":
    run_module(
        main,
        {
            "mode": {"type": "str", "choices": [_workers.PROCESS, _workers.API, _workers.NONE], "default": _workers.PROCESS},
            "process": {"type": "str", "default": ""},
            "env_file": {"type": "path"},
            "database_url_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
            "jobs_query": {"type": "str", "default": ""},
            "expect": {"type": "str", "choices": ["working", "resting"]},
            **pm2_options(),
        },
    )
