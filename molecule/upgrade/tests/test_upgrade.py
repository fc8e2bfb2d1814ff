# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""v1.4.0 is served, all of it, and nobody noticed."""

from __future__ import annotations

VERSION = "v1.4.0"


def test_the_new_release_lies_in_the_root(inside):
    assert inside.release() == VERSION


def test_every_process_runs_from_it(inside):
    for name, directories in inside.directories().items():
        assert all(f"/releases/{VERSION}-" in directory for directory in directories), (name, directories)


def test_the_database_is_at_its_migrations(inside, shop):
    files = inside.said("ls %s/packages/db/migrations", inside.root).split()
    assert "0008_orders_by_tenant.sql" in files
    assert shop.query("SELECT count(*) FROM _ecommus_core_migrations") == [(len(files),)]


def test_a_key_that_it_needs_was_added(inside):
    assert inside.said("grep -c ^CHECKOUT_SESSION_SECRET= %s/.env", inside.root) == "1"


def test_the_snapshot_lies_where_the_report_says(host, reports):
    snapshot = host.file(reports[-2]["snapshot"])
    assert snapshot.size > 10_000
    assert snapshot.mode == 0o600


def test_the_report_says_so(reports):
    report = reports[-2]
    assert (report["outcome"], report["from_version"], report["to_version"]) == ("upgraded", "v1.3.2", VERSION)
    assert report["requests"] > 50


def test_nobody_noticed(reports, inside, shop):
    """Not even of a service in fork mode, where its owner may share its port: docs/zero-downtime.md."""
    may_share = inside.said("cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0") == "0"
    for service, figures in reports[-2]["services"].items():
        if may_share or shop.shop.processes[service].mode == "cluster":
            assert figures["requests"] > 10
            assert figures["failed"] == 0, (service, reports[-2]["evidence"]["prober"])


def test_a_second_run_proved_it_and_left_it_alone(inside, reports):
    assert reports[-1]["outcome"] == "unchanged"
    assert inside.started() < reports[-2]["written"]
