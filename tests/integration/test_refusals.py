"""Bad input and bad circumstances: one clear line, the remedy, exit code not 0, and nothing changed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shopstate
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop
from playbook import Outcome, play

pytestmark = pytest.mark.lab


@pytest.fixture
def shop(fresh_shop: Callable[[str], RunningShop]) -> RunningShop:
    return fresh_shop("aurora")


@pytest.fixture(scope="module")
def steady(lab: Lab) -> Iterator[RunningShop]:
    """A shop for the refusals that come before anything could change it."""
    lab.reset(["boreal"])
    yield lab.shop("boreal")


def refused(outcome: Outcome, host: str, says: str, remedy: str) -> None:
    """The play failed for *host*, and its last word is one line with the problem and the remedy."""
    assert outcome.code != 0, outcome.said[-3000:]
    report = outcome.report(host)
    assert report["outcome"] == "refused", outcome.said[-5000:]
    assert re.search(says, report["problem"]), report["problem"]
    assert re.search(remedy, report["remedy"] or report["problem"]), report
    assert "\n" not in report["problem"] + report["remedy"]
    assert "Traceback" not in outcome.said


@pytest.mark.parametrize(
    ("version", "says", "remedy"),
    [
        (None, "no version was given", "for example v1.4.0"),
        ("latest", "'latest' is not a release tag", "v1.4.0"),
        ("1.4.0", "'1.4.0' is not a release tag", r"did you mean v1\.4\.0"),
        ("v9.9.9", r"no release v9\.9\.9", r"its newest are: v2\.0\.0, "),
        ("v1.4.0; touch {marker}", "is not a release tag", "one exact release tag"),
        ("v2.0.0", "major step", "migration guide|newest release of the same major"),
    ],
)
def test_a_version_that_is_none(steady: RunningShop, tmp_path: Path, version: str | None, says: str, remedy: str) -> None:
    before = shopstate.identity(steady)
    marker = tmp_path / "touched"
    given = {} if version is None else {"version": version.format(marker=marker)}
    refused(play("upgrade", tmp_path / "runs", limit="boreal", **given), "boreal", says, remedy)
    assert shopstate.identity(steady) == before
    assert not marker.exists()


def edit_a_tracked_file(shop: RunningShop) -> None:
    with (shop.root / "package.json").open("a") as stream:
        stream.write("\n")


def stop_the_admin(shop: RunningShop) -> None:
    shop.pm2("stop", shop.shop.processes["admin"].name)


@pytest.mark.parametrize(
    ("spoil", "says", "remedy"),
    [
        (edit_a_tracked_file, "local changes.*package.json", "git stash"),
        (stop_the_admin, "admin: .*(502|503|refused)", "bring the shop to health"),
    ],
)
def test_circumstances_that_would_hurt(
    shop: RunningShop, tmp_path: Path, spoil: Callable[[RunningShop], None], says: str, remedy: str
) -> None:
    spoil(shop)
    before = shopstate.identity(shop)
    refused(play("upgrade", tmp_path, limit="aurora", version="v1.4.0"), "aurora", says, remedy)
    assert shopstate.identity(shop) == before


@pytest.mark.parametrize(
    ("variables", "says", "remedy"),
    [
        ({"ecommus_npm_token": "wrong-token"}, "token.*(not valid|revoked)", "customer portal"),
        ({"ecommus_root": "/nowhere/shop"}, "no install at /nowhere/shop", "ecommus_root"),
        ({"ecommus_git_remote": "/nowhere.git"}, "git remote does not answer", "ecommus_git_remote"),
    ],
)
def test_an_inventory_that_is_wrong(steady: RunningShop, tmp_path: Path, variables: dict[str, object], says: str, remedy: str) -> None:
    before = shopstate.identity(steady)
    refused(play("upgrade", tmp_path, limit="boreal", **{"version": "v1.4.0", **variables}), "boreal", says, remedy)
    assert shopstate.identity(steady) == before


def test_all_that_stands_in_the_way_is_told_at_once(steady: RunningShop, tmp_path: Path) -> None:
    before = shopstate.identity(steady)
    wrong = {"ecommus_workers_process": "no-such", "ecommus_pg_bin_dir": "/nowhere", "version": "v1.4.1-node99"}
    outcome = play("upgrade", tmp_path, limit="boreal", **wrong)
    refused(outcome, "boreal", r"^3 of \d+ checks stop the upgrade, nothing was changed", "ecommus_workers_process")
    told = outcome.report("boreal")["problem"] + outcome.report("boreal")["remedy"]
    for says in ("not in pm2: no-such", "wants >=99", "no pg_dump and pg_restore fit"):
        assert says in told
    assert shopstate.identity(steady) == before


def test_the_database_is_down(lab: Lab, shop: RunningShop, tmp_path: Path) -> None:
    before = shopstate.identity(shop)
    lab.postgres.stop()
    try:
        outcome = play("upgrade", tmp_path, limit="aurora", version="v1.4.0")
    finally:
        lab.postgres.start()
    refused(outcome, "aurora", "cannot connect to database aurora_prod", "start PostgreSQL")
    assert shop.secrets.database_password not in outcome.said
    assert shop.wait_healthy(30) == []
    assert shopstate.identity(shop) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_the_disk_is_too_small_for_the_snapshot(steady: RunningShop, tmp_path: Path) -> None:
    before = shopstate.identity(steady)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "tmpfs", str(disk)], check=True)
    try:
        outcome = play("upgrade", tmp_path / "runs", limit="boreal", version="v1.4.0", ecommus_snapshot_dir=str(disk))
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    refused(outcome, "boreal", r"MiB free in .*needed for a dump", "ecommus_snapshot_dir")
    assert shopstate.identity(steady) == before


def test_a_rollback_without_an_upgrade(steady: RunningShop, tmp_path: Path) -> None:
    before = shopstate.identity(steady)
    refused(play("rollback", tmp_path, limit="boreal"), "boreal", r"no upgrade to v1\.3\.2", "made by this collection")
    assert shopstate.identity(steady) == before
