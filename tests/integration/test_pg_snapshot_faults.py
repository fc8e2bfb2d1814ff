# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_snapshot on real servers: what is damaged is found, what fails or is killed leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from postgres_cluster import PASSWORD, Shop
from snapshot_calls import BIN, call, left

pytestmark = pytest.mark.postgres
DAMAGES = ["flip", *(pytest.param(how, marks=pytest.mark.exhaustive) for how in ("cut", "tail"))]


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        del content[len(content) // 2 :]
    elif how == "tail":
        del content[-20:]
    else:
        content[len(content) * 3 // 4] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("how", DAMAGES)
def test_finds_a_damaged_dump_that_the_listing_accepts(pg_database: Shop, path: Path, how: str) -> None:
    call(database_url=pg_database.url, path=str(path))
    damage(path, how)
    listing = subprocess.run([pg_database.cluster.bin / "pg_restore", "--list", path], capture_output=True, check=False, timeout=30)
    assert listing.returncode == 0 and b"TABLE DATA" in listing.stdout
    for state in ("verified", "present"):
        found = call(state=state, database_url=pg_database.url, path=str(path))
        assert found["failed"] and "is damaged" in found["msg"]
    refused = call(state="restored", database_url=pg_database.url, path=str(path), target_database="copy")
    assert refused["failed"] and "is damaged" in refused["msg"]
    assert not {"copy", "copy__partial"} & pg_database.cluster.databases()


@pytest.mark.parametrize("how", DAMAGES)
def test_reading_through_finds_what_no_checksum_could(pg_database: Shop, path: Path, how: str) -> None:
    """A dump that was wrong when its checksum was taken: gzip carries a check of its own."""
    call(database_url=pg_database.url, path=str(path), compress="1")
    damage(path, how)
    manifest = path.with_name("pre.manifest.json")
    content = json.loads(manifest.read_text())
    content |= {"size": path.stat().st_size, "sha256": snapshot.sha256(str(path))}
    manifest.write_text(json.dumps(content))
    found = call(state="verified", database_url=pg_database.url, path=str(path))
    assert found["failed"] and "cannot be read to its end" in found["msg"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_refused_before_and_survived_during(pg_database: Shop, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True, timeout=10)
    try:
        path = disk / "pre.dump"
        with pg_database.connect() as connection:
            # Text that hardly compresses, 12 MB of it.
            connection.execute("CREATE TABLE noise AS SELECT encode(sha512(i::text::bytea), 'base64') FROM generate_series(1, 100000) i")
        before = call(database_url=pg_database.url, path=str(path))
        assert before["failed"] and "are needed" in before["msg"] and "free disk space" in before["remedy"]
        for ballast in (0, 3_000_000):  # the second leaves no time to watch: the disk is full first
            with (disk / "ballast").open("wb") as file:
                file.write(b"x" * ballast)
            during = call(database_url=pg_database.url, path=str(path), dump_ratio=0.0)
            assert during["failed"] and ("has only" in during["msg"] or "filled up" in during["msg"]), during
            assert left(path) == {"ballast"}
    finally:
        subprocess.run(["umount", disk], check=True, timeout=10)


SCRIPT = """
import sys
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _restore, _revert, _snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target
what, url, path, *bin = sys.argv[1:]
options = _snapshot.Options(path_prefix=bin)
target = Target.from_url(url)
if what == "create":
    _snapshot.create(target, path, options)
elif what == "revert":
    _revert.revert(target, _snapshot.load(path), path.replace("pre.dump", "failed.dump"), options)
else:
    _restore.restore(target, target, path, "copy", 1, options)
"""


def killed_when(shop: Shop, what: str, path: Path, sign: str) -> None:
    """Run it in a process of its own and kill -9 that one as soon as the query *sign* is true, its children left alone."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, what, shop.url, str(path), *BIN], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    with shop.cluster.connect() as connection:
        until = time.monotonic() + 30
        while not connection.execute(sign).fetchone():  # type: ignore[arg-type]
            assert process.poll() is None and time.monotonic() < until
    process.send_signal(signal.SIGKILL)
    process.wait(10)


COPYING = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'ecommus %' AND query LIKE 'COPY%'"


@pytest.fixture
def big(pg_database: Shop) -> Shop:
    """A shop whose dump takes long enough to be hit in the middle."""
    with pg_database.connect() as connection:
        connection.execute("CREATE TABLE noise AS SELECT i, encode(sha512(i::text::bytea), 'base64') FROM generate_series(1, 300000) i")
    return pg_database


def test_a_killed_snapshot_is_none_and_the_next_run_makes_it(big: Shop, path: Path) -> None:
    killed_when(big, "create", path, COPYING)
    assert left(path) == {"pre.dump.partial"}
    refused = call(state="verified", database_url=big.url, path=str(path))
    assert refused["failed"] and "no manifest" in refused["msg"]
    made = call(database_url=big.url, path=str(path))
    assert made["changed"] and left(path) == {"pre.dump", "pre.manifest.json"}
    assert not call(state="verified", database_url=big.url, path=str(path)).get("failed")


@pytest.mark.exhaustive
def test_a_killed_pg_dump_leaves_nothing(big: Shop, path: Path) -> None:
    result: list[dict[str, Any]] = []
    caller = threading.Thread(target=lambda: result.append(call(database_url=big.url, path=str(path))))
    caller.start()
    program = b"--file\0" + str(path).encode()
    until = time.monotonic() + 20
    with big.cluster.connect() as connection:
        while not connection.execute(COPYING).fetchone():  # type: ignore[arg-type]
            assert time.monotonic() < until
    lines = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            lines[int(entry.name)] = (entry / "cmdline").read_bytes()
    (pid,) = [pid for pid, line in lines.items() if program in line and line.split(b"\0")[0].endswith(b"pg_dump")]
    assert not [line for line in lines.values() if PASSWORD.encode() in line or b"owner:s" in line]
    os.kill(pid, signal.SIGKILL)
    caller.join(60)
    assert result[0]["failed"] and "pg_dump failed with exit code -9" in result[0]["msg"]
    assert left(path) == set()
    assert call(database_url=big.url, path=str(path))["changed"]


def test_a_killed_restore_is_none_and_the_next_run_makes_it(pg_database: Shop, path: Path) -> None:
    call(database_url=pg_database.url, path=str(path))
    killed_when(pg_database, "restore", path, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'ecommus pg_restore'")
    assert "copy" not in pg_database.cluster.databases()
    assert "copy__partial" in pg_database.cluster.databases()
    made = call(state="restored", database_url=pg_database.url, path=str(path), target_database="copy")
    assert made.get("restored"), made
    assert "copy__partial" not in pg_database.cluster.databases()
