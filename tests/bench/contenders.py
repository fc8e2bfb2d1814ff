# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is compared: the documented procedure, a playbook of stock modules, and the collection's playbooks."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecommus_lab.config import WORKERS
from ecommus_lab.lab import Lab, write_private
from ecommus_lab.running import RunningShop
from psycopg.conninfo import conninfo_to_dict

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FROM, TO = "v1.3.2", "v1.4.0"


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to upgrade a shop and to roll it back: two commands for the controller.

    ``prepare`` runs before the clock starts: what is done once in the life of an install and not in each upgrade.
    """

    name: str
    upgrade: Sequence[str]
    rollback: Sequence[str]
    prepare: Sequence[str] = ()


def contenders(lab: Lab, shops: Sequence[RunningShop], scratch: Path) -> list[Contender]:
    """All three, in the order in which they run.

    :param scratch: a directory that only we may read.
    """
    return [_documented(lab, shops, scratch), _stock(), _ours(scratch)]


def facts(lab: Lab, shop: RunningShop) -> dict[str, str]:
    """What an operator of this shop knows by heart, for ``documented.sh``."""
    host = lab.state["inventory"][shop.name]
    database = conninfo_to_dict(shop.database_url)
    admin = host["ecommus_admin_probe"]
    return {
        "PATH": f"{lab.config.bin}:/usr/local/bin:/usr/bin:/bin",
        "ROOT": host["ecommus_root"],
        "DOMAIN": host["ecommus_domain"],
        "FROM": FROM,
        "TO": TO,
        "BACKUP": f"{host['ecommus_snapshot_dir']}/documented",
        "DATABASE": database["dbname"],
        "PGHOST": database["host"],
        "PGPORT": database["port"],
        "PGUSER": database["user"],
        "PGPASSWORD": database["password"],
        "PM2_HOME": host["ecommus_pm2_home"],
        "WORKERS": shop.shop.processes[WORKERS].name,
        "NPM_REGISTRY_TOKEN": shop.secrets.npm_token,
        "CA": host["ecommus_ca_path"],
        "FRONT": host["ecommus_resolve"],
        "ADMIN_EMAIL": admin["email"],
        "ADMIN_PASSWORD": admin["password"],
        "TENANT": admin["tenant_id"],
        "CHECKOUT_SESSION_SECRET": shop.secrets.checkout_session_secret,
    }


def shell(lab: Lab, shop: RunningShop, command: str) -> list[str]:
    """A command line in a shell on the shop's host, reached as Ansible reaches it."""
    host = lab.state["inventory"][shop.name]
    if "ansible_host" not in host:
        return ["bash", "-c", command]
    login = ["-n", "-p", str(host["ansible_port"]), "-i", host["ansible_ssh_private_key_file"]]
    return ["ssh", *login, *shlex.split(host["ansible_ssh_common_args"]), f"{host['ansible_user']}@{host['ansible_host']}", command]


def _documented(lab: Lab, shops: Sequence[RunningShop], scratch: Path) -> Contender:
    """Who types it does so for one shop after the other."""
    lines = {}
    for shop in shops:
        known = scratch / f"{shop.name}.env"
        write_private(known, "".join(f"{name}={shlex.quote(value)}\n" for name, value in facts(lab, shop).items()))
        lines[shop] = f"set -a; . {shlex.quote(str(known))}; exec bash {shlex.quote(str(HERE / 'documented.sh'))}"

    def typed(operation: str) -> list[str]:
        return ["bash", "-ec", "\n".join(shlex.join(shell(lab, shop, f"{line} {operation}")) for shop, line in lines.items())]

    return Contender("documented", typed("upgrade"), typed("rollback"))


def _stock() -> Contender:
    return Contender(
        "stock",
        _playbook("tests/bench/stock.yml", {"version": TO}),
        [*_playbook("tests/bench/stock.yml", {"previous": FROM}), "--tags", "rollback"],
    )


def _ours(scratch: Path) -> Contender:
    runs = {"ecommus_run_dir": str(scratch / "runs")}
    return Contender(
        "ours",
        _playbook("playbooks/upgrade.yml", {"version": TO, **runs}),
        _playbook("playbooks/rollback.yml", runs),
        prepare=_playbook("playbooks/adopt.yml", {}),
    )


def _playbook(path: str, variables: Mapping[str, Any]) -> list[str]:
    program = Path(sys.executable).with_name("ansible-playbook")
    return [str(program), path, "-i", "inventories/lab", "-e", json.dumps(variables)]


def environment(lab: Lab) -> dict[str, str]:
    """The environment of the commands: the lab's, whatever its place and port."""
    ours = {"ECOMMUS_LAB_HOME": str(lab.config.home), "ECOMMUS_LAB_PORT": str(lab.config.port)}
    return {**os.environ, **ours, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
