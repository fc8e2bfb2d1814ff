# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of a shop after every story, whichever release it serves then."""

from __future__ import annotations

from ecommus_lab.config import SERVICES


def test_every_service_answers_by_its_public_name(shop):
    assert shop.health() == {}


def test_customers_can_order(shop):
    answer = shop.place_order()
    assert answer.status == 201, answer.text
    assert shop.query("SELECT count(*) FROM orders WHERE id = %s", answer.json()["id"]) == [(1,)]


def test_every_service_listens_where_the_front_expects_it(host, shop):
    for service in SERVICES:
        assert host.socket(f"tcp://127.0.0.1:{shop.shop.ports[service]}").is_listening, service


def test_the_processes_are_those_that_the_operator_knows(inside, shop):
    found = [(process["name"], process["pm2_env"]["exec_mode"]) for process in inside.processes]
    known = [(process.name, f"{process.mode}_mode") for process in shop.shop.processes.values() for _ in range(process.instances)]
    assert sorted(found) == sorted(known)
    assert {process["pm2_env"]["status"] for process in inside.processes} == {"online"}


def test_the_root_leads_to_a_release(host, inside):
    root = host.file(inside.root)
    assert root.is_symlink
    assert "/releases/" in inside.said("readlink -f %s", inside.root)


def test_the_secrets_of_the_shop_are_its_owners_alone(host, inside):
    path = inside.said("readlink -f %s/.env", inside.root)
    assert host.file(path).mode == 0o600
    assert host.file(f"{inside.root}.d/state").mode == 0o700


def test_nobody_holds_the_lock_any_more(host, inside):
    assert not host.file(f"{inside.root}.d/state/lock").exists
