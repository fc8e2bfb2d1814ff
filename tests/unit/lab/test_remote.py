"""The vendor's repository, built from a product of three files with real git and ssh-keygen."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ecommus_lab import packages, remote
from ecommus_lab.config import LabError

REGISTRY = "http://127.0.0.1:4873/"


def release(app: Path, tag: str, files: dict[str, str] | None = None, **settings: Any) -> None:
    directory = app / "releases" / tag
    # A lock file of its own keeps npm out of it.
    for path, text in {"overlay/package-lock.json": "{}", **(files or {})}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    settings = {"summary": tag, "date": "2026-01-01T00:00:00+00:00", **settings}
    (directory / "release.yml").write_text(yaml.safe_dump(settings))


@pytest.fixture
def app(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    api = {"name": "@ecommus/api", "version": "0.0.0", "dependencies": {"@ecommus-plugin/x": "1.0.0"}}
    private = {"name": "@customer/loyalty", "version": "0.4.0"}
    files = {
        "common/package.json": json.dumps({"name": "ecommus", "version": "0.0.0"}),
        "common/.npmrc": "@ecommus:registry=@REGISTRY_URL@\n@REGISTRY_NERF@:_authToken=${NPM_REGISTRY_TOKEN}\n",
        "common/plugins/loyalty/package.json": json.dumps(private),
        "common/code.txt": "one\n",
        "light/apps/api/package.json": json.dumps(api),
    }
    for path, text in files.items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(text)
    release(app, "v1.0.0")
    return app


def build(app: Path, name: str = "a", cache: str = "cache") -> remote.RemoteInfo:
    home = app.parent
    return remote.build_remote(home / f"{name}.git", "light", REGISTRY, home, "token", home / "vendor", home / cache, app)


def git(info: remote.RemoteInfo, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-c", f"gpg.ssh.allowedSignersFile={info.allowed_signers}", *arguments]
    return subprocess.run(command, cwd=info.path, capture_output=True, text=True, timeout=30, check=False)


def show(info: remote.RemoteInfo, tag: str, path: str) -> str:
    done = git(info, "show", f"{tag}:{path}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_release_is_its_parent_changed(app: Path) -> None:
    files = {
        "overlay/new.txt": "new",
        "overlay-full/full.txt": "of the other flavour",
        "overlay-light/light.txt": "of this one",
        "edit.patch": "--- a/code.txt\n+++ b/code.txt\n@@ -1 +1 @@\n-one\n+two\n",
        "notes.md": "notes",
    }
    release(app, "v1.1.0", files, parent="v1.0.0", requires={"@ecommus-plugin/x": "1.2.0"})
    release(app, "v1.2.0", parent="v1.1.0", delete=["new.txt"])
    info = build(app)
    assert show(info, "v1.0.0", "code.txt") == "one\n"
    assert show(info, "v1.1.0", "code.txt") == "two\n"
    assert show(info, "v1.1.0", "docs/08-changelog/v1.1.0.md") == "notes"
    assert show(info, "v1.1.0", "light.txt") == "of this one"
    assert git(info, "cat-file", "-e", "v1.1.0:full.txt").returncode != 0
    assert git(info, "cat-file", "-e", "v1.2.0:new.txt").returncode != 0
    api = json.loads(show(info, "v1.1.0", "apps/api/package.json"))
    assert (api["version"], api["dependencies"]) == ("1.1.0", {"@ecommus-plugin/x": "1.2.0"})
    assert json.loads(show(info, "v1.1.0", "plugins/loyalty/package.json"))["version"] == "0.4.0"
    assert show(info, "v1.0.0", ".npmrc").splitlines() == [
        f"@ecommus:registry={REGISTRY}",
        "//127.0.0.1:4873/:_authToken=${NPM_REGISTRY_TOKEN}",
    ]


def test_only_what_the_vendor_signed_verifies(app: Path) -> None:
    release(app, "v1.0.1", parent="v1.0.0", branch="unsigned", signed=False)
    release(app, "v1.0.2", parent="v1.0.0", branch="stranger", signed="stranger")
    info = build(app)
    assert [git(info, "verify-tag", tag).returncode == 0 for tag in info.tags] == [True, False, False]
    assert git(info, "rev-parse", "main").stdout.strip() == info.tags["v1.0.0"]


def test_the_same_product_gives_the_same_commits(app: Path) -> None:
    first = build(app, "a", "cache-a")
    assert build(app, "b", "cache-b").tags == first.tags
    (app / "common/code.txt").write_text("changed\n")
    assert build(app, "c", "cache-a").tags != first.tags


def test_mistakes_are_named(app: Path) -> None:
    release(app, "v1.1.0", parent="v9.9.9")
    with pytest.raises(LabError, match=r"no parent for the releases v1\.1\.0"):
        build(app)
    release(app, "v1.1.0", {"edit.patch": "--- a/code.txt\n+++ b/code.txt\n@@ -1 +1 @@\n-ten\n+two\n"}, parent="v1.0.0")
    with pytest.raises(LabError, match="git apply failed"):
        build(app)
    release(app, "v1.1.0", parent="v1.0.0", singed=True)
    with pytest.raises(LabError, match="singed"):
        build(app)


def test_the_releases_of_the_product_are_in_order() -> None:
    for flavour in ("full", "light"):
        tags = [release.tag for release in remote.load_releases(flavour)]
        assert tags.index("v1.3.2") < tags.index("v1.4.0") < tags.index("v2.0.0")


def test_every_good_release_has_notes_that_a_program_can_read() -> None:
    for release in (release for release in remote.load_releases("light") if release.branch == "main"):
        front_matter = yaml.safe_load((release.directory / "notes.md").read_text().split("---")[1])
        assert front_matter["version"] == release.version
        assert {"bump", "deprecations", "new_env", "manual_steps", "migration_guide", "min_node"} <= set(front_matter)


def test_a_package_is_the_same_bytes_every_time() -> None:
    directory = next(packages.PACKAGES.glob("efactura-ro/1.2.0"))
    assert packages.pack(directory) == packages.pack(directory)
