#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal
short_description: Keep the journal and the lock of upgrades and rollbacks on a host
version_added: 0.1.0
description:
  - Writes down on the host which run is open, which phase it is in, and what a later phase or a rollback needs to know.
  - The file is replaced atomically at every step, so that it is true whenever the host or the controller stops.
  - A run holds the lock of the install from V(begun) to V(finished). Every step of another run or of another controller is refused.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes]
attributes:
  action:
    support: full
    description: An action plugin says which process of the controller asks.
  check_mode:
    support: full
    details: Reads the journal and returns what would be written.
  diff_mode:
    support: none
    details: The journal is a log, there is nothing to compare.
  idempotent:
    support: partial
    details: V(entered), V(noted), V(finished) write each time. As bookkeeping of other tasks' changes none of it counts as a change.
options:
  directory:
    description: The state directory of the install; created with mode 0700.
    type: path
    required: true
  state:
    description:
      - V(read) returns the runs.
      - V(planned) says what O(operation) means after the runs before, and refuses it when it must not be done now. Notes
        only that O(acknowledged) was dealt with.
      - V(begun) takes the lock and opens the run O(run_id), or takes it up when it was interrupted.
      - V(entered) notes that O(phase) begins and that the one before it is done, unless the run is in it already.
      - V(noted) adds O(facts) to the run.
      - V(finished) closes the run with O(outcome) and lets go of the lock.
      - V(locked) takes the lock for work that is no run and goes by the name O(run_id); V(unlocked) lets go of it.
    type: str
    choices: [read, planned, begun, entered, noted, finished, locked, unlocked]
    default: read
  run_id:
    description: The run; required for every state but V(read).
    type: str
  operation:
    description: What the run does; required with O(state=planned) and O(state=begun).
    type: str
    choices: [upgrade, rollback]
  source:
    description: What was installed before, for O(state=begun).
    type: dict
    default: {}
  target:
    description: What is to be installed, for O(state=planned) and O(state=begun); its C(version) decides which run is taken up.
    type: dict
    default: {}
  phase:
    description: Name of the phase, for O(state=entered).
    type: str
  facts:
    description: Facts to keep with the run. Never put a secret here.
    type: dict
    default: {}
  outcome:
    description: How the run ended, for O(state=finished).
    type: str
    choices: [succeeded, failed, rolled_back, rollback_failed]
  acknowledged:
    description: The run whose failed way back the operator has dealt with by hand, for O(state=planned) and O(state=begun).
    type: str
    default: ""
  unless_interrupted:
    description: Whether O(state=locked) is refused after a run that was interrupted half-way.
    type: bool
    default: false
  take_lock:
    description: The run that may lose the lock, because the operator knows that nobody works on it any more.
    type: str
    default: ""
  lock_stale_seconds:
    description: The lock may be taken over when its holder made no step for so many seconds. No phase may take longer.
    type: int
    default: 3600
  controller:
    description: The process of the controller that asks. Filled in by the action plugin.
    type: dict
    suboptions:
      owner: {description: User on the controller., type: str, default: ""}
      host: {description: Name of the controller., type: str, default: ""}
      machine: {description: What tells it from another machine or container of that name., type: str, default: ""}
      pid: {description: Process id of ansible-playbook., type: int, default: 0}
      gone: {description: The run whose process is known to have ended., type: str, default: ""}
seealso:
  - module: mdlabs.ecommus.report
  - module: mdlabs.ecommus.prune
"""

EXAMPLES = r"""
- name: Read what was done on this host
  mdlabs.ecommus.journal:
    directory: /opt/ecommus.d/state
  register: journal

- name: Keep runs away while something is done by hand
  mdlabs.ecommus.journal:
    directory: /opt/ecommus.d/state
    state: locked
    run_id: 20261122T203000Z-by-hand
    unless_interrupted: true

- name: Let them come again
  mdlabs.ecommus.journal:
    directory: /opt/ecommus.d/state
    state: unlocked
    run_id: 20261122T203000Z-by-hand
"""

RETURN = r"""
run:
  description: The run that was written, or with O(state=read) the newest one.
  returned: when there is one
  type: dict
last_upgrade:
  description: The newest upgrade that succeeded.
  returned: when there is one
  type: dict
runs:
  description: Every run, oldest first.
  returned: O(state=read)
  type: list
  elements: dict
holder:
  description: Whose the lock is, with C(run_id), C(controller), C(boot_id) and C(since).
  returned: O(state=read) and O(state=planned), when it is held, and when a step was refused for that
  type: dict
plan:
  description: What O(operation) means now.
  returned: O(state=planned)
  type: dict
  contains:
    run_id: {description: "O(run_id), or the run that is taken up.", type: str}
    resumed: {description: Whether a run is taken up., type: bool}
    touched: {description: Whether that run may have changed the live shop already., type: bool}
    direction: {description: "V(forward), V(back) (the way back of an upgrade goes on) or V(none) (nothing to undo).", type: str}
    run: {description: The run that is taken up., type: dict}
    undoes: {description: The upgrade that a rollback undoes., type: dict}
    halfway: {description: "Whether a rollback finds the shop half-way, so that the installed release says nothing.", type: bool}
    unfinished: {description: The run that left it so., type: dict}
controller:
  description: Who asked, for the option C(journal) of modules that work for this run.
  returned: when O(controller) is given
  type: dict
lock_lost:
  description: Whether the step was refused because the run no longer has the lock.
  returned: on that failure
  type: bool
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _keeper
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import CONTROLLER


def main(module: AnsibleModule) -> dict[str, t.Any]:
    keeper = _keeper.Keeper.of(module.params, check=module.check_mode)
    result = keeper.act(module.params["state"])
    for warning in keeper.warnings:
        module.warn(warning)
    # Journal steps are bookkeeping of other tasks' changes; they are not changes of the shop themselves.
    result["controller"] = module.params["controller"]
    return {key: value for key, value in result.items() if value is not None}


if __name__ == "__main__":
    run_module(
        main,
        {
            "directory": {"type": "path", "required": True},
            "state": {
                "type": "str",
                "choices": ["read", "planned", "begun", "entered", "noted", "finished", "locked", "unlocked"],
                "default": "read",
            },
            "run_id": {"type": "str"},
            "operation": {"type": "str", "choices": ["upgrade", "rollback"]},
            "source": {"type": "dict", "default": {}},
            "target": {"type": "dict", "default": {}},
            "phase": {"type": "str"},
            "facts": {"type": "dict", "default": {}},
            "outcome": {"type": "str", "choices": ["succeeded", "failed", "rolled_back", "rollback_failed"]},
            "acknowledged": {"type": "str", "default": ""},
            "unless_interrupted": {"type": "bool", "default": False},
            "take_lock": {"type": "str", "default": ""},
            "lock_stale_seconds": {"type": "int", "default": 3600},
            "controller": {"type": "dict", "options": CONTROLLER},
        },
        required_if=[
            ("state", "planned", ["run_id", "operation"]),
            ("state", "begun", ["run_id", "operation"]),
            ("state", "entered", ["run_id", "phase"]),
            ("state", "noted", ["run_id"]),
            ("state", "locked", ["run_id"]),
            ("state", "unlocked", ["run_id"]),
            ("state", "finished", ["run_id", "outcome"]),
        ],
    )
