#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Write the report of an upgrade or a rollback
version_added: 0.1.0
description:
  - Puts what the journal and the prober know about a run into one JSON file on the controller.
  - When the run failed in a way that the release is to blame for, writes C(bug-report.md) beside it, ready to be sent to the vendor.
    That is a migration, a build, a boot on side ports, or a service that did not stay alive at the cut-over.
  - The callback P(mdlabs.ecommus.summary#callback) prints a table of what this module returns.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes]
attributes:
  check_mode:
    support: full
    details: Returns the report and writes nothing.
  diff_mode:
    support: none
    details: Every report is a new file.
  idempotent:
    support: full
    details: The same arguments make the same report, which is a record and does not count as a change.
options:
  directory:
    description: Directory on the controller for this run and host.
    type: path
    required: true
  host:
    description: Name of the host.
    type: str
    required: true
  operation:
    description: What the run did.
    type: str
    choices: [upgrade, rollback]
    required: true
  run:
    description: The run, as M(mdlabs.ecommus.journal) returned it; empty when none was opened.
    type: dict
    default: {}
  prober:
    description: What M(mdlabs.ecommus.uptime_prober) returned; empty when none ran.
    type: dict
    default: {}
  pruned:
    description: What M(mdlabs.ecommus.prune) returned; empty when it was not called.
    type: dict
    default: {}
  failure:
    description: Why the run failed; empty when it did not.
    type: str
    default: ""
  notices:
    description: What else the operator should know.
    type: list
    elements: str
    default: []
  version:
    description: What is installed, for a run that was not opened.
    type: str
    default: ""
seealso:
  - module: mdlabs.ecommus.journal
  - module: mdlabs.ecommus.uptime_prober
"""

EXAMPLES = r"""
- name: Read what was done
  mdlabs.ecommus.journal:
    directory: /opt/ecommus.d/state
  register: journal

- name: Write the report of the last run on the controller
  mdlabs.ecommus.report:
    directory: /var/log/ecommus/{{ inventory_hostname }}
    host: "{{ inventory_hostname }}"
    operation: upgrade
    run: "{{ journal.run }}"
  delegate_to: localhost
  become: false
  register: report
"""

RETURN = r"""
ecommus_report:
  description: The report, without the evidence that the file has.
  returned: success
  type: dict
  contains:
    host: {description: Name of the host., type: str}
    operation: {description: V(upgrade) or V(rollback)., type: str}
    run_id: {description: "Name of the run; V(null) when no run was opened.", type: str}
    outcome: {description: "V(upgraded), V(rolled_back), V(unchanged), V(refused), V(failed), V(held) or V(rollback_failed).", type: str}
    from_version: {description: "What was installed; V(null) when not known.", type: str}
    to_version: {description: "What was to be installed; V(null) when not known.", type: str}
    started: {description: "When the run was opened; V(null) when no run was opened.", type: str}
    finished: {description: "When it was closed; V(null) when no run was opened.", type: str}
    seconds: {description: "Seconds between the two; V(null) when no run was opened.", type: float}
    change_window_seconds: {description: "Seconds for which the workers stood still; V(null) when they did not.", type: float}
    requests: {description: "Requests of the prober; V(null) when no prober ran.", type: int}
    requests_failed: {description: "How many of them failed; V(null) when no prober ran.", type: int}
    services:
      description: >-
        The same per service, with C(median_ms), C(slowest_ms) and C(longest_gap_ms); C(releases) tells which release answered from when
        (C(first)) to when (C(last)), where the answers of the service tell it.
      type: dict
    snapshot: {description: "Path of the snapshot on the host; V(null) when none was made.", type: str}
    at_stake:
      description:
        - What the shop had written since the snapshot when a rollback began, as RV(mdlabs.ecommus.pg_salvage#module:tables).
        - V(null) when no data went back, or when it could not be counted.
      type: dict
    rollback_available_until:
      description: Until when the way back over the standby database is kept; V(null) when O(pruned) does not say.
      type: str
    bytes_kept: {description: "Bytes on the host that are kept to be able to go back; V(null) when O(pruned) does not say.", type: int}
    notices: {description: "What an operator should know although nothing failed.", type: list, elements: str}
    manual_steps: {description: "What is left to the operator, of the release notes and otherwise.", type: list, elements: str}
    deprecations: {description: What the release notes call deprecated., type: list, elements: raw}
    problem: {description: What went wrong., type: str}
    remedy: {description: What to do about it., type: str}
    report: {description: Path of the file on the controller., type: str}
    bug_report: {description: Path of the bug report on the controller; empty when there is none., type: str}
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _bug_report, _report
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module


def main(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    keys = ("host", "operation", "run", "prober", "failure", "version", "pruned", "notices")
    report = _report.build(*(given[key] for key in keys))
    path, bug_report = os.path.join(given["directory"], "report.json"), ""
    if not module.check_mode:
        bug_report = _bug_report.write(given["run"], given["directory"])
        path = _report.write({**report, "bug_report": bug_report}, given["directory"])
    short = {key: value for key, value in report.items() if key != "evidence"}
    # A report is a record of the run, not a change of the shop.
    return {"changed": False, "ecommus_report": {**short, "report": path, "bug_report": bug_report}}


if __name__ == "__main__":
    run_module(
        main,
        {
            "directory": {"type": "path", "required": True},
            "host": {"type": "str", "required": True},
            "operation": {"type": "str", "choices": ["upgrade", "rollback"], "required": True},
            "run": {"type": "dict", "default": {}},
            "prober": {"type": "dict", "default": {}},
            "pruned": {"type": "dict", "default": {}},
            "failure": {"type": "str", "default": ""},
            "version": {"type": "str", "default": ""},
            "notices": {"type": "list", "elements": "str", "default": []},
        },
    )
