#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journeys
short_description: Walk through a shop as its customers do
version_added: 0.1.0
description:
  - Runs programs of the operator's own, such as a browser test that looks for a product and puts it into the cart, one after the other.
  - Fails at the first one that ends with another exit code than 0, and quotes what it said last.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes]
attributes:
  check_mode:
    support: full
    details: Starts nothing, because a journey may leave traces in the shop.
  diff_mode:
    support: none
    details: Nothing is changed by the module itself.
  idempotent:
    support: none
    details: Every call walks them anew.
options:
  journeys:
    description: What to walk through, in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Its name in errors., type: str, required: true}
      command: {description: The program and its arguments. It is no shell., type: list, elements: str, required: true}
      timeout: {description: Seconds after which it has failed., type: float, default: 120}
      environment:
        description:
          - Variables for it, beside those that every program needs (C(PATH), C(HOME) and the like) and the addresses of proxies.
          - Their values are taken out of everything that is said.
        type: dict
        default: {}
seealso:
  - module: mdlabs.ecommus.health_check
"""

EXAMPLES = r"""
- name: Look at the shop as a customer would
  mdlabs.ecommus.journeys:
    journeys:
      - name: the home page comes
        command: [curl, --fail, --silent, --output, /dev/null, "https://mystore.example/"]
        timeout: 20
      - name: search, cart, checkout
        command: [npx, playwright, test, /srv/journeys/checkout.spec.ts]
        environment:
          SHOP_URL: https://mystore.example
          WORKERS: 2
          TEST_CUSTOMER_PASSWORD: "{{ vault_test_customer_password }}"
  delegate_to: localhost
"""

RETURN = r"""
journeys:
  description: Those that went well; empty in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: "O(journeys[].name).", type: str}
    seconds: {description: How long it took., type: float}
command:
  description: The program that did not end in time, secrets removed.
  returned: on that failure
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _journeys
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module


def main(module: AnsibleModule) -> dict[str, t.Any]:
    wanted = [
        _journeys.Journey(**{**given, "environment": {name: str(text) for name, text in given["environment"].items()}})
        for given in module.params["journeys"]
    ]
    return {"journeys": [] if module.check_mode else _journeys.walk(wanted)}


if __name__ == "__main__":
    run_module(
        main,
        {
            "journeys": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "command": {"type": "list", "elements": "str", "required": True},
                    "timeout": {"type": "float", "default": 120},
                    "environment": {"type": "dict", "default": {}, "no_log": True},
                },
            },
        },
    )
