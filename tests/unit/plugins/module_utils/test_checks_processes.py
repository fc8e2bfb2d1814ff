# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_processes, _layout, _pm2, _pm2_table
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import ERROR, Finding, Subject

GOOD = {"exec_mode": "cluster_mode", "wait_ready": True, "listen_timeout": 8000, "kill_timeout": 8000}


@pytest.fixture
def shop(tmp_path: Path) -> _layout.Paths:
    """The releases layout; its base is reached through a link."""
    release = tmp_path / "disk/releases/v1.3.0-0"
    (release / "apps/api").mkdir(parents=True)
    (tmp_path / "base").symlink_to("disk")
    (tmp_path / "disk/current").symlink_to(release)
    (tmp_path / "root").symlink_to(tmp_path / "base/current")
    return _layout.Paths(str(tmp_path / "root"), str(tmp_path / "base"))


def run(
    shop: _layout.Paths, monkeypatch: pytest.MonkeyPatch, check: str, name: str = "api", stop_timeout: float = 0, **env: Any
) -> Finding:
    raw = [{"name": name, "pm_id": 0, "pid": 1, "pm2_env": {"pm_cwd": shop.root, "pm_exec_path": f"{shop.root}/a.js", **GOOD, **env}}]
    monkeypatch.setattr(_pm2.Pm2, "table", lambda _self: _pm2_table.entries(raw))
    subject = Subject(
        paths=shop,
        layout="releases",
        version="v1.4.0",
        commit="",
        services=[{"process": "api"}],
        workers_process="jobs",
        workers_stop_timeout=stop_timeout,
        pm2_home="/none",
    )
    found: Finding = getattr(_checks_processes, check)(subject)
    return found


@pytest.mark.parametrize(
    ("name", "env", "ok"),
    [
        ("api", {}, True),
        ("api", {"pm_cwd": "{base}/current/apps/api"}, True),
        ("api", {"pm_cwd": "{base}/releases/v1.3.0-0"}, False),
        ("api", {"pm_exec_path": "{real}/releases/v1.3.0-0/apps/api/a.js"}, False),
        ("jobs", {"pm_cwd": "{real}/releases/v1.3.0-0"}, False),
        ("another shop's", {"pm_cwd": "{real}/releases/v1.3.0-0"}, True),
    ],
)
def test_processes_follow(shop: _layout.Paths, monkeypatch: pytest.MonkeyPatch, name: str, env: dict[str, str], ok: bool) -> None:
    places = {"base": shop.base, "real": str(Path(shop.base).resolve())}
    given = {key: value.format(**places) for key, value in env.items()}
    found = run(shop, monkeypatch, "processes_follow", name, **given)
    assert found.ok is ok
    assert ok or f"pinned to a release directory: {name}" in found.found


@pytest.mark.parametrize(
    ("name", "env", "says"),
    [
        ("api", {}, ""),
        ("jobs", {"exec_mode": "fork_mode"}, ""),
        ("api", {"exec_mode": "fork_mode", "wait_ready": False}, "api: fork mode"),
        ("api", {"wait_ready": None}, "api: no wait_ready"),
        ("api", {"listen_timeout": 1000}, "api: listen_timeout 1000 ms"),
        ("api", {"listen_timeout": None, "kill_timeout": None}, "api: kill_timeout 1600 ms"),
    ],
)
def test_processes_ready(shop: _layout.Paths, monkeypatch: pytest.MonkeyPatch, name: str, env: dict[str, Any], says: str) -> None:
    found = run(shop, monkeypatch, "processes_ready", name, **env)
    assert found.ok is not bool(says)
    assert not says or found.found == says


@pytest.mark.parametrize(("command", "ok"), [("7.0.4", True), ("6.0.14", False)])
def test_pm2_version(shop: _layout.Paths, monkeypatch: pytest.MonkeyPatch, command: str, ok: bool) -> None:
    monkeypatch.setattr(_pm2.Pm2, "daemon_version", "7.0.4")
    monkeypatch.setattr(_pm2.Pm2, "command_version", command)
    found = run(shop, monkeypatch, "pm2_version")
    assert found.ok is ok
    assert ok or found.found == "the pm2 daemon is version 7.0.4, the pm2 command 6.0.14"


@pytest.mark.parametrize(
    ("name", "kill_timeout", "stop_timeout", "ok", "severity"),
    [
        ("jobs", 8000, 0, True, ""),
        ("jobs", None, 0, False, ""),  # pm2's default of 1.6 s: nobody thought of it
        ("jobs", 8000, 8, True, ""),
        ("jobs", 8000, 60, False, ERROR),
        ("jobs", None, 1, True, ""),  # somebody did
        ("api", None, 60, True, ""),
    ],
)
def test_workers_have_time(
    shop: _layout.Paths, monkeypatch: pytest.MonkeyPatch, name: str, kill_timeout: int | None, stop_timeout: float, ok: bool, severity: str
) -> None:
    found = run(shop, monkeypatch, "workers_have_time", name, stop_timeout, kill_timeout=kill_timeout)
    assert (found.ok, found.severity) == (ok, severity), found
    assert ok or ("pm2" in found.found and "kill_timeout of jobs" in found.remedy)
