# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the shop's own records say of its jobs, when its workers have stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _workers
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from postgres_cluster import Cluster

pytestmark = pytest.mark.postgres
RUNNING = "SELECT count(*) FROM jobs WHERE status = 'running'"


@pytest.fixture
def records(pg_server: Cluster) -> Iterator[Target]:
    pg_server.drop("records")
    with pg_server.connect() as connection:
        connection.execute("CREATE DATABASE records OWNER owner TEMPLATE template0")
    with pg_server.connect("records", "owner") as connection:
        connection.execute("CREATE TABLE jobs AS SELECT n AS id, 'done' AS status FROM generate_series(1, 3) AS n")
    yield Target.from_url(pg_server.url("records", "owner"))
    pg_server.drop("records")


def test_a_job_that_was_cut_off_is_found(records: Target, pg_server: Cluster) -> None:
    _workers.check_jobs(records, RUNNING)
    with pg_server.connect("records", "owner") as connection:
        connection.execute("UPDATE jobs SET status = 'running' WHERE id > 1")
    with pytest.raises(EcommusError, match="2 jobs are under way") as caught:
        _workers.check_jobs(records, RUNNING)
    assert "ecommus_jobs_query" in caught.value.remedy


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT status FROM jobs", "answers 'done' instead of a number"),
        ("SELECT count(*) FROM tasks", 'relation "tasks" does not exist'),
        ("WITH gone AS (DELETE FROM jobs RETURNING 1) SELECT count(*) FROM gone", "read-only transaction"),
    ],
)
def test_a_query_that_does_not_say_is_an_error(records: Target, pg_server: Cluster, query: str, says: str) -> None:
    with pytest.raises(EcommusError, match=says):
        _workers.check_jobs(records, query)
    with pg_server.connect("records", "owner") as connection:
        assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (3,)


def test_an_emptied_database_has_no_jobs(records: Target, pg_server: Cluster) -> None:
    """A way back that was killed while it restored in place has left it so, and must not be kept from going on."""
    with pg_server.connect("records", "owner") as connection:
        connection.execute("DROP TABLE jobs")
    _workers.check_jobs(records, RUNNING)
