"""The other ways to the same playbooks, and the layout changed there and back while the shop serves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import shopstate
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop
from playbook import REPO, TIMEOUT, play

pytestmark = pytest.mark.lab

BIN = Path(sys.executable).parent


def run(argv: list[str], cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=TIMEOUT, check=False)


def test_from_the_built_artifact_by_its_full_name(lab: Lab, tmp_path: Path) -> None:
    galaxy = str(BIN / "ansible-galaxy")
    built = run([galaxy, "collection", "build", "--output-path", str(tmp_path)], REPO)
    assert built.returncode == 0, built.stderr
    (artifact,) = tmp_path.glob("mdlabs-ecommus-*.tar.gz")
    assert artifact.stat().st_size < 2_000_000, "something that does not belong there was built in"
    installed = run([galaxy, "collection", "install", "-p", str(tmp_path / "collections"), str(artifact)], tmp_path)
    assert installed.returncode == 0, installed.stderr
    done = run(
        [
            *(str(BIN / "ansible-playbook"), "mdlabs.ecommus.upgrade", "-i", str(REPO / "inventories/lab"), "--limit", "boreal"),
            *("-e", "version=v1.3.2", "-e", f"ecommus_run_dir={tmp_path}/runs"),
        ],
        tmp_path,
        ANSIBLE_COLLECTIONS_PATH=str(tmp_path / "collections"),
        ANSIBLE_CALLBACKS_ENABLED="mdlabs.ecommus.summary",
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "boreal  unchanged" in done.stdout


def test_from_the_directory_of_the_playbooks(lab: Lab, tmp_path: Path) -> None:
    done = run(
        [
            *(str(BIN / "ansible-playbook"), "upgrade.yml", "--limit", "boreal"),
            *("-e", "version=latest", "-e", f"ecommus_run_dir={tmp_path}"),
        ],
        REPO / "playbooks",
    )
    assert done.returncode == 2
    assert "'latest' is not a release tag" in done.stdout


def test_adoption_there_and_back_under_load(fresh_shop: Callable[[str], RunningShop], tmp_path: Path) -> None:
    shop = fresh_shop("aurora")
    before = shopstate.identity(shop)
    failures: list[str] = []
    asked = 0
    there = None
    for layout in ("releases", "in_place"):
        with shopstate.Visitors(shop) as visitors:
            outcome = play("adopt", tmp_path, limit="aurora", ecommus_layout=layout)
        assert outcome.code == 0, outcome.said[-4000:]
        failures += visitors.failures
        asked += visitors.asked
        there = there or shopstate.serving(shop)
    assert asked > 100
    assert failures == []
    assert all("/releases/v1.3.2-" in directory for process in ("api", "admin", "storefront") for directory in there[process])
    after = shopstate.identity(shop)
    assert not shop.root.is_symlink()
    assert shop.wait_healthy(10) == []
    for fact in ("version", "root", "ledgers", "env", "databases"):
        assert after[fact] == before[fact], fact


@pytest.mark.exhaustive
def test_an_adoption_that_shared_only_a_part_is_gone_on_with(fresh_shop: Callable[[str], RunningShop], tmp_path: Path) -> None:
    """Stopped half-way it leaves the releases layout with files that no other release would find; here uploads on another disk."""
    shop = fresh_shop("aurora")
    uploads, disk = shop.root / "uploads", tmp_path / "disk"
    uploads.rename(disk)
    uploads.symlink_to(disk)
    assert play("adopt", tmp_path, limit="aurora", ecommus_shared_paths=[".env"]).code == 0
    assert shop.root.is_symlink()
    outcome = play("upgrade", tmp_path, limit="aurora", version="v1.4.0")
    assert outcome.code == 0, outcome.said[-4000:]
    assert "/releases/v1.4.0-" in str(shop.root.resolve())
    assert (shop.root / ".env").is_file()
    assert uploads.resolve() == disk
    assert (uploads / "logo.svg").exists()
    assert (shop.root / "keys").resolve().parent.name == "shared"
