#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: env_file
short_description: Set variables in the environment file of a shop
version_added: 0.1.0
description:
  - Adds or changes variables in a C(.env) file in one step. Mode, owner, access lists and every byte that was not asked for stay,
    and a link is followed to the file behind it.
  - The file is read as Node's C(--env-file) reads it. A change that would make any other variable read differently is refused.
  - Values are never returned, compared in a diff, or logged; the names of the variables are.
author:
  - MD Labs (@mdlabs)
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the names of variables only.
  idempotent:
    support: full
options:
  path:
    description: The environment file. It must exist, except with O(state=restored).
    type: path
    required: true
  state:
    description:
      - V(present) sets O(values).
      - V(restored) takes out what the update that made O(backup) put in. Where nothing else was changed since, the content of O(backup)
        comes back byte for byte. Else only the variables that the update added go, and every other one stays as it is now, also one
        that the update gave another value. So a password that was changed since is not undone.
      - V(described) reads the names of the variables.
    type: str
    choices: [present, restored, described]
    default: present
  values:
    description:
      - The variables to set, for O(state=present). Every value is written as text.
      - Booleans become V(true) and V(false). Other values that YAML reads as something else than text should be quoted.
    type: dict
  only_missing:
    description: Leave a variable that is in the file as it is, whatever its value.
    type: bool
    default: false
  backup:
    description:
      - Where the former content is kept, with the same mode and owner; required with O(state=restored).
      - The names of the added variables, and a checksum of the file as it was written, are kept beside it in a file that ends in C(.json).
        Without that, as when an older version made the backup, those that are not in O(backup) count as added.
      - Defaults to a new name beside the file.
      - A backup that exists is not overwritten, so that a run that is tried again keeps what the first attempt found.
    type: path
  missing_ok:
    description: With O(state=restored), leave the file alone where there is no O(backup), since it was made before any change.
    type: bool
    default: false
seealso:
  - module: mdlabs.ecommus.migration_runner
"""

EXAMPLES = r"""
- name: Add what the new release needs
  mdlabs.ecommus.env_file:
    path: /opt/ecommus/.env
    values:
      CHECKOUT_SESSION_SECRET: "{{ vault_checkout_session_secret }}"
    only_missing: true
  register: env

- name: See which variables there are now
  mdlabs.ecommus.env_file:
    path: /opt/ecommus/.env
    state: described
  register: described

- name: Undo it
  mdlabs.ecommus.env_file:
    path: /opt/ecommus/.env
    state: restored
    backup: "{{ env.backup }}"
  when: env is changed
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
names:
  description: Names of all variables in the file afterwards.
  returned: success
  type: list
  elements: str
  sample: [DATABASE_URL, JWT_SECRET]
added:
  description: Names of variables that were not in the file before.
  returned: success
  type: list
  elements: str
  sample: [CHECKOUT_SESSION_SECRET]
updated:
  description: Names of variables whose value is another one now.
  returned: success
  type: list
  elements: str
  sample: []
removed:
  description: Names of variables that are not in the file any more; only with O(state=restored).
  returned: success
  type: list
  elements: str
  sample: []
backup:
  description: Where the former content is; V(null) when nothing changed.
  returned: success
  type: str
  sample: /opt/ecommus/.env.20261122T203000Z.4711~
variables:
  description: Names of variables that would read differently after the change.
  returned: when the change is refused for that
  type: list
  elements: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _env_file
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted

ARGUMENTS: dict[str, t.Any] = {
    **journal_options(),
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["present", "restored", "described"], "default": "present"},
    "values": {"type": "dict", "no_log": True},
    "only_missing": {"type": "bool", "default": False},
    "backup": {"type": "path"},
    "missing_ok": {"type": "bool", "default": False},
}


@noted
def main(module: AnsibleModule) -> dict[str, t.Any]:
    options = dict(module.params)
    values = _texts(_take_values(module))
    if options["state"] == "described":
        return {"names": list(_dotenv.read(options["path"])), "added": [], "updated": [], "removed": [], "backup": None}
    if options["state"] == "restored":
        change = _env_file.restore(options["path"], options["backup"], missing_ok=options["missing_ok"], check=module.check_mode)
    else:
        change = _env_file.update(
            options["path"], values, only_missing=options["only_missing"], backup=options["backup"], check=module.check_mode
        )
    after = [f"{key} (new value)" if key in change.updated else key for key in change.keys_after]
    return {
        "changed": change.changed,
        "names": list(change.keys_after),
        "added": list(change.added),
        "updated": list(change.updated),
        "removed": list(change.removed),
        "backup": change.backup,
        "diff": {
            "before_header": f"{options['path']} (names of variables)",
            "after_header": f"{options['path']} (names of variables)",
            "before": "".join(f"{key}\n" for key in change.keys_before),
            "after": "".join(f"{line}\n" for line in after),
        },
    }


def _take_values(module: AnsibleModule) -> dict[str, t.Any]:
    """The values, taken out of everything that Ansible returns or logs.

    Ansible hides a secret by replacing its text wherever it occurs in the result: a variable that is V(1) or V(production)
    would garble paths and names. Nothing is left to hide once the values are gone.
    """
    module.no_log_values.clear()
    return t.cast("dict[str, t.Any]", module.params.pop("values") or {})


def _texts(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    texts = {}
    for key, value in values.items():
        if value is None or isinstance(value, (dict, list)):
            raise EcommusError(f"the value of {key} is not text", "quote it in the inventory, or encode it")
        texts[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return texts


if __name__ == "__main__":
    run_module(main, ARGUMENTS, required_if=[("state", "present", ["values"]), ("state", "restored", ["backup"])])
