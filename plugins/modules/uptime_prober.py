#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: uptime_prober
short_description: Count every request that fails while a shop is changed
version_added: 0.1.0
author:
  - MD Labs (@mdlabs)
description:
  - Starts a small program that asks services at a constant rate and writes down every answer. It goes on after the task
    has ended, until it is stopped, its time is over, or its directory is removed.
  - Meant for the controller, with C(delegate_to), so that it sees what visitors see.
  - A request counts as failed when it has no answer in time, another status than expected, or another content.
  - It never ends a process that is not its own. The prober holds a lock on its pid file, and only the holder is signalled.
requirements:
  - requests >= 2.25
extends_documentation_fragment: [mdlabs.ecommus.attributes]
attributes:
  action:
    support: full
    description: An action plugin fills in O(while_pid).
  check_mode:
    support: full
    details: Says whether a prober would be started or stopped.
  diff_mode:
    support: none
    details: What changes is whether a process runs.
  idempotent:
    support: full
options:
  state:
    description:
      - V(started) starts the prober of O(id) unless it runs.
      - V(stopped) ends it and returns what it found. When it has died meanwhile, what it had found till then.
      - V(read) returns what it has found so far.
    type: str
    choices: [started, stopped, read]
    default: read
  run_dir:
    description: Directory that holds a directory for each prober.
    type: path
    required: true
  id:
    description: Name of the prober within O(run_dir).
    type: str
    default: uptime
  targets:
    description: What to ask, in turns. Required with O(state=started).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the target in results.
        type: str
        required: true
      url:
        description: URL to ask, V(http) or V(https).
        type: str
        required: true
      resolve:
        description: Address, as V(address) or V(address:port), to connect to instead of looking up the host of the URL.
        type: str
        default: ""
      ca_path:
        description: File or directory with the CA certificates to trust instead of those of the system.
        type: path
      expect_status:
        description: HTTP statuses that are good.
        type: list
        elements: int
        default: [200]
      expect_json:
        description: What the JSON of the answer must hold at least, as in M(mdlabs.ecommus.health_check).
        type: dict
        default: {}
      expect_text:
        description: Text that the answer must contain.
        type: str
        default: ""
      identity_header:
        description: Response header that tells which release answered.
        type: str
        default: ""
      identity_regex:
        description:
          - Regular expression whose first group, or whole match, tells which release answered.
          - Applied to O(targets[].identity_header) if given, otherwise to the body.
        type: str
        default: ""
  rate:
    description: Requests per second, over all targets together.
    type: float
    default: 4
  timeout:
    description: Seconds for one request, from name look-up to the last byte.
    type: float
    default: 5
  max_seconds:
    description: Seconds after which the prober ends by itself.
    type: float
    default: 7200
  keepalive:
    description: Whether to keep connections. When not, each request comes as a new visitor would.
    type: bool
    default: false
  while_pid:
    description: >-
      The prober ends within a second when this process has ended; V(0) means none. Where the module runs on the controller the action
      plugin fills in C(ansible-playbook), so that none is left over when that is killed.
    type: int
seealso:
  - module: mdlabs.ecommus.health_check
  - module: mdlabs.ecommus.report
"""

EXAMPLES = r"""
- name: Watch the shop from here
  mdlabs.ecommus.uptime_prober:
    state: started
    run_dir: /var/log/ecommus/prober
    rate: 20
    targets:
      - name: api
        url: https://api.mystore.example/health
        expect_json: {ok: true}
      - name: storefront
        url: https://mystore.example/
        identity_regex: /_astro/index\.([A-Za-z0-9_-]+)\.js
  delegate_to: localhost
  become: false

- name: See what visitors saw so far
  mdlabs.ecommus.uptime_prober:
    run_dir: /var/log/ecommus/prober
  delegate_to: localhost
  become: false
  register: so_far

- name: End it
  mdlabs.ecommus.uptime_prober:
    state: stopped
    run_dir: /var/log/ecommus/prober
  delegate_to: localhost
  become: false
  register: uptime

- name: Nobody noticed
  ansible.builtin.assert:
    that: uptime.totals.failed == 0
"""

RETURN = r"""
status:
  description:
    - What became of the prober, V(running), V(ended), V(died) or V(absent).
    - V(died) means that it ended without saying so; what follows is then what it had written.
  returned: always
  type: str
ended_because:
  description: Why it ended, such as V(stopped), V(max_seconds), V(controller ended) or V(directory removed).
  returned: always
  type: str
pid:
  description: Process id of the prober, V(0) when none runs.
  returned: always
  type: int
log:
  description: Path of the log, one JSON object per line.
  returned: always
  type: str
totals:
  description: Figures over all targets.
  returned: always
  type: dict
  contains:
    requests:
      description: Requests that were sent.
      type: int
    failed:
      description: Requests that failed.
      type: int
    median_ms:
      description: Median of the good answers, in milliseconds.
      type: float
    slowest_ms:
      description: Slowest good answer, in milliseconds.
      type: float
    longest_gap_ms:
      description:
        - Longest stretch, in milliseconds, in which requests failed and none succeeded, from the last good answer before to the
          first good answer after it. V(0) when nothing failed.
      type: float
    skipped:
      description: Requests that were due but not sent, because too many were under way or the machine was suspended. Totals only.
      type: int
    started:
      description: When the log begins (ISO 8601, UTC). Totals only.
      type: str
    ended:
      description: When the log ends (ISO 8601, UTC). Totals only.
      type: str
    seconds:
      description: Seconds between the two. Totals only.
      type: float
    rate:
      description: Requests per second that were asked for. Totals only.
      type: float
targets:
  description:
    - The same figures for each target, by name, and more.
  returned: always
  type: dict
  contains:
    each_target:
      description: Figures of the target of that name.
      type: dict
      contains:
        requests: {description: See RV(totals)., type: int}
        failed: {description: See RV(totals)., type: int}
        median_ms: {description: See RV(totals)., type: float}
        slowest_ms: {description: See RV(totals)., type: float}
        longest_gap_ms: {description: See RV(totals)., type: float}
        first_failure:
          description: Time (C(at)) and C(reason) of the first failure; V(null) when there was none.
          type: dict
        last_failure:
          description: Time (C(at)) and C(reason) of the last failure; V(null) when there was none.
          type: dict
        gaps:
          description:
            - The 20 longest gaps in the order of time, each with C(from), C(to), C(ms), C(failed), C(reason) and whether it is C(over).
          type: list
          elements: dict
        identities:
          description: Which releases answered, each with C(identity), C(requests), C(first) and C(last).
          type: list
          elements: dict
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _prober_control as control
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import REQUESTS_IMPORT_ERROR
from ansible_collections.mdlabs.ecommus.plugins.module_utils._prober import Plan

TARGET = {
    "name": {"type": "str", "required": True},
    "url": {"type": "str", "required": True},
    "resolve": {"type": "str", "default": ""},
    "ca_path": {"type": "path"},
    "expect_status": {"type": "list", "elements": "int", "default": [200]},
    "expect_json": {"type": "dict", "default": {}},
    "expect_text": {"type": "str", "default": ""},
    "identity_header": {"type": "str", "default": ""},
    "identity_regex": {"type": "str", "default": ""},
}

ARGUMENTS = {
    "state": {"type": "str", "choices": ["started", "stopped", "read"], "default": "read"},
    "run_dir": {"type": "path", "required": True},
    "id": {"type": "str", "default": "uptime"},
    "targets": {"type": "list", "elements": "dict", "options": TARGET},
    "rate": {"type": "float", "default": 4},
    "timeout": {"type": "float", "default": 5},
    "max_seconds": {"type": "float", "default": 7200},
    "keepalive": {"type": "bool", "default": False},
    "while_pid": {"type": "int"},
}


def plan_from(options: dict[str, t.Any]) -> Plan:
    for name in ("rate", "timeout", "max_seconds"):
        if options[name] <= 0:
            raise EcommusError(f"{name} is {options[name]:g}", "give a number above 0")
    targets = [{**target, "ca_path": target["ca_path"] or ""} for target in options["targets"] or []]
    names = [target["name"] for target in targets]
    if len(set(names)) < len(names) or not names:
        raise EcommusError("the targets need a name each, and there must be one", "give each target its own name")
    for target in targets:
        try:
            re.compile(target["identity_regex"])
        except re.error as error:
            raise EcommusError(f"identity_regex of {target['name']} is no regular expression: {error}", "correct it") from None
    given = {name: options[name] for name in ("rate", "timeout", "max_seconds", "keepalive")}
    return Plan.from_json({"targets": targets, **given, "while_pid": options["while_pid"] or 0})


def started(module: AnsibleModule, directory: str) -> bool:
    plan = plan_from(module.params)
    if control.running(directory):
        if not control.same_plan(directory, plan):
            module.warn(f"the prober in {directory} runs with other settings; stop it first to change them")
        return False
    if not module.check_mode:
        control.start(directory, plan)
    return True


def stopped(module: AnsibleModule, directory: str) -> bool:
    pid = control.running(directory)
    if pid and not module.check_mode and not control.stop(directory, pid, patience=module.params["timeout"] + 10):
        module.warn(f"the prober in {directory} did not end when asked and was killed")
    return bool(pid)


def main(module: AnsibleModule) -> dict[str, t.Any]:
    if REQUESTS_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("requests"), exception=REQUESTS_IMPORT_ERROR)
    name = module.params["id"]
    if os.path.basename(name) != name or name in ("", ".", ".."):
        raise EcommusError(f"{name} cannot be the id of a prober", "give a name without a slash")
    directory = os.path.join(module.params["run_dir"], name)
    act = {"started": started, "stopped": stopped, "read": lambda *_: False}[module.params["state"]]
    changed = act(module, directory)
    found = control.read(directory)
    if found["status"] == "died":
        module.warn(f"the prober in {directory} died; its log ends at {found['totals']['ended']}")
    return {"changed": changed, **found}


if __name__ == "__main__":
    run_module(main, ARGUMENTS, required_if=[("state", "started", ["targets"])])
