"""Builds the vendor's git repository: a bare one whose tags are the releases of ``app/``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import licence
from .config import LAB_SOURCE, LabError

APP = LAB_SOURCE / "app"
NOTES = "docs/08-changelog"
VENDOR_SCOPES = ("@ecommus-plugin/", "@ecommus/theme-")
PRINCIPAL = "release@ecommus"
NPM_TIMEOUT = 300  # seconds; a refresh takes one to five


@dataclass(frozen=True)
class Release:
    """A directory of ``app/releases``, as its ``release.yml`` describes it."""

    tag: str
    directory: Path
    summary: str
    date: str
    parent: str | None = None
    branch: str = "main"
    signed: bool | str = True
    requires: dict[str, str] | None = None
    claims: str | None = None
    delete: tuple[str, ...] = ()
    flavours: tuple[str, ...] = ("full", "light")

    @property
    def version(self) -> str:
        return self.claims or self.tag.removeprefix("v")


@dataclass(frozen=True)
class RemoteInfo:
    """The finished repository; ``tags`` maps each tag to its commit."""

    path: Path
    allowed_signers: Path
    tags: dict[str, str]


def load_releases(flavour: str, app: Path = APP) -> list[Release]:
    """The releases of one flavour, each after its parent.

    :raises LabError: a parent that does not exist.
    """
    found = [_load_release(path) for path in sorted((app / "releases").glob("*/release.yml"))]
    waiting = [release for release in found if flavour in release.flavours]
    ordered: list[Release] = []
    while waiting:
        built = {release.tag for release in ordered}
        ready = [release for release in waiting if release.parent is None or release.parent in built]
        if not ready:
            raise LabError(f"no parent for the releases {', '.join(release.tag for release in waiting)}")
        ordered.extend(ready)
        waiting = [release for release in waiting if release not in ready]
    return ordered


def build_remote(
    destination: Path,
    flavour: str,
    registry_url: str,
    bin_dir: Path,
    npm_token: str,
    vendor_dir: Path,
    cache: Path,
    app: Path = APP,
) -> RemoteInfo:
    """Puts the bare repository at ``destination``, from the cache if nothing that goes into it has changed.

    :param bin_dir: holds ``node`` and ``npm``.
    :param npm_token: reads every package of the running private registry.
    :param vendor_dir: the vendor's keys; made on first use and then kept, as commits depend on them.
    :raises LabError: git or npm failed.
    """
    signers = ensure_signing_keys(vendor_dir)
    kept = cache / "remotes" / _fingerprint(app, flavour, registry_url, vendor_dir)
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            builder = _Builder(Path(scratch, "work"), app, flavour, registry_url, bin_dir, npm_token, vendor_dir, cache)
            tags = builder.build()
            result = Path(scratch, "result")
            builder.git("clone", "--quiet", "--bare", ".", str(result / "ecommus.git"))
            (result / "tags.json").write_text(json.dumps(tags, indent=2))
            result.rename(kept)
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(kept / "ecommus.git", destination)
    return RemoteInfo(destination, signers, json.loads((kept / "tags.json").read_text()))


def ensure_signing_keys(vendor_dir: Path) -> Path:
    """Makes the release key and a stranger's key; returns the list of allowed signers, with the release key only."""
    vendor_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("release", "stranger"):
        key = vendor_dir / f"{name}_key"
        if not key.exists():
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@ecommus", "-f", str(key)], vendor_dir)
    signers = vendor_dir / "allowed_signers"
    public = " ".join((vendor_dir / "release_key.pub").read_text().split()[:2])
    signers.write_text(f'{PRINCIPAL} namespaces="git" {public}\n')
    return signers


class _Builder:
    """One working tree in which the releases are made one after the other."""

    def __init__(
        self,
        work: Path,
        app: Path,
        flavour: str,
        registry_url: str,
        bin_dir: Path,
        npm_token: str,
        vendor_dir: Path,
        cache: Path,
    ) -> None:
        self.work = work
        self.app = app
        self.flavour = flavour
        self.registry_url = registry_url
        self.vendor_dir = vendor_dir
        self.env = {
            **os.environ,
            "PATH": f"{bin_dir}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "NPM_REGISTRY_TOKEN": npm_token,
            "npm_config_cache": str(cache / "npm"),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_AUTHOR_NAME": "ecommus release",
            "GIT_AUTHOR_EMAIL": PRINCIPAL,
            "GIT_COMMITTER_NAME": "ecommus release",
            "GIT_COMMITTER_EMAIL": PRINCIPAL,
        }

    def build(self) -> dict[str, str]:
        self.work.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("config", "gpg.format", "ssh")
        self.git("config", "advice.detachedHead", "false")
        tags = {}
        for release in load_releases(self.flavour, self.app):
            tags[release.tag] = self._release(release)
        self.git("checkout", "--quiet", "main")
        return tags

    def git(self, *arguments: str) -> str:
        return _run(["git", *arguments], self.work, self.env)

    def _release(self, release: Release) -> str:
        for name in ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"):
            self.env[name] = release.date
        if release.parent:
            self.git("checkout", "--quiet", "-B", release.branch, f"refs/tags/{release.parent}^{{commit}}")
        else:
            self._base()
        self._apply(release)
        self._fill_npmrc()
        for manifest, content in self._manifests():
            self._set_versions(manifest, content, release)
        if not any((release.directory / overlay / "package-lock.json").exists() for overlay in self._overlays()):
            self._refresh_lock()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Release {release.tag}: {release.summary}")
        self._tag(release)
        return self.git("rev-parse", "HEAD").strip()

    def _base(self) -> None:
        for part in ("common", self.flavour):
            shutil.copytree(self.app / part, self.work, dirs_exist_ok=True)
        key = licence.load_key(self.vendor_dir)
        keys = self.work / "packages/core/keys"
        keys.mkdir(parents=True, exist_ok=True)
        (keys / f"{key.kid}.pem").write_bytes(key.public_pem)

    def _overlays(self) -> tuple[str, str]:
        return ("overlay", f"overlay-{self.flavour}")

    def _apply(self, release: Release) -> None:
        """New and replaced files, then edits of inherited ones, then what goes away."""
        for overlay in self._overlays():
            if (release.directory / overlay).is_dir():
                shutil.copytree(release.directory / overlay, self.work, dirs_exist_ok=True)
        for patch in sorted(release.directory.glob("*.patch")):
            self.git("apply", str(patch))
        for path in release.delete:
            target = self.work / path
            if target.is_dir():
                shutil.rmtree(target)
            else:
                target.unlink()
        notes = release.directory / "notes.md"
        if notes.exists():
            (self.work / NOTES).mkdir(parents=True, exist_ok=True)
            shutil.copy(notes, self.work / NOTES / f"{release.tag}.md")

    def _fill_npmrc(self) -> None:
        npmrc = self.work / ".npmrc"
        text = npmrc.read_text().replace("@REGISTRY_URL@", self.registry_url)
        npmrc.write_text(text.replace("@REGISTRY_NERF@", self.registry_url.partition(":")[2]))

    def _manifests(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        for pattern in ("package.json", "apps/*/package.json", "packages/*/package.json", "plugins/*/package.json"):
            for path in sorted(self.work.glob(pattern)):
                yield path, json.loads(path.read_text())

    def _set_versions(self, path: Path, content: dict[str, Any], release: Release) -> None:
        """All of the monorepo has the version of the release; the private plugin of its customer has its own."""
        if content["name"].startswith("ecommus") or content["name"].startswith("@ecommus"):
            content["version"] = release.version
        dependencies = content.get("dependencies", {})
        for name, version in (release.requires or {}).items():
            if name in dependencies:
                dependencies[name] = version
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def _refresh_lock(self) -> None:
        """Brings the lock file in line with the manifests.

        The vendor's packages are taken out first: npm would keep the checksum of a version whose content has changed.
        """
        path = self.work / "package-lock.json"
        lock = json.loads(path.read_text()) if path.exists() else {"packages": {}}
        for entry in list(lock["packages"]):
            if entry.rpartition("node_modules/")[2].startswith(VENDOR_SCOPES):
                del lock["packages"][entry]
        if path.exists():
            path.write_text(json.dumps(lock, indent=2) + "\n")
        command = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--prefer-offline", "--loglevel=error"]
        _run(command, self.work, self.env, NPM_TIMEOUT)

    def _tag(self, release: Release) -> None:
        message = f"ecommus {release.tag}\n\n{release.summary}"
        if release.signed is False:
            self.git("tag", "--annotate", "--message", message, release.tag)
            return
        name = release.signed if isinstance(release.signed, str) else "release"
        key = self.vendor_dir.absolute() / f"{name}_key"
        self.git("-c", f"user.signingkey={key}", "tag", "--sign", "--message", message, release.tag)


def _load_release(path: Path) -> Release:
    content = yaml.safe_load(path.read_text())
    for name in ("delete", "flavours"):
        if name in content:
            content[name] = tuple(content[name])
    try:
        return Release(tag=path.parent.name, directory=path.parent, **content)
    except TypeError as error:
        raise LabError(f"{path}: {error}") from error


def _fingerprint(app: Path, flavour: str, registry_url: str, vendor_dir: Path) -> str:
    digest = hashlib.sha256(repr((flavour, registry_url)).encode())
    for path in (vendor_dir / "release_key.pub", vendor_dir / "stranger_key.pub", Path(__file__)):
        digest.update(path.read_bytes())
    digest.update(licence.load_key(vendor_dir).public_pem)
    for part in ("common", flavour, "packages", "releases"):
        for path in sorted(path for path in (app / part).rglob("*") if path.is_file()):
            digest.update(repr((str(path.relative_to(app)), path.stat().st_mode & 0o111)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def _run(command: list[str], cwd: Path, env: dict[str, str] | None = None, timeout: int = 60) -> str:
    try:
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is missing: install it and try again") from error
    if done.returncode:
        raise LabError(f"{' '.join(command[:2])} failed: {(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout
