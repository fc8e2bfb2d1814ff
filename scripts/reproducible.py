# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrites an artifact of ``ansible-galaxy collection build`` so that the same tree gives the same bytes.

    SOURCE_DATE_EPOCH=... python scripts/reproducible.py ARTIFACT TARGET

ansible-galaxy lists files in the order in which the file system does, and notes when it ran (ansible/galaxy/collection/__init__.py,
``_build_files_manifest_walk`` and ``_build_collection_tar``). Here the list is sorted and the time is given. What remains is how zlib
compresses: another Python may have another zlib.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path


def rewrite(artifact: Path, target: Path, when: int) -> None:
    """Write the content of *artifact* to *target*, sorted, and as of *when*."""
    with tarfile.open(artifact) as archive:
        found = [(member, archive.extractfile(member)) for member in archive.getmembers()]
        content = {member.name: (member, stream.read() if stream else b"") for member, stream in found}
    files, manifest = (json.loads(content[name][1]) for name in ("FILES.json", "MANIFEST.json"))
    files["files"].sort(key=lambda entry: entry["name"])
    listed = _json(files)
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(listed).hexdigest()
    content["FILES.json"] = (content["FILES.json"][0], listed)
    content["MANIFEST.json"] = (content["MANIFEST.json"][0], _json(manifest))
    # No name in the head of the compressed file: it would be that of the target.
    with target.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, when) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        # The manifests come first, as ansible-galaxy has it.
        for name in sorted(content, key=lambda name: (name != "MANIFEST.json", name != "FILES.json", name)):
            member, data = content[name]
            member.mtime, member.size, member.pax_headers = when, len(data), {}
            archive.addfile(member, io.BytesIO(data))


def _json(value: object) -> bytes:
    return json.dumps(value, indent=True).encode()


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]), Path(sys.argv[2]), int(os.environ["SOURCE_DATE_EPOCH"]))
