#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_salvage
short_description: Keep the orders that were taken between a snapshot and the return to it
version_added: 0.1.0
description:
  - After M(mdlabs.ecommus.pg_swap) has made a restored snapshot the live database, the rows that the shop wrote in between are only in the
    database that was put aside. This module finds them, per table and by key, and inserts them into the live database.
  - Rows go in the order of the foreign keys, in one transaction, with triggers off (what those wrote is among the rows). Columns that the
    live table does not have are left behind. A row that is refused is not lost, it goes into O(review_file).
  - Sequences are set past every number that was given out.
  - Rows that a migration added are left out, for the next upgrade adds them again. They are known by the transaction of the migration's
    entry in its ledger. Those that were dumped and restored since, for the way back of a later upgrade, cannot be told from the shop's own,
    and are carried over. The ledgers themselves are never carried over.
  - Before the databases are exchanged, O(replacement) lets it count what the return would take away.
  - With O(updates), rows that were changed get their later content, unless the live row was changed since the way back as well, a
    migration changed rows of the table, or the database put aside was itself restored since the snapshot. Those go into O(review_file), and
    so do rows that were deleted and are back.
  - Not undone by any of this is what lies outside the database, such as payments, mails, webhooks and uploaded files.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.postgres]
attributes:
  check_mode:
    support: full
    details: Counts what would be carried over. A row that the live database would refuse is not predicted.
  diff_mode:
    support: full
    details: Shows the numbers of rows per table.
  idempotent:
    support: full
    details: Rows that are there already are not carried over again.
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.postgres]
options:
  mode:
    description:
      - V(replay) carries over, V(report) only counts and writes O(review_file), V(off) does nothing.
    type: str
    choices: [replay, report, "off"]
    default: replay
  failed_database:
    description: Name of the database that was put aside, or will be.
    type: str
    required: true
  replacement:
    description:
      - Name of the copy of the snapshot that is to become the live database. As long as there is no O(failed_database), the rows that the
        live database has beyond this copy are counted. Only with O(mode=report).
      - Both are only read. That costs two passes over each table of the live database, and for each row that was written since (also by a
        migration that filled a column back) a look at the copy by key.
    type: str
  path:
    description:
      - The snapshot that the live database was restored from.
      - Without it every row of every table is compared, deleted rows cannot be counted, and the rows of migrations cannot be told apart.
    type: path
  updates:
    description:
      - Whether rows that were changed get their later content, as far as that is safe. They are counted and kept in O(review_file)
        otherwise.
      - Without O(path) none does, since nobody knows what a migration changed.
    type: bool
    default: false
  review_file:
    description:
      - File for the rows that a person has to look at, one JSON object per line with C(table), C(kind), C(reason) and C(row). It holds
        customers' data; its mode is V(0600). With O(mode=report) every row that was found is in it. Not written in check mode.
    type: path
  ledgers:
    description: Tables that hold which migrations have run.
    type: list
    elements: str
    default: [_ecommus_core_migrations, _ecommus_plugin_migrations]
seealso:
  - module: mdlabs.ecommus.pg_swap
  - module: mdlabs.ecommus.pg_snapshot
"""

EXAMPLES = r"""
- name: Bring the orders of the last minutes back
  mdlabs.ecommus.pg_salvage:
    env_file: /opt/ecommus/.env
    failed_database: ecommus_prod_failed_v1_4_0
    path: /var/backups/ecommus/pre-v1.4.0.dump
    review_file: /var/lib/ecommus/runs/20261122T203000Z/salvage.jsonl

- name: What is at stake if we go back now?
  mdlabs.ecommus.pg_salvage:
    mode: report
    env_file: /opt/ecommus/.env
    failed_database: ecommus_prod_failed_v1_4_0
    replacement: ecommus_prod_before_v1_4_0
    path: /var/backups/ecommus/pre-v1.4.0.dump
"""

RETURN = r"""
tables:
  description: By table, those in which something was found.
  returned: O(mode) is not V(off)
  type: dict
  contains:
    each_table:
      description: What was found in the table of that name.
      type: dict
      contains:
        inserted: {description: Rows carried over (or to be carried over)., type: int}
        updated: {description: Rows that were changed since the snapshot and got (or are to get) their later content., type: int}
        changed: {description: Rows that were changed since and stay as they were at the snapshot., type: int}
        deleted: {description: "Rows that were deleted since and are back; V(null) if unknown.", type: int}
        by_migration: {description: Rows that a migration wrote., type: int}
        not_transferable: {description: Rows that the live database refuses., type: int}
        reasons: {description: Why; five at most., type: list, elements: str}
        columns_left_behind: {description: Columns that the live table does not have., type: list, elements: str}
totals:
  description: The same numbers over all tables.
  returned: O(mode) is not V(off)
  type: dict
sequences:
  description: Sequences that were behind and the value they were set to.
  returned: O(mode) is not V(off)
  type: dict
review_file:
  description: Where the rows to look at are.
  returned: when it was written
  type: str
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
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _salvage as salvage
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import ONE_OF, postgres_options, targets_of


def main(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    if given["mode"] == "off":
        return {"changed": False}
    if given["replacement"] and given["mode"] == "replay":
        raise EcommusError("nothing is carried over before the databases are exchanged", "use mode: report, or leave replacement out")
    review = "" if module.check_mode else given["review_file"] or ""
    wish = salvage.Wish(given["mode"] == "replay" and not module.check_mode, given["updates"], review, tuple(given["ledgers"]))
    target, _admin = targets_of(given)
    failed, path = given["failed_database"], given["path"] or ""
    if given["replacement"]:
        result = salvage.at_stake(target, given["replacement"], failed, path, wish)
    else:
        result = salvage.salvage(target, failed, path, wish)
    if given["mode"] == "report":
        result["changed"] = False
    if review:
        result["review_file"] = review
    if result["changed"]:
        lines = [(name, table["inserted"], table["updated"]) for name, table in result["tables"].items()]
        after = "".join(f"{name}: {more} rows more, {other} changed\n" for name, more, other in lines if more or other)
        result["diff"] = {"before": "", "after": after}
    return result


if __name__ == "__main__":
    run_module(
        main,
        {
            **postgres_options(),
            "mode": {"type": "str", "choices": ["replay", "report", "off"], "default": "replay"},
            "failed_database": {"type": "str", "required": True},
            "replacement": {"type": "str"},
            "path": {"type": "path"},
            "updates": {"type": "bool", "default": False},
            "review_file": {"type": "path"},
            "ledgers": {"type": "list", "elements": "str", "default": list(salvage.LEDGERS)},
        },
        required_one_of=ONE_OF,
    )
