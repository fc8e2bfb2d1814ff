# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing and building against a real registry that decides by licence."""

from __future__ import annotations

import json
import sys
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _npm
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "lab"))

if t.TYPE_CHECKING:
    from ecommus_lab.registry import Registry

PORT = 21620
TOKEN, VENDOR_TOKEN = "token-of-the-customer", "token-of-the-vendor"
PACKAGES = {"@ecommus-plugin/efactura-ro": "1.2.0", "@ecommus/theme-fashion": "2.0.0"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Registry]:
    from ecommus_lab.config import LabConfig
    from ecommus_lab.registry import Registry

    tools = REPO / ".lab" / "tools"
    if not (tools / "bin" / "verdaccio").exists():
        pytest.skip("the lab's programs are not installed (make lab)")
    home = tmp_path_factory.mktemp("registry")
    (home / "tools").symlink_to(tools)
    (home / "run" / "pids").mkdir(parents=True)
    registry = Registry(LabConfig(home, PORT), VENDOR_TOKEN)
    registry.create()
    registry.start()
    try:
        for name, version in PACKAGES.items():
            package = home / name
            package.mkdir(parents=True)
            (package / "package.json").write_text(json.dumps({"name": name, "version": version, "main": "index.js"}))
            (package / "index.js").write_text("module.exports = 1\n")
            registry._npm(["publish"], package)
        yield registry
    finally:
        registry.stop()


@pytest.fixture
def customer(registry: Registry) -> Registry:
    registry.license("customer", list(PACKAGES))
    registry.give_token("customer", TOKEN)
    return registry


@pytest.fixture(scope="module")
def lock(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A lock file as npm writes it."""
    directory = tmp_path_factory.mktemp("lock")
    write_release(directory, registry)
    made = _npm._npm(["install", "--package-lock-only"], str(directory), VENDOR_TOKEN, [str(registry.config.bin)], 90)
    assert made.code == 0, made.tail()
    return (directory / "package-lock.json").read_text()


def write_release(directory: Path, registry: Registry) -> None:
    url = registry.config.registry_url
    lines = [f"@ecommus-plugin:registry={url}", f"@ecommus:registry={url}", f"{url.partition(':')[2]}:_authToken=${{NPM_REGISTRY_TOKEN}}"]
    (directory / ".npmrc").write_text("\n".join([*lines, f"cache={directory}/.cache", ""]))
    workspaces = {"good": "node -e 0", "bad": "node -e \"console.log('TS2304: no such name'); process.exit(2)\""}
    for name, script in workspaces.items():
        folder = directory / "apps" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"name": f"@ecommus/{name}", "version": "1.0.0", "scripts": {"build": script}}))
    (directory / "package.json").write_text(
        json.dumps({"name": "shop", "version": "1.0.0", "private": True, "workspaces": ["apps/*"], "dependencies": PACKAGES})
    )


class Release:
    def __init__(self, directory: Path, tools: Path) -> None:
        self.directory, self.prefix = directory, [str(tools)]
        self.env = directory / ".env"
        self.env.write_text(f"NPM_REGISTRY_TOKEN={TOKEN}\n")

    def ci(self, **options: t.Any) -> None:
        _npm.ci(str(self.directory), env_file=str(self.env), path_prefix=self.prefix, timeout=90, **options)

    def refused(self, **options: t.Any) -> EcommusError:
        with pytest.raises(EcommusError) as refused:
            self.ci(**options)
        assert TOKEN not in str(refused.value) + json.dumps(refused.value.details)
        assert refused.value.remedy
        return refused.value


@pytest.fixture
def release(customer: Registry, lock: str, tmp_path: Path) -> Release:
    write_release(tmp_path, customer)
    (tmp_path / "package-lock.json").write_text(lock)
    return Release(tmp_path, REPO / ".lab" / "tools" / "bin")


def test_installed_and_built(release: Release, tmp_path: Path) -> None:
    release.ci()
    assert (release.directory / "node_modules/@ecommus-plugin/efactura-ro/index.js").exists()
    done = _npm.build(str(release.directory), ["@ecommus/good"], path_prefix=release.prefix, log_directory=str(tmp_path))
    assert [item["workspace"] for item in done] == ["@ecommus/good"]
    assert (tmp_path / "build-ecommus-good.log").exists()
    with pytest.raises(EcommusError, match=r"building @ecommus/bad failed with exit code 2: .*TS2304: no such name"):
        _npm.build(str(release.directory), ["@ecommus/good", "@ecommus/bad"], path_prefix=release.prefix)
    with pytest.raises(EcommusError, match="the release has no workspace @ecommus/none"):
        _npm.build(str(release.directory), ["@ecommus/none"], path_prefix=release.prefix)


def test_the_registry_is_asked_beforehand(release: Release, customer: Registry) -> None:
    lock = json.loads((release.directory / "package-lock.json").read_text())
    assert _npm.premium_packages(lock) == PACKAGES
    answers = _npm.registry_answers(str(release.directory), PACKAGES, token=TOKEN, path_prefix=release.prefix)
    assert {answer.kind for answer in answers.values()} == {"ok"}
    customer.revoke_token(TOKEN)
    answers = _npm.registry_answers(str(release.directory), PACKAGES, token=TOKEN, path_prefix=release.prefix)
    assert {answer.kind for answer in answers.values()} == {"refused"}, "although npm has it in its cache"
    assert "revoked" in answers["@ecommus/theme-fashion"].reason
    other = _npm.registry_answers(
        str(release.directory), {"@ecommus-plugin/efactura-ro": "9.9.9"}, token=VENDOR_TOKEN, path_prefix=release.prefix
    )
    assert other["@ecommus-plugin/efactura-ro"].kind == "missing"


def test_the_cache_does_not_answer_for_a_registry_that_is_away(release: Release, customer: Registry) -> None:
    """npm does answer from it, whatever is said of online: make-fetch-happen, lib/cache/entry.js, revalidate."""

    def ask() -> set[str]:
        answers = _npm.registry_answers(str(release.directory), PACKAGES, token=TOKEN, path_prefix=release.prefix)
        return {answer.kind for answer in answers.values()}

    assert ask() == {"ok"}
    customer.stop()
    try:
        assert ask() == {"unreachable"}
    finally:
        customer.start()


def test_no_token(release: Release) -> None:
    release.env.write_text("")
    error = release.refused()
    assert error.details["cause"] == "token_missing"
    assert "customer portal" in error.remedy


def test_token_revoked(release: Release, customer: Registry) -> None:
    customer.revoke_token(TOKEN)
    error = release.refused()
    assert (error.details["cause"], error.details["packages"]) == ("token_revoked", sorted(PACKAGES))
    assert "revoked" in error.message


def test_wrong_token(release: Release) -> None:
    assert release.refused(token="another-token").details["cause"] == "token_revoked"


def test_licence_expired(release: Release, customer: Registry) -> None:
    customer.expire_licence("customer")
    assert release.refused().details["cause"] == "licence_expired"


def test_unlicensed(release: Release, customer: Registry) -> None:
    customer.unlicense("customer", "@ecommus-plugin/efactura-ro")
    error = release.refused()
    assert (error.details["cause"], error.details["packages"]) == ("unlicensed", ["@ecommus-plugin/efactura-ro"])
    assert "re-issued" in error.remedy


def test_lock_file_mismatch(release: Release) -> None:
    path = release.directory / "package-lock.json"
    lock = json.loads(path.read_text())
    del lock["packages"]["node_modules/@ecommus-plugin/efactura-ro"]
    path.write_text(json.dumps(lock))
    error = release.refused()
    assert "do not fit each other (Missing: @ecommus-plugin/efactura-ro@1.2.0 from lock file)" in error.message


def test_version_that_never_was(release: Release) -> None:
    package = release.directory / "package.json"
    package.write_text(package.read_text().replace('"1.2.0"', '"1.3.0"'))
    assert "No matching version found for @ecommus-plugin/efactura-ro@1.3.0" in release.refused().message


def test_registry_down(release: Release) -> None:
    npmrc = release.directory / ".npmrc"
    npmrc.write_text(npmrc.read_text().replace(str(PORT + 2), "21689"))
    lock = release.directory / "package-lock.json"
    lock.write_text(lock.read_text().replace(str(PORT + 2), "21689"))
    error = release.refused()
    assert "the registry cannot be reached" in error.message
    assert "ECONNREFUSED" in error.message


def test_version_withdrawn(release: Release) -> None:
    for file in ("package.json", "package-lock.json"):
        path = release.directory / file
        path.write_text(path.read_text().replace("2.0.0", "2.0.9"))
    error = release.refused()
    assert "theme-fashion" in error.message


def test_package_republished(release: Release) -> None:
    path = release.directory / "package-lock.json"
    lock = json.loads(path.read_text())
    lock["packages"]["node_modules/@ecommus/theme-fashion"]["integrity"] = "sha512-" + "A" * 86 + "=="
    path.write_text(json.dumps(lock))
    assert "not what the lock file promises" in release.refused().message


def test_node_too_old(release: Release) -> None:
    package = release.directory / "package.json"
    package.write_text(package.read_text().replace('"private"', '"engines": {"node": ">=99"}, "private"'))
    (release.directory / ".npmrc").open("a").write("engine-strict=true\n")
    assert "node or npm does not fit" in release.refused().message


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [("22.20.0", ">=22.6", True), ("v20.20.2", ">=22.6", False), ("22.6.0", "^20 || >=22.6 <23", True), ("23.0.0-rc.1", ">=22.6", False)],
)
def test_semver_is_npms(node_tools: Path, version: str, wanted: str, fits: bool) -> None:
    prefix = [str(node_tools)] if (node_tools / "npm").exists() else []
    assert _npm.semver_satisfies(version, wanted, path_prefix=prefix) is fits


def test_no_range(node_tools: Path) -> None:
    with pytest.raises(EcommusError, match="is not a range"):
        _npm.semver_satisfies("1.0.0", "whatever you like", path_prefix=[str(node_tools)] if (node_tools / "npm").exists() else [])
