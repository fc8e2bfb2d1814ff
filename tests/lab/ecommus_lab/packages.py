"""Publishes the vendor's premium plugins and themes, from ``app/packages/<name>/<version>/``."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from .config import LAB_SOURCE, LabError

PACKAGES = LAB_SOURCE / "app/packages"
# The time stamp that npm itself gives every file of a package, so that equal packages have equal checksums.
NPM_MTIME = 499162500


def publish_packages(registry_url: str, token: str, packages: Path = PACKAGES) -> list[str]:
    """Publishes every version that the registry does not hold yet; returns those as ``name@version``.

    :raises LabError: the registry refused, or holds other content under that version.
    """
    published = []
    for manifest in sorted(packages.glob("*/*/package.json")):
        if publish(registry_url, token, manifest.parent):
            name, version = _identity(manifest)
            published.append(f"{name}@{version}")
    return published


def publish(registry_url: str, token: str, directory: Path) -> bool:
    """Publishes one package as ``npm publish`` does, without npm's second and a half; ``False`` if it is there."""
    name, version = _identity(directory / "package.json")
    tarball = pack(directory)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    url = registry_url.rstrip("/") + "/" + name.replace("/", "%2f")
    present = _request("GET", url, token)
    if version in present.get("versions", {}):
        if present["versions"][version]["dist"]["integrity"] != integrity:
            raise LabError(f"the registry holds another {name}@{version}: start it with an empty storage")
        return False
    filename = f"{name}-{version}.tgz"
    manifest = json.loads((directory / "package.json").read_text())
    dist = {
        "integrity": integrity,
        "shasum": hashlib.sha1(tarball).hexdigest(),
        "tarball": f"{registry_url.rstrip('/')}/{name}/-/{filename.rsplit('/', maxsplit=1)[-1]}",
    }
    attachment = {
        "content_type": "application/octet-stream",
        "data": base64.b64encode(tarball).decode(),
        "length": len(tarball),
    }
    document = {
        "_id": name,
        "name": name,
        "dist-tags": {"latest": version},
        "versions": {version: {**manifest, "_id": f"{name}@{version}", "dist": dist}},
        "_attachments": {filename: attachment},
    }
    _request("PUT", url, token, document)
    return True


def pack(directory: Path) -> bytes:
    """The package as npm's tarball; the same bytes for the same files, on any machine."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(f"package/{path.relative_to(directory)}")
            entry.size, entry.mode, entry.mtime = path.stat().st_size, 0o644, NPM_MTIME
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return buffer.getvalue()


def _identity(manifest: Path) -> tuple[str, str]:
    content = json.loads(manifest.read_text())
    return content["name"], content["version"]


def _request(method: str, url: str, token: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
    body = json.dumps(document).encode() if document else None
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        if error.code == 404 and method == "GET":
            return {}
        raise LabError(f"the registry answered {error.code} to {method} {url}: {error.read(500).decode()}") from error
