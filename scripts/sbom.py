# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the collection at the head of the bill of materials of the environment that it was proven in.

    python scripts/sbom.py ARTIFACT ENVIRONMENT TARGET

ENVIRONMENT is what cyclonedx-py says of a Python environment with requirements/controller.txt. The collection gets the hash of the
artifact and of each of its files, and depends on what no other package of the environment asked for.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def described(artifact: Path) -> dict[str, Any]:
    """The collection as a component."""
    with tarfile.open(artifact) as archive:
        about, files = (json.load(archive.extractfile(name)) for name in ("MANIFEST.json", "FILES.json"))  # type: ignore[arg-type]
    about = about["collection_info"]
    name = f"{about['namespace']}.{about['name']}"
    return {
        "type": "application",
        "bom-ref": name,
        "name": name,
        "version": about["version"],
        "description": about["description"],
        "authors": [{"name": author} for author in about["authors"]],
        "purl": f"pkg:generic/{about['namespace']}/{about['name']}@{about['version']}",
        "licenses": [{"license": {"id": "GPL-3.0-or-later"}}],
        "hashes": [_sha256(hashlib.sha256(artifact.read_bytes()).hexdigest())],
        "externalReferences": [{"type": "vcs", "url": about["repository"]}, {"type": "documentation", "url": about["documentation"]}],
        "components": [
            {"type": "file", "bom-ref": f"{name}/{entry['name']}", "name": entry["name"], "hashes": [_sha256(entry["chksum_sha256"])]}
            for entry in files["files"]
            if entry["ftype"] == "file"
        ],
    }


def headed(environment: dict[str, Any], collection: dict[str, Any]) -> dict[str, Any]:
    """The bill of the environment with the collection as its subject."""
    asked_for = {ref for entry in environment["dependencies"] for ref in entry.get("dependsOn", [])}
    direct = sorted(entry["ref"] for entry in environment["dependencies"] if entry["ref"] not in asked_for)
    return {
        **environment,
        "metadata": {**environment["metadata"], "component": collection},
        "dependencies": [{"ref": collection["bom-ref"], "dependsOn": direct}, *environment["dependencies"]],
    }


def _sha256(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest}


def main(artifact: Path, environment: Path, target: Path) -> int:
    """Write the bill; exit code 1 if it is none by the specification."""
    bill = headed(json.loads(environment.read_text()), described(artifact))
    text = json.dumps(bill, indent=2, sort_keys=True) + "\n"
    problem = JsonStrictValidator(SchemaVersion.from_version(bill["specVersion"])).validate_str(text)
    if problem:
        print(f"not CycloneDX {bill['specVersion']}: {problem}", file=sys.stderr)
        return 1
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
