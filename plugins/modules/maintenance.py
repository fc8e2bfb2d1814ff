#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Open and close the maintenance window of a shop
version_added: 0.1.0
description:
  - Calls the hook of an install, a program or HTTP requests, that opens and closes its maintenance window.
  - Where the hook can tell the present state, a window that is as wanted is left alone, and the hook's work is checked.
author: [MD Labs (@mdlabs)]
requirements:
  - requests, for HTTP requests
extends_documentation_fragment: [mdlabs.ecommus.attributes]
attributes:
  check_mode:
    support: full
    details: Reads the present state at most.
  diff_mode:
    support: full
    details: Shows the state before and after.
  idempotent:
    support: partial
    details: Where the hook cannot tell the present state, it is called each time.
options:
  state:
    description: V(read) tells the present state; the others bring it about.
    type: str
    choices: [read, open, closed]
    default: read
  command:
    description:
      - A program on the host and its arguments. C({state}) in an argument becomes V(open), V(closed) or V(read).
      - Told to read it prints V(open) or V(closed), or nothing when it cannot tell. It is no shell.
    type: list
    elements: str
    default: []
  open: &request
    description: The HTTP request that opens the window, sent from the host. Any answer from 200 to 299 is a success.
    type: dict
    suboptions: &suboptions
      url: {description: Its address., type: str, required: true}
      method: {description: Its method. V(GET) where it reads., type: str}
      headers: {description: Its headers., type: dict, default: {}}
      body: {description: "What it sends, as JSON.", type: raw}
      open_when: {description: "What the JSON answer holds while the window is open, for O(read).", type: dict, default: {}}
  closed:
    description: The HTTP request that closes the window. Any answer from 200 to 299 is a success.
    type: dict
    suboptions: *suboptions
  read:
    description: The HTTP request that tells whether the window is open. Without it nobody knows.
    type: dict
    suboptions: *suboptions
  ca_path:
    description: CA certificates to trust instead of the system's.
    type: path
    default: ""
  resolve:
    description: Address, optionally with a port, to connect to instead of asking the DNS.
    type: str
    default: ""
  timeout:
    description: Seconds for one call.
    type: float
    default: 30
seealso:
  - module: mdlabs.ecommus.workers_info
"""

EXAMPLES = r"""
- name: Open it by a program of one's own
  mdlabs.ecommus.maintenance:
    state: open
    command: [/usr/local/bin/shop-maintenance, "{state}"]

- name: Close it over HTTP
  mdlabs.ecommus.maintenance:
    state: closed
    open:
      url: https://api.mystore.example/internal/maintenance
      method: PUT
      headers: {Authorization: "Bearer {{ vault_maintenance_token }}"}
    closed:
      url: https://api.mystore.example/internal/maintenance
      method: DELETE
      headers: {Authorization: "Bearer {{ vault_maintenance_token }}"}
    read:
      url: https://api.mystore.example/internal/maintenance
      open_when: {active: true}
"""

RETURN = r"""
before:
  description: V(open), V(closed) or V(unknown), as it was found.
  returned: success
  type: str
window:
  description: V(open), V(closed) or V(unknown), as it is afterwards.
  returned: success
  type: str
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

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _http, _maintenance
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

REQUEST: dict[str, t.Any] = {
    "type": "dict",
    "options": {
        "url": {"type": "str", "required": True},
        "method": {"type": "str"},
        "headers": {"type": "dict", "default": {}, "no_log": True},
        "body": {"type": "raw", "no_log": True},
        "open_when": {"type": "dict", "default": {}},
    },
}


def main(module: AnsibleModule) -> dict[str, t.Any]:
    window = _take_window(module)
    if not window.command and not {"open", "closed"} <= set(window.requests):
        raise EcommusError("the hook of the maintenance window is not complete", "give command, or both open and closed")
    if window.requests and not window.command and _http.REQUESTS_IMPORT_ERROR:
        raise EcommusError(missing_required_lib("requests"), "pip install requests for that Python", exception=_http.REQUESTS_IMPORT_ERROR)
    state, before = module.params["state"], window.read()
    if state in ("read", before):
        return {"changed": False, "before": before, "window": before}
    if not module.check_mode:
        window.turn(state)
    return {"changed": True, "before": before, "window": state, "diff": {"before": f"{before}\n", "after": f"{state}\n"}}


def _take_window(module: AnsibleModule) -> _maintenance.Window:
    """The hook, its secrets taken out of everything that Ansible returns or logs: hiding them by their text would garble the answer."""
    module.no_log_values.clear()
    given = {name: module.params.pop(name) for name in ("open", "closed", "read")}
    requests = {name: _request(name, each) for name, each in given.items() if each}
    rest = {key: module.params[key] for key in ("ca_path", "resolve", "timeout")}
    return _maintenance.Window(tuple(module.params["command"]), requests, **rest)


def _request(name: str, given: dict[str, t.Any]) -> _maintenance.Request:
    method = given.pop("method") or ("GET" if name == "read" else "POST")
    return _maintenance.Request(method=method, **given)


if __name__ == "__main__":
    run_module(
        main,
        {
            "state": {"type": "str", "choices": ["read", "open", "closed"], "default": "read"},
            "command": {"type": "list", "elements": "str", "default": []},
            "open": REQUEST,
            "closed": REQUEST,
            "read": REQUEST,
            "ca_path": {"type": "path", "default": ""},
            "resolve": {"type": "str", "default": ""},
            "timeout": {"type": "float", "default": 30},
        },
    )
