#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: prune
short_description: Remove what upgrades and rollbacks left behind and nobody goes back to
version_added: 0.1.0
description:
  - Judges releases, snapshots, dumps of what failed, standby and kept databases, backups of the environment file and evidence of runs by
    the journal.
  - Always kept are the live release, the one before the last upgrade, releases that a process runs from, the last good snapshot, the
    live database, databases with sessions in them, and everything of a run that is open.
  - Everything of a run that was interrupted, or whose way back failed, is kept until a later run succeeded or it was acknowledged.
  - The standby database of an upgrade goes at once when a later upgrade succeeded. The last one's, kept databases, dumps of what failed,
    snapshots, backups and other releases go O(rollback_window_days) after the run that made them, or after the one that undid it, has
    ended.
  - A database, a snapshot or a backup is ours only when the journal names its run; others are not looked at. Review files of a rollback
    stay, since they hold what customers wrote.
  - Each thing is judged once more right before it is removed, so the module may run while an upgrade begins.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.install, mdlabs.ecommus.postgres]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Lists what there is before and after.
  idempotent:
    support: full
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.install, mdlabs.ecommus.postgres]
options:
  state_dir:
    description: The state directory of the install, with the journal and the evidence.
    type: path
    required: true
  snapshot_dir:
    description: The directory for snapshots.
    type: path
    required: true
  rollback_window_days:
    description: Days for which the way back of a run is kept.
    type: int
    default: 7
  keep_runs:
    description: How many runs keep their evidence on the host.
    type: int
    default: 10
  strict:
    description: Whether the module fails when something could not be removed. Otherwise it warns. The rest is removed either way.
    type: bool
    default: true
seealso:
  - module: mdlabs.ecommus.journal
  - module: mdlabs.ecommus.pg_snapshot
  - module: mdlabs.ecommus.release
"""

EXAMPLES = r"""
- name: See what would go, and why the rest stays
  mdlabs.ecommus.prune:
    root: /opt/ecommus
    state_dir: /opt/ecommus.d/state
    snapshot_dir: /var/backups/ecommus
    env_file: /opt/ecommus/.env
  check_mode: true
  register: predicted

- name: Remove what is older than two weeks
  mdlabs.ecommus.prune:
    root: /opt/ecommus
    state_dir: /opt/ecommus.d/state
    snapshot_dir: /var/backups/ecommus
    env_file: /opt/ecommus/.env
    rollback_window_days: 14
  register: pruned
"""

RETURN = r"""
removed:
  description: What was removed, or in check mode would be.
  returned: always
  type: list
  elements: dict
  contains: &thing
    kind: {description: "V(release), V(snapshot), V(database), V(environment backup) or V(evidence).", type: str}
    name: {description: "Its path, the name of the database, or the id of the run.", type: str}
    bytes: {description: Bytes that it takes on the disk., type: int}
    why: {description: Why it goes or stays., type: str}
kept:
  description: What stays.
  returned: always
  type: list
  elements: dict
  contains: *thing
errors:
  description: What could not be removed, each with the C(error) beside the keys of RV(kept).
  returned: always
  type: list
  elements: dict
bytes_freed:
  description: Bytes of RV(removed). What has a second name elsewhere on the disk is not counted.
  returned: always
  type: int
bytes_kept:
  description: Bytes of RV(kept) without the live release, and so what it costs to be able to go back.
  returned: always
  type: int
rollback_available_until:
  description:
    - When the window of the last upgrade ends (UTC); until then the standby database makes the way back of the data an exchange of names.
    - After it the release before and the snapshot still are there, and a rollback restores the snapshot first.
  returned: when the last upgrade was not undone and its window has not ended
  type: str
summary:
  description: What was removed and what stays, as lines for people.
  returned: always
  type: list
  elements: str
sqlstate:
  description: The server's code for the problem; V(null) when there is none.
  returned: on an error of the server
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import datetime
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _prune
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._install_options import install_options, paths_of
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import ONE_OF, postgres_options, targets_of
from ansible_collections.mdlabs.ecommus.plugins.module_utils._retention import Policy


def main(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    try:
        install = _prune.Install(paths_of(given), given["state_dir"], given["snapshot_dir"], *targets_of(given))
        policy = Policy(datetime.timedelta(days=given["rollback_window_days"]), given["keep_runs"])
        outcome = _prune.prune(install, policy, check=module.check_mode)
        result = outcome.as_dict()
        problem = outcome.problem()
    except EcommusError as error:
        if given["strict"]:
            raise
        result, problem = {}, error
    if problem and given["strict"]:
        raise EcommusError(problem.message, problem.remedy, **result)
    if problem:
        module.warn(str(problem))
    return result


if __name__ == "__main__":
    run_module(
        main,
        {
            **postgres_options(),
            **install_options(),
            "state_dir": {"type": "path", "required": True},
            "snapshot_dir": {"type": "path", "required": True},
            "rollback_window_days": {"type": "int", "default": 7},
            "keep_runs": {"type": "int", "default": 10},
            "strict": {"type": "bool", "default": True},
        },
        required_one_of=ONE_OF,
    )
