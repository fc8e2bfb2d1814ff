# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""v1.3.2 is served again, with its schema, and with what was sold meanwhile."""

from __future__ import annotations

VERSION = "v1.3.2"
ORDERS_SINCE = "SELECT count(*) FROM orders JOIN customers ON customers.id = customer_id WHERE email = 'since-the-upgrade@example.test'"


def test_the_release_before_lies_in_the_root(inside):
    assert inside.release() == VERSION


def test_every_process_runs_from_it(inside):
    for name, directories in inside.directories().items():
        assert all(f"/releases/{VERSION}-" in directory for directory in directories), (name, directories)


def test_the_database_is_at_its_migrations(inside, shop):
    files = inside.said("ls %s/packages/db/migrations", inside.root).split()
    assert "0006_order_returns.sql" not in files
    assert shop.query("SELECT count(*) FROM _ecommus_core_migrations") == [(len(files),)]


def test_a_key_that_only_the_other_release_needs_is_gone(inside):
    assert inside.said("grep -c ^CHECKOUT_SESSION_SECRET= %s/.env || true", inside.root) == "0"


def test_what_was_ordered_since_the_upgrade_is_there(shop):
    assert shop.query(ORDERS_SINCE) == [(1,)]


def test_what_was_live_is_kept(shop, reports):
    kept = reports[-2]["evidence"]["run"]["facts"]["kept_database"]
    assert shop.query("SELECT count(*) FROM pg_database WHERE datname = %s", kept) == [(1,)]


def test_the_report_says_so(reports):
    assert (reports[-2]["outcome"], reports[-2]["to_version"]) == ("rolled_back", VERSION)


def test_a_second_run_proved_it_and_left_it_alone(inside, reports):
    assert reports[-1]["outcome"] == "unchanged"
    assert inside.started() < reports[-2]["written"]
