"""Real services for the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pm2_shop
import postgres_cluster
import pytest
from ecommus_lab.pytest_plugin import fresh_shop, lab  # noqa: F401  (fixtures)


@pytest.fixture(scope="session")
def node_tools() -> Path:
    """The directory with a real node and pm2: the lab's, or one installed into the cache of this checkout."""
    return pm2_shop.tools(pm2_shop.REPO / ".cache" / "test-tools")


@pytest.fixture
def pm2_home(node_tools: Path) -> Iterator[pm2_shop.Shop]:
    """A shop with a pm2 of its own, gone after the test."""
    shop = pm2_shop.Shop.make(node_tools)
    try:
        yield shop
    finally:
        shop.destroy()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a snapshot is to be made, in a directory that is not there yet."""
    return tmp_path / "backup" / "pre.dump"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a cluster runs on the newest PostgreSQL that is installed, or on each with ECOMMUS_TEST_MAJORS=all."""
    if "pg_server" in metafunc.fixturenames:
        majors = sorted(postgres_cluster.installed_majors(), key=int, reverse=True)
        chosen = majors if os.environ.get("ECOMMUS_TEST_MAJORS") == "all" else majors[:1]
        metafunc.parametrize("pg_server", chosen, indirect=True, scope="session")


@pytest.fixture(scope="session")
def pg_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres_cluster.Cluster]:
    """A running PostgreSQL server with three roles."""
    major: str = request.param
    directory = postgres_cluster.installed_majors()[major]
    home = tmp_path_factory.mktemp(f"postgres{major}") / "cluster"
    cluster = postgres_cluster.Cluster(int(major), directory, home, postgres_cluster.free_port())
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def pg_database(pg_server: postgres_cluster.Cluster) -> Iterator[postgres_cluster.Shop]:
    """A shop's database, whose role may create databases; every database that the test makes is gone after it."""
    before = pg_server.databases()
    shop = postgres_cluster.Shop(pg_server, "shop prod", "owner")
    try:
        shop.create()
        yield shop
    finally:
        if pg_server.process is None:
            pg_server.start()
        pg_server.drop(*(pg_server.databases() - before))
