# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the modules that need a service are played on real ones; the others are in tests/unit/test_module_examples.py."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _swap
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
from module_examples import play, played_whole
from pm2_shop import Shop as Pm2Shop
from pm2_shop import get
from postgres_cluster import Cluster, Shop, installed_majors
from psycopg import sql
from release_tree import Release, install_drivers
from test_candidate import define, put
from test_pg_salvage import snapshot
from test_prune import Install

DATABASE = "ecommus_prod"
PROGRAMS = list(installed_majors().values())
PORT = 21480  # test_candidate and pm2_calls have others


# ---------------------------------------------------------------- PostgreSQL


@pytest.fixture
def shop(pg_server: Cluster, tmp_path: Path) -> Iterator[Shop]:
    """The shop's database and the environment file that names it."""
    before = pg_server.databases()
    shop = Shop(pg_server, DATABASE, "owner")
    shop.create()
    (tmp_path / ".env").write_text(f"DATABASE_URL='{shop.url}'\n")
    yield shop
    pg_server.drop(*(pg_server.databases() - before))


def places(tmp_path: Path) -> dict[str, str]:
    return {"/opt/ecommus": str(tmp_path), "/var/backups/ecommus": str(tmp_path / "backup"), "/var/lib/ecommus": str(tmp_path / "lib")}


def copy_of(shop: Shop, name: str) -> None:
    with shop.cluster.connect() as connection:
        query = "CREATE DATABASE {} OWNER owner TEMPLATE {}"
        connection.execute(sql.SQL(query).format(sql.Identifier(name), sql.Identifier(shop.database)))


@pytest.mark.postgres
def test_pg_snapshot(shop: Shop, tmp_path: Path) -> None:
    played = play("pg_snapshot", tmp_path, places(tmp_path), {"ecommus_database_admin_url": ""}, path=PROGRAMS)
    played_whole(played, "pg_snapshot")
    assert played.result("Prove that it restores, and have the way back ready")["restored"]["rows"] > 1000
    assert not [name for name in shop.cluster.databases() if "before" in name]
    assert list((tmp_path / "backup").iterdir()) == []


@pytest.mark.postgres
def test_pg_swap(shop: Shop, tmp_path: Path) -> None:
    copy_of(shop, "ecommus_prod_before_v1_4_0")
    played = play("pg_swap", tmp_path, places(tmp_path), {"ecommus_database_admin_url": ""})
    played_whole(played, "pg_swap")
    assert [line["result"]["changed"] for line in played.results] == [True, True]


@pytest.mark.postgres
def test_pg_salvage(shop: Shop, tmp_path: Path) -> None:
    target = Target.from_url(shop.url)
    (tmp_path / "backup").mkdir()
    snapshot(target, tmp_path / "backup/pre-v1.4.0.dump")
    with shop.connect() as connection:
        connection.execute('INSERT INTO "Orders" (customer, net) VALUES (1, 12345)')
    _swap.swap(target, target, "copy", "ecommus_prod_failed_v1_4_0")
    (tmp_path / "lib/runs/20261122T203000Z").mkdir(parents=True)
    played = play("pg_salvage", tmp_path, places(tmp_path), path=PROGRAMS)
    played_whole(played, "pg_salvage")
    assert played.results[0]["result"]["totals"]["inserted"] == 1
    assert shop.scalar('SELECT count(*) FROM "Orders" WHERE net = 12345') == 1
    assert played.results[1]["result"]["totals"]["inserted"] == 0, "nothing is left"


@pytest.mark.postgres
def test_prune(shop: Shop, tmp_path: Path) -> None:
    install = Install(tmp_path, shop)
    (install.root / ".env").write_text(f"DATABASE_URL='{shop.url}'\n")
    before = install.tree()
    there = {"/opt/ecommus.d/state": str(install.state), "/opt/ecommus": str(install.root), "/var/backups/ecommus": str(install.backup)}
    played = play("prune", tmp_path, there)
    played_whole(played, "prune")
    predicted, done = (line["result"] for line in played.results)
    assert predicted["changed"] and done["changed"]
    assert install.tree() < {*before, "examples.yml", "results.jsonl"}


# ---------------------------------------------------------------- node


@pytest.fixture
def release(pg_server: Cluster, node_tools: Path, tmp_path: Path) -> Iterator[Release]:
    install_drivers(node_tools)
    with pg_server.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER plain").format(sql.Identifier(DATABASE)))
    yield Release(tmp_path / "release").create(pg_server.url(DATABASE, "plain"))
    pg_server.drop(DATABASE)


@pytest.mark.postgres
def test_migration_runner(release: Release, node_tools: Path, tmp_path: Path) -> None:
    (tmp_path / "state/runs/20261122T203000Z").mkdir(parents=True)
    there = {"/opt/ecommus.d/releases/v1.4.0-1a2b3c4d": str(release.root), "/opt/ecommus.d/state": str(tmp_path / "state")}
    played = play("migration_runner", tmp_path, there, path=[node_tools])
    played_whole(played, "migration_runner")
    assert len(played.results[0]["result"]["pending"]) == len(played.results[1]["result"]["applied"]) == 4


@pytest.mark.postgres
def test_plugin_inventory(release: Release, node_tools: Path, tmp_path: Path) -> None:
    there = {"/opt/ecommus": str(release.root), "/var/lib/ecommus-upgrade": str(tmp_path)}
    played = play("plugin_inventory", tmp_path, there, path=[node_tools])
    played_whole(played, "plugin_inventory")
    assert played.results[1]["result"]["verdict"] == "ok"


@pytest.mark.pm2
def test_release(node_tools: Path, tmp_path: Path) -> None:
    vendor, root = tmp_path / "vendor", tmp_path / "shop"
    for name in ("api", "storefront-astro"):
        (vendor / "apps" / name).mkdir(parents=True)
        package = {"name": f"@ecommus/{name}", "version": "1.0.0", "scripts": {"build": "echo built >built.txt"}}
        (vendor / "apps" / name / "package.json").write_text(json.dumps(package))
    (vendor / "package.json").write_text(json.dumps({"name": "shop", "private": True, "workspaces": ["apps/*"]}))
    (vendor / ".gitignore").write_text(".env\nuploads/\nnode_modules/\nbuilt.txt\n")
    lock = ["install", "--package-lock-only", "--offline", "--no-audit", "--no-fund"]
    environment = {**os.environ, "PATH": f"{node_tools}:{os.environ['PATH']}", "npm_config_cache": str(tmp_path / "npm")}
    subprocess.run([node_tools / "npm", *lock], cwd=vendor, env=environment, check=True, capture_output=True, timeout=60)

    def git(directory: Path, *words: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@x", *words], cwd=directory, check=True, timeout=30)

    git(vendor, "init", "-q")
    for version in ("v1.3.2", "v1.4.0"):
        (vendor / "code.txt").write_text(version)
        git(vendor, "add", "-A")
        git(vendor, "commit", "-qm", version)
        git(vendor, "tag", "-am", version, version)
    git(tmp_path, "clone", "-q", "-b", "v1.3.2", "--config", "advice.detachedHead=false", str(vendor), str(root))
    (root / ".env").write_text("NPM_REGISTRY_TOKEN=t\n")
    adopted = play("layout", tmp_path, {"/opt/ecommus": str(root), "state: in_place": "state: releases"})
    assert adopted.code == 0, adopted.said
    played = play("release", tmp_path, {"/opt/ecommus": str(root)}, path=[node_tools])
    played_whole(played, "release")
    assert played.result("Make it the live one")["previous"].startswith(str(tmp_path / "shop.d/releases/v1.3.2-"))
    assert (root / "code.txt").read_text() == "v1.3.2", "gone back"
    assert [path.name[:6] for path in (tmp_path / "shop.d/releases").iterdir()] == ["v1.3.2"], "removed"


# ---------------------------------------------------------------- pm2

SERVICES = {"api": PORT, "admin": PORT + 1, "super-admin": PORT + 2, "storefront": PORT + 3}


def pm2_places(shop: Pm2Shop) -> dict[str, str]:
    return {
        "/opt/ecommus.d/releases/v1.4.0-1a2b3c4d": str(shop.root / "releases/r2"),
        "/opt/ecommus/ecosystem.config.cjs": str(shop.ecosystem),
        "/opt/ecommus/.env": str(shop.root / ".env"),
        "/opt/ecommus": str(shop.current),
        "/opt/node/bin": str(shop.bin),
        "http://127.0.0.1:4000": f"http://127.0.0.1:{SERVICES['api']}",
        "http://127.0.0.1:3001": f"http://127.0.0.1:{SERVICES['admin']}",
    }


def started(shop: Pm2Shop, **ports: int) -> None:
    for name, port in ports.items():
        shop.define(name, "cluster", port, 1)
    shop.define("ecommus-api-workers", "fork", PORT + 4, kill_timeout=31000)  # an example gives a job 30 seconds
    for app in shop.apps:
        shop.start(str(app["name"]))


@pytest.mark.pm2
def test_pm2_control(pm2_home: Pm2Shop, tmp_path: Path) -> None:
    started(pm2_home, **SERVICES)
    pm2_home.release("r2")
    pm2_home.switch("r2")
    played = play("pm2_control", tmp_path, pm2_places(pm2_home), path=[pm2_home.bin], pm2_home=pm2_home.home)
    played_whole(played, "pm2_control")
    assert [get(port)["release"] for port in SERVICES.values()] == ["r2"] * 4
    assert all(line["result"]["names"]["ecommus-api-workers"]["online"] == online for line, online in zip(played.results, (1, 0, 0, 1)))


@pytest.mark.pm2
@pytest.mark.postgres
def test_workers_info(pm2_home: Pm2Shop, shop: Shop, tmp_path: Path) -> None:
    started(pm2_home)
    with shop.connect() as connection:
        connection.execute("CREATE TABLE jobs AS SELECT 'done' AS status")
    where = {**pm2_places(pm2_home), "/opt/ecommus/.env": str(tmp_path / ".env")}
    played = play("workers_info", tmp_path, where, path=[pm2_home.bin], pm2_home=pm2_home.home)
    played_whole(played, "workers_info")
    assert played.results[0]["result"]["workers"]["running"] == 1
    assert played.results[-1]["result"]["changed"]


@pytest.mark.pm2
def test_candidate(pm2_home: Pm2Shop, tmp_path: Path) -> None:
    put(pm2_home, "r1", "good", version="1.3.2")
    put(pm2_home, "r2", "good", version="1.4.0")
    define(pm2_home)
    pm2_home.define("admin", "fork", SERVICES["admin"])
    (pm2_home.root / ".env").write_text("A=1\n")
    played = play("candidate", tmp_path, pm2_places(pm2_home), path=[pm2_home.bin], pm2_home=pm2_home.home)
    played_whole(played, "candidate")
    assert [each["name"] for each in played.results[0]["result"]["candidates"]] == ["api", "admin"]
