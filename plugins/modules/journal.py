#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: journal
short_description: Keep the journal of upgrades and rollbacks on a host
version_added: 0.1.0
description:
  - Writes down on the host which run is open, which phase it is in, and what a later phase or a rollback needs to know.
  - The file is replaced atomically at every step, so that it is true whenever the host or the controller stops.
author: [MD Labs (@mdlabs)]
attributes:
  check_mode: {support: full, description: Reads the journal and returns what would be written; writes nothing.}
  diff_mode: {support: none, description: "The journal is a log, there is nothing to compare."}
options:
  directory:
    description: The state directory of the install; created with mode 0700.
    type: path
    required: true
  state:
    description:
      - V(read) returns the runs.
      - V(begun) opens the run O(run_id).
      - V(entered) notes that O(phase) begins and that the one before it is done.
      - V(noted) adds O(facts) to the run.
      - V(finished) closes the run with O(outcome).
    type: str
    choices: [read, begun, entered, noted, finished]
    default: read
  run_id:
    description: The run; required for every state but V(read).
    type: str
  operation:
    description: What the run does; required with O(state=begun).
    type: str
    choices: [upgrade, rollback]
  source:
    description: What was installed before, for O(state=begun).
    type: dict
    default: {}
  target:
    description: What is to be installed, for O(state=begun).
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
    choices: [succeeded, failed, rolled_back]
"""

EXAMPLES = r"""
- name: Read what was done on this host
  mdlabs.ecommus.journal:
    directory: /opt/ecommus.d/state
  register: ecommus_journal
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
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal


def main(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    journal = Journal.load(given["directory"])
    state = given["state"]
    if state == "read":
        result: dict[str, t.Any] = {"runs": journal.runs, "run": journal.last()}
    else:
        result = {"run": _step(journal, state, given)}
        if not module.check_mode:
            journal.save()
    # Journal steps are bookkeeping of other tasks' changes; they are not changes of the shop themselves.
    result["last_upgrade"] = journal.last("upgrade", "succeeded")
    return {key: value for key, value in result.items() if value is not None}


def _step(journal: Journal, state: str, given: dict[str, t.Any]) -> dict[str, t.Any]:
    if state == "begun":
        run = journal.begin(given["run_id"], given["operation"], given["source"], given["target"])
    else:
        run = journal.run(given["run_id"])
    if state == "entered":
        journal.enter(run, given["phase"])
    elif state == "finished":
        journal.finish(run, given["outcome"])
    run["facts"].update(given["facts"])
    return run


if __name__ == "__main__":
    run_module(
        main,
        {
            "directory": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["read", "begun", "entered", "noted", "finished"], "default": "read"},
            "run_id": {"type": "str"},
            "operation": {"type": "str", "choices": ["upgrade", "rollback"]},
            "source": {"type": "dict", "default": {}},
            "target": {"type": "dict", "default": {}},
            "phase": {"type": "str"},
            "facts": {"type": "dict", "default": {}},
            "outcome": {"type": "str", "choices": ["succeeded", "failed", "rolled_back"]},
        },
        required_if=[
            ("state", "begun", ["run_id", "operation"]),
            ("state", "entered", ["run_id", "phase"]),
            ("state", "noted", ["run_id"]),
            ("state", "finished", ["run_id", "outcome"]),
        ],
    )
