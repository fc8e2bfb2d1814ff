# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That the story went without root: a deploy user logged in, by the rules of docs/sudoers.d-ecommus, and all is the owner's."""

from __future__ import annotations

import subprocess

import pytest
from ecommus_lab.accounts import RULES


@pytest.fixture
def owner(login, lab):
    """The user that the shop belongs to; without one the tests are skipped, and *login* says why."""
    return lab.owner


def test_who_logs_in_is_neither_root_nor_the_owner(login, lab, owner):
    assert login.check_output("id -un") == lab.deploy.name
    assert login.check_output("id -u") not in ("0", str(owner.uid))


def test_the_rules_allow_to_become_the_owner(login, owner):
    assert login.check_output("sudo -n -u %s /bin/sh -c 'id -un'", owner.name) == owner.name


@pytest.mark.parametrize("command", ["true", "/bin/sh -c true", "-u nobody /bin/sh -c true", "-g root /bin/sh -c true", "-s"])
def test_and_nothing_else(login, command):
    refused = login.run(f"sudo -n {command}")
    assert refused.rc != 0
    assert "password is required" in refused.stderr or "not allowed" in refused.stderr


def test_the_rules_are_ones_that_sudo_reads(lab):
    """As an administrator looks at them before they are installed."""
    done = subprocess.run(["visudo", "--check", "--strict", f"--file={RULES}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_process_of_the_shop_is_the_owners(login, lab, owner, inside, shop):
    daemon = shop.pm2.daemon()
    assert daemon is not None
    pids = [daemon, *(process["pid"] for process in inside.processes)]
    assert len(pids) > 5
    assert {inside.said("stat -c %%u /proc/%s", str(pid)) for pid in pids} == {str(owner.uid)}


def test_every_file_of_the_shop_is_the_owners(login, owner, inside, shop):
    assert inside.said("find %s ! -user %s", str(shop.shop.directory), owner.name) == ""


def test_nothing_of_the_shop_is_left_with_who_logs_in(login, lab, owner):
    """What Ansible puts into the home of the user that logs in must be no code or secret of a shop."""
    left = login.check_output("find %s -type f ! -name '.bash*' ! -name .profile", lab.deploy.home)
    assert left == ""
