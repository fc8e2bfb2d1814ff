#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pg_snapshot
short_description: Make, verify, restore and remove snapshots of a shop's database
version_added: 0.1.0
description:
  - A snapshot is a compressed dump C(<name>.dump) and a manifest C(<name>.manifest.json) beside it, both readable by their owner only.
  - The manifest holds size and SHA-256 of the dump, and per table the number of rows and a hash of their content, taken in the very
    transaction that was dumped. So a restored database can be proven equal to its source although the shop went on selling.
  - A dump is written under another name, read through from end to end, and only then given its name. A damaged one is found.
  - A snapshot is restored into a new database beside the live one. See M(mdlabs.ecommus.pg_swap) for putting it in its place.
  - Where no database can be made beside it, O(state=reverted) restores into the live one, which takes as long as the restore does.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.postgres, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
    details: All checks run that change nothing. The size of a snapshot is not predicted.
  diff_mode:
    support: full
    details: Shows what would be created or removed.
  idempotent:
    support: partial
    details: >-
      O(state=shipped) runs its program each time. O(state=reverted) without O(keep) takes back what was written since it was run.
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.postgres]
options:
  state:
    description:
      - V(present) makes the snapshot O(path), unless it is there; one that is there is verified.
      - V(verified) reads an existing snapshot to its end and compares it with its manifest.
      - V(encrypted) puts a file that only O(recipients) can read in the place of the dump, C(<name>.dump.age).
      - V(shipped) runs O(ship), each time anew.
      - V(described) returns the manifest of O(path), if given and there, and the state of the server. It changes nothing.
      - V(restored) restores O(path) into the new database O(target_database) and compares the result with the manifest. A database of
        that name that already is an equal copy is left alone.
      - V(proven) is V(present) and then V(restored), so that the snapshot is proven to restore.
      - V(reverted) makes the live database hold exactly what the snapshot O(path) holds, for where the role may not create databases or the
        disk has no room for a copy. The shop must have been stopped. See the notes.
      - V(absent) removes the snapshot O(path) and the database O(target_database), whichever is given. The live database is refused.
    type: str
    choices: [present, verified, encrypted, shipped, described, restored, proven, reverted, absent]
    default: present
  path:
    description: The dump, absolute, ending in C(.dump). Its directory is created with mode V(0700).
    type: path
  recipients:
    description:
      - Public keys to encrypt to, as C(age --recipient) takes them. Required with O(state=encrypted), which needs the command C(age).
      - The dump is plain on the disk, with mode 0600, from O(state=present) to O(state=encrypted), because a parallel restore and reading
        it through need a file. What is left of it on the disk's free blocks is not overwritten.
    type: list
    elements: str
    default: []
  identity_file:
    description:
      - File with the private key for an encrypted snapshot. Needed for O(state=restored) and O(state=reverted) only. It is decrypted
        through a pipe, so the dump is never plain on the disk, and restored by one job.
      - With O(state=verified), an encrypted snapshot is read to its end when this is given; else its size and SHA-256 are compared.
    type: path
  ship:
    description:
      - Program and arguments that take the snapshot off the host; C({path}) is replaced by the path of its file.
      - Required with O(state=shipped).
      - No shell is involved, and none of the caller's environment but E(HOME), E(PATH) and the like. It may take O(timeout) seconds.
    type: list
    elements: str
    default: []
  target_database:
    description: Name of the database to restore into or to remove.
    type: str
  unless_database:
    description:
      - With O(state=restored), does nothing when there is a database of this name.
      - Give the name under which M(mdlabs.ecommus.pg_swap) keeps the live database. A repeated run then does not restore
        again what was swapped in.
    type: str
  keep:
    description:
      - With O(state=reverted), the snapshot that is made of the live database before anything in it is dropped, a path like O(path).
      - It is made once. When something was written since, as after a first attempt that failed, it steps aside under a name with its time,
        and another is made. A database that a killed run has emptied is not dumped.
      - Its manifest says that the database was reverted. From then on nothing is changed any more, whatever is written into the database.
      - The sequences are then set past what was given out until it was made, so that no number is given out twice.
    type: path
  bin_dir:
    description:
      - Directory of C(pg_dump) and C(pg_restore). By default PATH and the places of Debian's and PostgreSQL's packages are searched
        for the server's own major version, or else the oldest newer one that fits.
    type: path
  jobs:
    description: Parallel jobs of a restore. By default one core is left to the shop. With V(1) it is a single transaction.
    type: int
  compress:
    description: What C(pg_dump --compress) takes. V(auto) is V(zstd:1) where the programs have it, else V(1) (gzip).
    type: str
    default: auto
  dump_ratio:
    description: Expected size of the dump as a share of the tables' size; decides whether it fits on the disk before it is begun.
    type: float
    default: 0.5
  require_settings:
    description:
      - Whether a restore fails when the role may not give the copy every setting of the source, be it of C(ALTER DATABASE ... SET) or of
        C(ALTER ROLE ... IN DATABASE ... SET). Some can be made by superusers only. With V(false) they are listed in RV(restored.warnings).
    type: bool
    default: true
  lock_timeout:
    description: Seconds that C(pg_dump) waits for a table that is locked by others.
    type: float
    default: 30
  timeout:
    description: Seconds that C(pg_dump) or C(pg_restore) may take.
    type: float
    default: 3600
notes:
  - O(state=reverted) reads O(path) through, ends the other sessions of its role in the database, drops all that belongs to no extension and
    the extensions that the snapshot does not know, and restores O(path) in a single transaction. Before the objects are dropped for good,
    the server has taken the whole schema of the snapshot once. The database is whole or empty whenever this is killed; run it again then.
  - It needs no right but those of the owner of all objects, and O(admin_url) plays no part. It is refused while nothing is lost when
    objects belong to others, or when there are kinds that it does not take back, which are publications, subscriptions, event triggers,
    foreign servers, languages, default privileges, and extensions with rows of their own.
  - What a database is beside its objects, such as its settings and grants, is compared before, and it is refused when that differs.
seealso:
  - module: mdlabs.ecommus.pg_swap
  - module: mdlabs.ecommus.pg_salvage
  - module: mdlabs.ecommus.prune
"""

EXAMPLES = r"""
- name: Snapshot before the upgrade
  mdlabs.ecommus.pg_snapshot:
    env_file: /opt/ecommus/.env
    path: /var/backups/ecommus/pre-v1.4.0.dump

- name: Prove that it restores, and have the way back ready
  mdlabs.ecommus.pg_snapshot:
    state: restored
    env_file: /opt/ecommus/.env
    admin_url: "{{ ecommus_database_admin_url }}"
    path: /var/backups/ecommus/pre-v1.4.0.dump
    target_database: ecommus_prod_before_v1_4_0

- name: Go back to it where no copy could be made, while the shop is stopped
  mdlabs.ecommus.pg_snapshot:
    state: reverted
    env_file: /opt/ecommus/.env
    path: /var/backups/ecommus/pre-v1.4.0.dump
    keep: /var/backups/ecommus/failed-v1.4.0.dump

- name: Remove both when the rollback window has passed
  mdlabs.ecommus.pg_snapshot:
    state: absent
    env_file: /opt/ecommus/.env
    path: /var/backups/ecommus/pre-v1.4.0.dump
    target_database: ecommus_prod_before_v1_4_0
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
manifest:
  description: What the snapshot is. Also kept beside the dump.
  returned: unless RV(manifest) would be empty (described without a snapshot, absent, check mode of present)
  type: dict
  contains:
    format: {description: Version of the manifest's own form., type: int}
    path: {description: The dump., type: str}
    file: {description: The file that there is; that of an encrypted one ends in C(.age)., type: str}
    encrypted: {description: Whether it is encrypted; absent when not., type: bool}
    size: {description: Its size in bytes., type: int}
    sha256: {description: Its SHA-256., type: str}
    created: {description: "When the transaction began that was dumped; ISO 8601, UTC.", type: str}
    server_version: {description: Version of the server., type: str}
    client_version: {description: Version of pg_dump., type: str}
    compress: {description: The compression used., type: str}
    database: {description: Name of the database., type: str}
    database_bytes: {description: Its size on the server in bytes., type: int}
    lsn: {description: Position in the write-ahead log., type: str}
    xid: {description: Oldest transaction that was still open., type: str}
    snapshot: {description: The transaction's view as PostgreSQL's pg_snapshot text., type: str}
    postmaster_started: {description: Start of the server; statistics are comparable only under the same one., type: str}
    tables: {description: Per table C(rows) and C(hash)., type: dict}
    sequences: {description: Per sequence C(last_value) and C(increment)., type: dict}
    structure: {description: Per kind of object C(count) and C(hash) over names owners and grants., type: dict}
    statistics: {description: Per table rows inserted updated and deleted since the statistics began., type: dict}
    extensions: {description: Versions of the extensions., type: dict}
    facts: {description: 'Owner, encoding, locale, settings, grants, connection limit and comment of the database.', type: dict}
    fingerprint: {description: SHA-256 over RV(manifest.tables)., type: str}
    reverted_to: {description: The snapshot to which the database was reverted after this one was made of it., type: str}
    copies:
      description: Per database that was restored from it, what tells without reading its rows whether somebody has written into it since.
      type: dict
restored:
  description: The copy that was made.
  returned: state=restored or state=proven, and it was not there
  type: dict
  contains:
    database: {description: Its name., type: str}
    seconds: {description: How long restoring and proving took., type: float}
    rows: {description: Rows in all tables., type: int}
    warnings: {description: What differs without harm., type: list, elements: str}
reverted:
  description: What the live database became.
  returned: state=reverted, and it was not so
  type: dict
  contains:
    database: {description: Its name., type: str}
    seconds: {description: 'How long it took, with the dump that is kept.', type: float}
    rows: {description: Rows in all tables., type: int}
    warnings: {description: What differs without harm., type: list, elements: str}
kept:
  description: The snapshot of what the live database was before.
  returned: state=reverted with O(keep), not in check mode, and there was something to keep
  type: str
begun:
  description: That objects of the live database were dropped before it failed, so that it is empty or is not what it should be.
  returned: state=reverted, when it failed after that
  type: bool
server:
  description: The state of the server.
  returned: state=described
  type: dict
  contains:
    server_version: {description: Its version., type: str}
    role: {description: The role that was used (of O(admin_url) if given)., type: str}
    owner: {description: Owner of the shop's database., type: str}
    is_owner: {description: Whether the role is that owner or a member., type: bool}
    superuser: {description: Whether the role is a superuser., type: bool}
    can_create_database: {description: Whether the role may create databases., type: bool}
    databases: {description: 'Name, owner, bytes and allow_connections of each database.', type: list, elements: dict}
    prepared_transactions: {description: Identifiers of prepared transactions of the shop's database., type: list, elements: str}
    long_transactions: {description: "Those of 60 seconds or more: pid, role, seconds, state, application.", type: list, elements: dict}
    data_directory: {description: "Where the server keeps its data; V(null) when the role may not know it.", type: str}
    tools: {description: 'directory and version of the client programs that fit, or error.', type: dict}
differences:
  description: In what the restored database, or the one that is there, differs from the snapshot.
  returned: when it does
  type: list
  elements: str
settings:
  description: Settings that the role may not give the copy.
  returned: when O(require_settings) makes that an error
  type: list
  elements: str
free_bytes:
  description: Bytes that are free where the snapshot would be written.
  returned: when they are too few
  type: int
needed_bytes:
  description: Bytes that it needs about.
  returned: when there are too few
  type: int
command:
  description: The program that did not end in time, secrets removed.
  returned: on that failure
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
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore as restore
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot_states as states
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import ONE_OF, postgres_options, targets_of


@noted
def main(module: AnsibleModule) -> dict[str, t.Any]:
    given = module.params
    target, admin = targets_of(given)
    request = states.Request(
        target=target,
        admin=admin,
        path=given["path"] or "",
        database=given["target_database"] or "",
        jobs=given["jobs"] or restore.default_jobs(),
        options=snapshot.Options(
            bin_dir=given["bin_dir"] or "",
            path_prefix=given["path_prefix"],
            compress=given["compress"],
            timeout=given["timeout"],
            lock_timeout=given["lock_timeout"],
            dump_ratio=given["dump_ratio"],
            require_settings=given["require_settings"],
            recipients=given["recipients"],
            identity_file=given["identity_file"] or "",
            ship=given["ship"],
        ),
        unless_database=given["unless_database"] or "",
        keep=given["keep"] or "",
        check=module.check_mode,
    )
    return states.STATES[given["state"]](request)


if __name__ == "__main__":
    run_module(
        main,
        {
            **postgres_options(),
            **journal_options(),
            "state": {"type": "str", "choices": list(states.STATES), "default": "present"},
            "path": {"type": "path"},
            "recipients": {"type": "list", "elements": "str", "default": []},
            "identity_file": {"type": "path"},
            "ship": {"type": "list", "elements": "str", "default": []},
            "target_database": {"type": "str"},
            "unless_database": {"type": "str"},
            "keep": {"type": "path"},
            "bin_dir": {"type": "path"},
            "jobs": {"type": "int"},
            "compress": {"type": "str", "default": "auto"},
            "dump_ratio": {"type": "float", "default": snapshot.DUMP_RATIO},
            "require_settings": {"type": "bool", "default": True},
            "lock_timeout": {"type": "float", "default": 30},
            "timeout": {"type": "float", "default": 3600},
        },
        required_one_of=ONE_OF,
        required_if=[
            ("state", "present", ["path"]),
            ("state", "verified", ["path"]),
            ("state", "encrypted", ["path", "recipients"]),
            ("state", "shipped", ["path", "ship"]),
            ("state", "restored", ["path", "target_database"]),
            ("state", "proven", ["path", "target_database"]),
            ("state", "reverted", ["path"]),
            ("state", "absent", ["path", "target_database"], True),
        ],
    )
