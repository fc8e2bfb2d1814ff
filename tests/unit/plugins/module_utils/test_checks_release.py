# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that read the coming release from the bare mirror, and the shop's own plugins from a real checkout."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_host, _checks_plugins, _git, _layout, _migrations
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import ERROR, Finding, Subject
from ansible_collections.mdlabs.ecommus.plugins.module_utils._release_tree import private_plugins, release_tree


def git(directory: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(["git", *arguments], cwd=directory, env=env, check=True, capture_output=True, text=True).stdout.strip()


def plugin(place: Path, name: str, version: str = "1.0.0", **block: Any) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "package.json").write_text(json.dumps({"name": name, "version": version, "ecommus": {"kind": "plugin", **block}}))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Vendor:
    """The vendor's repository: v1.3.0 is what the shop has; a test commits what comes."""

    def __init__(self, work: Path) -> None:
        self.work = work
        work.mkdir()
        git(work, "init", "-q", "-b", "main")
        write(work / ".gitignore", "node_modules/\n/plugins/ignored/\n")
        write(work / "packages/core/package.json", '{"version": "1.3.0"}')
        write(work / "packages/db/migrations/0001_a.sql", "a\r\n")
        write(work / "plugins/reviews/src/index.ts", "code")
        plugin(work / "plugins/reviews", "@ecommus-plugin/reviews", permissions=[], minCoreVersion="1.3.0")
        self.release("1.3.0")

    def release(self, core: str, **locked: str) -> str:
        write(self.work / "packages/core/package.json", json.dumps({"version": core}))
        lock = {f"node_modules/{name}": {"version": version} for name, version in locked.items()}
        write(self.work / "package-lock.json", json.dumps({"packages": lock}))
        git(self.work, "add", "-A")
        git(self.work, "commit", "-qm", core)
        return git(self.work, "rev-parse", "HEAD")


@pytest.fixture
def vendor(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path / "vendor")


@pytest.fixture
def shop(tmp_path: Path, vendor: Vendor) -> Path:
    root = tmp_path / "shop"
    git(tmp_path, "clone", "-q", str(vendor.work), str(root))
    return root


def subject(shop: Path, vendor: Vendor, commit: str, **given: Any) -> Subject:
    paths = _layout.Paths(str(shop), f"{shop}.d")
    _git.update_mirror(paths.repository, str(vendor.work))
    return Subject(paths=paths, layout=given.pop("layout", "releases"), version="v1.4.0", commit=commit, **given)


def test_the_tree_holds_manifests_and_migrations_byte_for_byte(shop: Path, vendor: Vendor) -> None:
    write(vendor.work / "plugins/reviews/migrations/0001 ț.sql", "r")
    looked_at = subject(shop, vendor, vendor.release("1.4.0"))
    plugin(shop / "plugins/ignored", "@acme/erp")
    plugin(shop / "plugins/untracked", "@acme/pos")
    assert private_plugins(looked_at) == ["ignored", "untracked"]
    with release_tree(dataclasses.replace(looked_at, shared_paths=["plugins/untracked/"])) as root:
        files = sorted(str(path.relative_to(root)) for path in Path(root).rglob("*") if path.is_file())
        assert files == [
            "packages/db/migrations/0001_a.sql", "plugins/reviews/migrations/0001 ț.sql", "plugins/reviews/package.json",
        ]  # fmt: skip
        assert (Path(root) / files[0]).read_bytes() == b"a\r\n"
        assert set(_migrations.plugin_folders(root, _migrations.Places())) == {"@ecommus-plugin/reviews", "@acme/pos"}
    assert not os.path.exists(root)
    assert (shop / "plugins/untracked/package.json").exists()
    assert not os.path.exists(os.path.join(looked_at.paths.repository, "index"))


@pytest.mark.parametrize(
    ("wanted", "core", "fits"),
    [
        ("1.4.0", "1.4.0", True),
        ("1.4.1", "1.4.0", False),
        ("2.0.0-rc.1", "2.0.0", True),
        ("2.0.0", "2.0.0-rc.1", False),
        ("1.4", "1.5.0", True),
        (">=1.4 <2", "2.0.0", False),
        ("", "1.4.0", True),
    ],
)
def test_min_core_version(shop: Path, vendor: Vendor, wanted: str, core: str, fits: bool) -> None:
    plugin(vendor.work / "plugins/reviews", "@ecommus-plugin/reviews", permissions=[], minCoreVersion=wanted)
    found = _checks_plugins.plugins_fit(subject(shop, vendor, vendor.release(core)))
    assert found.ok is fits, found
    if not fits:
        assert f"@ecommus-plugin/reviews wants core {wanted}" in found.found


def test_dependencies_may_come_from_the_tree_from_the_registry_or_from_the_shop(shop: Path, vendor: Vendor) -> None:
    plugin(vendor.work / "plugins/loyalty", "@n/loyalty", permissions=[], dependencies=["@ecommus-plugin/sms", "erp", "reviews"])
    looked_at = subject(shop, vendor, vendor.release("1.4.0", **{"@ecommus-plugin/sms": "2.0.0"}), shared_paths=["plugins"])
    assert "@n/loyalty depends on erp, which is absent" in _checks_plugins.plugins_fit(looked_at).found
    plugin(shop / "plugins/erp", "@acme/erp", permissions=[])
    found = _checks_plugins.plugins_fit(looked_at)
    assert found.ok, found
    assert "3 plugins fit core 1.4.0; not known before npm ci: @ecommus-plugin/sms" in found.found


def test_an_installed_package_is_judged_when_its_version_stays(shop: Path, vendor: Vendor) -> None:
    plugin(shop / "node_modules/@ecommus-plugin/sms", "@ecommus-plugin/sms", "1.0.0", minCoreVersion="9.0.0")
    stays, moves, goes = ({"@ecommus-plugin/sms": "1.0.0"}, {"@ecommus-plugin/sms": "1.1.0"}, {})
    for locked, fit, kept, permissions in ((stays, False, True, False), (moves, True, True, True), (goes, True, False, True)):
        looked_at = subject(shop, vendor, vendor.release("1.4.0", **locked))
        vendor.release("0.0.0")  # so that the next one differs
        assert _checks_plugins.plugins_fit(looked_at).ok is fit
        assert _checks_plugins.plugins_kept(looked_at).ok is kept
        assert _checks_plugins.plugin_permissions(looked_at).ok is permissions


@pytest.mark.parametrize(
    ("given", "ok"),
    [({}, False), ({"shared_paths": ["plugins/ignored/"]}, True), ({"shared_paths": ["plugins"]}, True), ({"layout": "in_place"}, True)],
)
def test_a_private_plugin_that_would_be_lost(shop: Path, vendor: Vendor, given: dict[str, Any], ok: bool) -> None:
    looked_at = subject(shop, vendor, vendor.release("1.4.0"), env_file=str(shop / ".env"), **given)
    write(shop / ".env", "DATABASE_URL=postgresql://u:p@127.0.0.1/d\n")
    assert _checks_plugins.private_plugins_kept(looked_at).found == "all of plugins/ is the vendor's"
    plugin(shop / "plugins/ignored", "@acme/erp")
    found = _checks_plugins.private_plugins_kept(looked_at)
    assert found.ok is ok
    if not ok:
        assert found.severity == ""
        assert found.remedy == "add plugins/ignored to ecommus_shared_paths"


def listed(shop: Path, vendor: Vendor, line: str) -> Finding:
    plugin(shop / "plugins/ignored", "@acme/erp")
    write(shop / ".env", "DATABASE_URL=postgresql://u:p@127.0.0.1/d\n")
    node = shop.parent / "bin/node"  # prints what the shop's program would
    write(node, f"#!/bin/sh\necho '{line}'\n")
    node.chmod(0o755)
    write(shop / "apps/api/src/cli/list-plugins.ts", "")
    given = {"env_file": str(shop / ".env"), "path_prefix": [str(node.parent)]}
    return _checks_plugins.private_plugins_kept(subject(shop, vendor, vendor.release("1.4.0"), **given))


@pytest.mark.parametrize(
    ("line", "severity"), [("@acme/erp@1.0.0 enabled", ERROR), ("@acme/erp@1.0.0 disabled", ""), ("@acme/other@1.0.0", "")]
)
def test_an_enabled_one_stops_the_run(shop: Path, vendor: Vendor, line: str, severity: str) -> None:
    found = listed(shop, vendor, line)
    assert (found.ok, found.severity) == (False, severity)


def test_what_is_about_to_be_shared_is_no_local_change(shop: Path, vendor: Vendor) -> None:
    plugin(shop / "plugins/pos", "@acme/pos")
    looked_at = subject(shop, vendor, vendor.release("1.4.0"))
    assert not _checks_host.working_tree_clean(looked_at).ok
    assert _checks_host.working_tree_clean(dataclasses.replace(looked_at, shared_paths=["plugins/pos"])).ok
    write(shop / "package-lock.json", "{}")
    assert not _checks_host.working_tree_clean(dataclasses.replace(looked_at, shared_paths=["plugins/pos"])).ok


def test_what_cannot_be_shared_stops_before_anything_changes(shop: Path, vendor: Vendor) -> None:
    (shop / ".env").write_text("A=1")
    (shop / "keys").mkdir()
    looked_at = dataclasses.replace(subject(shop, vendor, vendor.release("1.4.0")), shared_paths=[".env", "keys", "uploads"])
    found = _checks_host.shared_paths_movable(looked_at)
    assert (found.ok, found.found) == (True, "to be shared: .env, keys")
    shared = Path(looked_at.paths.shared)
    shared.mkdir(parents=True)
    (shared / "keys").mkdir()
    (shop / "uploads").symlink_to("plugins")
    found = _checks_host.shared_paths_movable(looked_at)
    assert not found.ok
    assert f"{shared}/keys exists already" in found.found and "uploads is a link to" in found.found
    assert "decide which" in found.remedy and "ecommus_shared_paths" in found.remedy
    assert _checks_host.shared_paths_movable(dataclasses.replace(looked_at, layout="in_place")).ok
