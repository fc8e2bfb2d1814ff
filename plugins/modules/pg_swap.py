#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_swap
short_description: Put a restored database in the place of the live one
version_added: 0.1.0
description:
  - Renames the live database to O(failed_name) and O(replacement) to the live name, in one transaction, and proves it by connecting.
  - Sessions of both databases are ended; clients that connect meanwhile wait for the renames and then have to try again, as pools do.
  - When the module is killed the server rolls back by itself. A call after one that was carried out changes nothing.
  - To undo a swap, call it with O(replacement) and O(failed_name) exchanged.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.postgres]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows which database has which name.
  idempotent:
    support: full
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.postgres]
options:
  state:
    description: The databases are swapped.
    type: str
    choices: [swapped]
    default: swapped
  replacement:
    description: Name of the database that becomes the live one.
    type: str
    required: true
  failed_name:
    description: The name under which the database that was live is kept.
    type: str
    required: true
  maintenance_database:
    description: Database to connect to meanwhile. By default C(postgres), else C(template1).
    type: str
seealso:
  - module: mdlabs.ecommus.pg_snapshot
  - module: mdlabs.ecommus.pg_salvage
"""

EXAMPLES = r"""
- name: Go back to the data of before the upgrade
  mdlabs.ecommus.pg_swap:
    env_file: /opt/ecommus/.env
    admin_url: "{{ ecommus_database_admin_url }}"
    replacement: ecommus_prod_before_v1_4_0
    failed_name: ecommus_prod_failed_v1_4_0

- name: Undo that
  mdlabs.ecommus.pg_swap:
    env_file: /opt/ecommus/.env
    admin_url: "{{ ecommus_database_admin_url }}"
    replacement: ecommus_prod_failed_v1_4_0
    failed_name: ecommus_prod_before_v1_4_0
"""

RETURN = r"""
live:
  description: Name of the live database.
  returned: success
  type: str
kept:
  description: Name of the database that was live before.
  returned: success
  type: str
gap_ms:
  description: Milliseconds from when the name was locked until the shop's role was connected under it again. V(0) if nothing was to do.
  returned: success and not in check mode
  type: int
terminated:
  description: Sessions that were ended.
  returned: success and not in check mode
  type: int
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
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _swap as swap
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import ONE_OF, postgres_options, targets_of


def main(module: AnsibleModule) -> dict[str, t.Any]:
    target, admin = targets_of(module.params)
    names = (module.params["replacement"], module.params["failed_name"])
    act = swap.predict if module.check_mode else swap.swap
    result = act(target, admin, *names, maintenance_database=module.params["maintenance_database"] or "")
    result |= {"live": target.database, "kept": names[1]}
    if result["changed"]:
        before = f"{target.database}: live\n{names[0]}: replacement\n"
        result["diff"] = {"before": before, "after": f"{target.database}: was {names[0]}\n{names[1]}: was live\n"}
    return result


if __name__ == "__main__":
    run_module(
        main,
        {
            **postgres_options(),
            "state": {"type": "str", "choices": ["swapped"], "default": "swapped"},
            "replacement": {"type": "str", "required": True},
            "failed_name": {"type": "str", "required": True},
            "maintenance_database": {"type": "str"},
        },
        required_one_of=ONE_OF,
    )
