# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same tree gives the same artifact, whenever it is built and in whatever order the file system lists it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
CONTENT = {"README.md": b"read me", "plugins": None, "plugins/b.py": b"b", "plugins/a.py": b"a"}


def build(path: Path, names: list[str], when: int) -> Path:
    """What ansible-galaxy makes of CONTENT when it finds *names* in that order at that time."""
    listed = [{"name": name, "ftype": "dir" if CONTENT[name] is None else "file"} for name in names]
    files = json.dumps({"files": [{"name": ".", "ftype": "dir"}, *listed], "format": 1}, indent=True).encode()
    manifest = {"collection_info": {"name": "x"}, "file_manifest_file": {"chksum_sha256": hashlib.sha256(files).hexdigest()}}
    with tarfile.open(path, "w:gz") as archive:
        for name, data in [("MANIFEST.json", json.dumps(manifest, indent=True).encode()), ("FILES.json", files)]:
            add(archive, name, data, when)
        for name in names:
            add(archive, name, CONTENT[name], when)
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes | None, when: int) -> None:
    member = tarfile.TarInfo(name)
    member.mtime, member.size = when, len(data or b"")
    member.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
    archive.addfile(member, io.BytesIO(data or b""))


def rewritten(artifact: Path) -> bytes:
    target = artifact.with_suffix(".rewritten")
    command = [sys.executable, str(REPO / "scripts/reproducible.py"), str(artifact), str(target)]
    subprocess.run(command, env={"SOURCE_DATE_EPOCH": "1795000000"}, check=True)
    return target.read_bytes()


def test_order_and_time_leave_no_trace(tmp_path: Path) -> None:
    one = build(tmp_path / "one.tar.gz", ["README.md", "plugins", "plugins/b.py", "plugins/a.py"], 1_700_000_000)
    other = build(tmp_path / "other.tar.gz", ["plugins", "plugins/a.py", "plugins/b.py", "README.md"], 1_800_000_000)
    assert one.read_bytes() != other.read_bytes()
    assert rewritten(one) == rewritten(other)


def test_the_manifest_still_vouches_for_the_files(tmp_path: Path) -> None:
    artifact = build(tmp_path / "one.tar.gz", list(CONTENT), 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(rewritten(artifact))) as archive:
        names = archive.getnames()
        content = {name: archive.extractfile(name).read() for name in names if name != "plugins"}
        assert {member.mtime for member in archive} == {1_795_000_000}
    assert names == ["MANIFEST.json", "FILES.json", "README.md", "plugins", "plugins/a.py", "plugins/b.py"]
    assert json.loads(content["MANIFEST.json"])["file_manifest_file"]["chksum_sha256"] == hashlib.sha256(content["FILES.json"]).hexdigest()
    assert {name: content[name] for name in CONTENT if CONTENT[name] is not None} == {k: v for k, v in CONTENT.items() if v is not None}
