"""Snapshots that are encrypted on the host and shipped off it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from aftermath import NEW, OLD, Scene

pytestmark = pytest.mark.skipif(shutil.which("age") is None, reason="the package age is not installed")


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """File of a private key, and the public one."""
    path = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path, subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True).stdout.strip()


def test_rollback_from_an_encrypted_snapshot(scene: Scene, key: tuple[Path, str], tmp_path: Path) -> None:
    """The standby database is gone, so the snapshot is the way back; without its key nothing is touched."""
    options = {"ecommus_snapshot_recipients": [key[1]]}
    upgraded = scene.upgrade(**options, ecommus_snapshot_ship=["cp", "{path}", str(tmp_path / "away")])
    assert upgraded.code == 0, upgraded.said[-5000:]
    (file,) = scene.shop.shop.snapshot_dir.glob("*.dump*")
    assert file.name.endswith(".dump.age") and upgraded.report(scene.name)["snapshot"] == str(file)
    assert file.read_bytes().startswith(b"age-encryption.org/v1\n")
    assert (tmp_path / "away").read_bytes() == file.read_bytes()

    with scene.shop.connect() as connection:
        connection.execute(f'DROP DATABASE "{scene.last_run["facts"]["standby_database"]}"')
    refused = scene.rollback(**options)
    assert refused.code != 0
    assert "the snapshot is encrypted, and no identity was given" in refused.said
    assert scene.shop.wait_healthy(20) == []
    rolled_back = scene.rollback(**options, ecommus_snapshot_identity_file=str(key[0]))
    assert rolled_back.code == 0, rolled_back.said[-5000:]
    scene.serves(OLD, "succeeded")


def test_what_ships_it_fails(scene: Scene) -> None:
    """No snapshot off the host, no upgrade."""
    outcome = scene.upgrade(NEW, ecommus_snapshot_ship=["cp", "{path}", "/nowhere/else"])
    assert outcome.code != 0
    assert "the snapshot was not shipped: cp ended with exit code 1" in outcome.report(scene.name)["problem"]
    assert "migrate" not in [phase["name"] for phase in scene.last_run["phases"]]
    scene.serves(OLD, "rolled_back")
    scene.nobody_noticed()
