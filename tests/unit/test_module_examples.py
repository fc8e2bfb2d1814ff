# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples of the modules that need no service are played; the others are in tests/integration/test_module_examples.py."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import http_lab
import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal
from module_examples import modules, play, played_whole

REPO = Path(__file__).resolve().parents[2]
PLAYED_HERE = {"env_file", "health_check", "journal", "journeys", "layout", "maintenance", "preflight", "report", "uptime_prober"}


def test_the_examples_of_every_module_are_played_somewhere() -> None:
    there = (REPO / "tests/integration/test_module_examples.py").read_text()
    assert [name for name in modules() if name not in PLAYED_HERE and f'play("{name}"' not in there] == []
    here = Path(__file__).read_text()
    assert [name for name in PLAYED_HERE if f'play("{name}"' not in here] == []


def git(directory: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(["git", *arguments], cwd=directory, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """A checkout of v1.3.2 that was set up by hand, of a vendor who has v1.4.0 as well."""
    vendor, root = tmp_path / "vendor", tmp_path / "shop"
    vendor.mkdir()
    git(vendor, "init", "-q", "-b", "main")
    (vendor / ".gitignore").write_text(".env\nuploads/\nkeys/\n")
    for version in ("v1.3.2", "v1.4.0"):
        (vendor / "code.txt").write_text(version)
        git(vendor, "add", "-A")
        git(vendor, "commit", "-qm", version)
        git(vendor, "tag", "-a", version, "-m", version)
    git(tmp_path, "clone", "-q", str(vendor), str(root))
    git(root, "checkout", "-q", "v1.3.2")
    (root / ".env").write_text("DATABASE_URL=postgresql://shop:secret@127.0.0.1:1/shop\n")
    return {"/opt/ecommus": str(root), "/var/log/ecommus": str(tmp_path / "log"), "/home/ecommus/.pm2": str(tmp_path / "pm2")}


@pytest.fixture
def shop() -> t.Iterator[http_lab.Server]:
    """The addresses of a shop, and a maintenance window that is open or closed."""
    window = {"active": True}

    def app(request: http_lab.Request) -> t.Any:
        if request.path.endswith("/maintenance"):
            window["active"] = {"PUT": True, "DELETE": False}.get(request.method, window["active"])
            return window
        if request.path.endswith("/login"):
            return {"accessToken": "token"} if request.body["password"] == "right" else (401, {})
        if request.path.startswith("/api/admin/products") and request.headers.get("Authorization") != "Bearer token":
            return 401, {}
        return '<html><script src="/_astro/index.Bx3.js">' if request.path == "/" else {"ok": True}

    with http_lab.serve(app) as server:
        yield server


def addresses(server: http_lab.Server) -> dict[str, str]:
    hosts = ("api.mystore.example", "admin.mystore.example", "superadmin.mystore.example", "mystore.example")
    return {f"https://{host}": f"http://{server.address}" for host in hosts}


def test_env_file(tmp_path: Path, places: dict[str, str]) -> None:
    played = play("env_file", tmp_path, places, {"vault_checkout_session_secret": "s3cret-value"})
    played_whole(played, "env_file")
    assert played.result("Add what the new release needs")["added"] == ["CHECKOUT_SESSION_SECRET"]
    assert played.result("Undo it")["removed"] == ["CHECKOUT_SESSION_SECRET"]
    assert "s3cret-value" not in played.said


def test_journal(tmp_path: Path, places: dict[str, str]) -> None:
    played = play("journal", tmp_path, places)
    played_whole(played, "journal")
    assert not (tmp_path / "shop.d/state/lock").exists(), "let go of"


def test_journeys(tmp_path: Path) -> None:
    for name in ("curl", "npx"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "$0 $* $SHOP_URL" >>{tmp_path}/walked\n')
        (tmp_path / name).chmod(0o755)
    played = play("journeys", tmp_path, {}, {"vault_test_customer_password": "s3cret-value"}, path=[tmp_path])
    played_whole(played, "journeys")
    assert [line.split()[0] for line in (tmp_path / "walked").read_text().splitlines()] == [f"{tmp_path}/curl", f"{tmp_path}/npx"]
    assert "s3cret-value" not in played.said


def test_layout(tmp_path: Path, places: dict[str, str]) -> None:
    played = play("layout", tmp_path, places)
    played_whole(played, "layout")
    assert [line["result"]["changed"] for line in played.results] == [True, True, True]
    assert played.results[1]["result"]["installed"]["layout"] == "releases"
    assert (tmp_path / "shop/.git").is_dir() and not (tmp_path / "shop").is_symlink()


def test_report(tmp_path: Path, places: dict[str, str]) -> None:
    journal = Journal(str(tmp_path / "shop.d/state"))
    run = journal.begin("one", "upgrade", {"version": "v1.3.2"}, {"version": "v1.4.0"})
    journal.enter(run, "stage")
    journal.finish(run, "succeeded")
    journal.save()
    played = play("report", tmp_path, places)
    played_whole(played, "report")
    assert played.results[1]["result"]["ecommus_report"]["outcome"] == "upgraded"
    assert (tmp_path / "log/localhost/report.json").exists()


def test_preflight(tmp_path: Path, places: dict[str, str]) -> None:
    played = play("preflight", tmp_path, places)
    played_whole(played, "preflight")
    result = played.result("See what an upgrade would stumble over")
    assert result["ok"] is False and result["database"] == "shop"
    assert "no pm2 daemon" in played.said or "start pm2 as the user" in played.said


def test_maintenance(tmp_path: Path, shop: http_lab.Server) -> None:
    program = tmp_path / "shop-maintenance"
    program.write_text(f'#!/bin/sh\n[ "$1" = read ] && cat {tmp_path}/window || echo "$1" >{tmp_path}/window\n')
    program.chmod(0o755)
    (tmp_path / "window").write_text("closed\n")
    places = {"/usr/local/bin/shop-maintenance": str(program), **addresses(shop)}
    played = play("maintenance", tmp_path, places, {"vault_maintenance_token": "t"})
    played_whole(played, "maintenance")
    assert (tmp_path / "window").read_text() == "open\n"
    assert [request.method for request in shop.asked] == ["GET", "DELETE", "GET"]


def test_health_check(tmp_path: Path, shop: http_lab.Server) -> None:
    authority = http_lab.Authority(tmp_path)
    certificate = authority.issue("mystore.example")
    with http_lab.serve(lambda _request: {"categories": []}, certificate) as proxy:
        places = {
            **addresses(shop),
            "https://mystore.example/api/storefront/categories": "https://mystore.example/api/storefront/categories",
            "127.0.0.1:8443": proxy.address,
            "/etc/ssl/private-ca.pem": str(authority.path),
        }
        played = play("health_check", tmp_path, places, {"vault_upgrade_password": "right"})
    played_whole(played, "health_check")
    assert all(line["result"]["ok"] for line in played.results)


def test_uptime_prober(tmp_path: Path, shop: http_lab.Server) -> None:
    played = play("uptime_prober", tmp_path, {"/var/log/ecommus": str(tmp_path / "log"), **addresses(shop)})
    played_whole(played, "uptime_prober")
    result = played.result("End it")
    assert (result["status"], result["ended_because"], result["totals"]["failed"]) == ("ended", "stopped", 0)
    assert result["targets"]["storefront"]["identities"][0]["identity"] == "Bx3"
