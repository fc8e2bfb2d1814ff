# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of a story look at its shops: from outside as a customer does, inside over SSH as an operator does."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import testinfra

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests/lab"))

from ecommus_lab.lab import Lab  # noqa: E402
from ecommus_lab.running import RunningShop  # noqa: E402


class Inside:
    """One shop as its owner sees it on the host."""

    def __init__(self, host: Any, shop: RunningShop, lab: Lab) -> None:
        self.host = host
        self.root = str(shop.root)
        self._shop = shop
        self._lab = lab

    def release(self) -> str:
        """The tag that lies in the root."""
        return self.said("git -C %s tag --points-at HEAD", self.root)

    @functools.cached_property
    def processes(self) -> list[dict[str, Any]]:
        """What pm2 says, by the pm2 of the shop."""
        pm2 = {"PATH": f"{self._lab.config.bin}:/usr/bin:/bin", "PM2_HOME": str(self._shop.shop.pm2_home), "PM2_DISCRETE_MODE": "1"}
        said = self.said("env %s %s %s pm2 --silent jlist", *(f"{name}={value}" for name, value in pm2.items()))
        return json.loads(next(line for line in said.splitlines() if line.startswith("[")))

    def directories(self) -> dict[str, set[str]]:
        """Per process name where its processes run, by the kernel and not by pm2."""
        found: dict[str, set[str]] = {}
        for process in self.processes:
            found.setdefault(process["name"], set()).add(self.said("readlink /proc/%s/cwd", str(process["pid"])))
        return found

    def started(self) -> float:
        """When the youngest process was started: seconds since the epoch."""
        return max(process["pm2_env"]["pm_uptime"] for process in self.processes) / 1000

    def said(self, command: str, *words: str) -> str:
        return self.host.check_output(command, *words)


@pytest.fixture(scope="session")
def lab() -> Lab:
    return Lab.attach()


@pytest.fixture
def shop(host: Any, lab: Lab) -> RunningShop:
    """The shop from outside."""
    return lab.shop(host.backend.host)


@pytest.fixture(scope="module")
def inside(_testinfra_host: Any, lab: Lab) -> Inside:
    """The shop from inside; tests do not change it, so that what was asked once need not be asked again."""
    host, shop = _testinfra_host, lab.shop(_testinfra_host.backend.host)
    return Inside(host, shop, lab)


@pytest.fixture
def reports(shop: RunningShop) -> list[dict[str, Any]]:
    """What the playbooks reported of the shop in this story, in the order of the runs."""
    runs = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "runs", os.environ["MOLECULE_SCENARIO_NAME"])
    found = sorted(runs.glob(f"*/{shop.name}/report.json"), key=lambda path: path.stat().st_mtime)
    return [{**json.loads(path.read_text()), "written": path.stat().st_mtime} for path in found]


@pytest.fixture
def login(host: Any, lab: Lab) -> Any:
    """The host as who logs in sees it, without becoming anybody."""
    if lab.deploy is None:
        pytest.skip(f"no deploy user: {lab.state.get('no_deploy_user') or 'the lab was started without'}")
    known = host.backend.ansible_runner.get_variables(host.backend.host)
    return testinfra.get_host(
        f"ssh://{lab.deploy.name}@{known['ansible_host']}:{known['ansible_port']}",
        ssh_identity_file=known["ansible_ssh_private_key_file"],
        ssh_extra_args=known["ansible_ssh_common_args"],
        controlpath=f"{lab.sshd.control}/{known['ansible_port']}",
    )
