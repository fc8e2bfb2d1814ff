"""An upgrade whose controller is killed, and what the next command makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import shopstate
from ecommus_lab.lab import Lab
from ecommus_lab.running import RunningShop
from interruption import Running, last_run, phase, state
from playbook import play

pytestmark = pytest.mark.lab

NAME = "boreal"


@pytest.fixture
def start(lab: Lab, tmp_path: Path) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def give() -> Running:
        started.append(Running(lab, "upgrade", tmp_path / f"killed{len(started)}", limit=NAME, version="v1.4.0"))
        return started[-1]

    yield give
    for running in started:
        if running.process.poll() is None:
            running.kill_everything()


def npm_ci_works(shop: RunningShop) -> bool:
    return phase(shop) == "stage" and any(Path(f"{shop.root}.d/releases").glob("v1.4.0-*/node_modules/*"))


def snapshot_is_there(shop: RunningShop) -> bool:
    return Path(last_run(shop)["facts"]["snapshot"]["path"]).exists()


def manifest(shop: RunningShop) -> Path:
    return Path(last_run(shop)["facts"]["snapshot"]["path"]).with_suffix(".manifest.json")


def link_has_moved(shop: RunningShop) -> bool:
    return phase(shop) == "activate" and "/v1.4.0-" in str(shop.root.resolve())


def online(shop: RunningShop) -> dict[str, int]:
    """Per name how many processes run."""
    found = [process["name"] for process in shop.processes() if process["pid"] and process["pm2_env"]["status"] == "online"]
    return {name: found.count(name) for name in found}


def as_the_operator_knows_them(shop: RunningShop) -> dict[str, int]:
    return {process.name: process.instances for process in shop.shop.processes.values()}


def refused_while_it_works(shop: RunningShop, pid: int, runs: Path) -> None:
    for name in ("upgrade", "rollback"):
        before = last_run(shop)["id"]
        second = play(name, runs / name, limit=NAME, version="v1.4.0")
        assert second.code != 0
        report = second.report(NAME)
        assert report["outcome"] == "refused"
        assert f"(pid {pid}) holds the lock of this install since 20" in report["problem"]
        assert f"for the run {before};" in report["problem"]
        assert "ecommus_take_lock=" in report["remedy"]
        assert last_run(shop)["id"] == before


def test_the_same_command_finishes_what_was_killed(
    lab: Lab, fresh_shop: Callable[[str], RunningShop], start: Callable[[], Running], tmp_path: Path
) -> None:
    """Killed in `npm ci`, after the snapshot, and when the link has moved; the fourth attempt is left alone."""
    shop = fresh_shop(NAME)
    before = shopstate.ledgers(shop)

    running = start()
    running.until(lambda: npm_ci_works(shop))
    running.kill_controller()
    first = last_run(shop)
    assert first["outcome"] == "open"
    assert (state(shop) / "lock").exists()

    running = start()
    running.until(lambda: json.loads((state(shop) / "lock").read_text())["controller"]["pid"] == running.process.pid)
    refused_while_it_works(shop, running.process.pid, tmp_path)
    running.until(lambda: snapshot_is_there(shop))
    running.kill_everything()
    second = last_run(shop)["facts"]
    assert {process["status"] for process in second["processes"]} == {"online"}  # the workers as they were before all this
    snapshot = second["snapshot"]
    other = play("upgrade", tmp_path / "other", limit=NAME, version="v1.3.3")
    assert other.code != 0
    assert "finish it with -e version=v1.4.0, or undo it with rollback.yml" in other.said

    running = start()
    running.until(lambda: link_has_moved(shop))
    running.kill_everything()

    last = play("upgrade", tmp_path / "last", limit=NAME, version="v1.4.0")
    assert last.code == 0, last.said[-6000:]
    assert f"takes up the run {first['id']}" in last.said
    run = last_run(shop)
    assert (run["id"], run["outcome"]) == (first["id"], "succeeded")
    assert (run["from"]["version"], run["to"]["version"], shopstate.version(shop)) == ("v1.3.2", "v1.4.0", "v1.4.0")
    assert len(run["taken_over"]) == 3
    assert run["facts"]["snapshot"]["path"] == snapshot["path"]
    assert {key: run["facts"][key] for key in ("processes", "plugins")} == {key: second[key] for key in ("processes", "plugins")}
    assert [path.name for path in Path(snapshot["path"]).parent.glob("*.dump*")] == [f"{run['id']}.dump"]
    assert not (state(shop) / "lock").exists()
    assert shop.wait_healthy(10) == []
    assert all("/v1.4.0-" in directory for found in shopstate.serving(shop).values() for directory in found)
    assert online(shop) == as_the_operator_knows_them(shop)
    for old, new in zip(before, shopstate.ledgers(shop), strict=True):
        assert set(old) < set(new)
        assert len(set(new)) == len(new)


@pytest.mark.exhaustive
def test_a_snapshot_from_before_the_kill_is_made_anew(
    lab: Lab, fresh_shop: Callable[[str], RunningShop], start: Callable[[], Running], tmp_path: Path
) -> None:
    """The way back must not lead past what customers did between the kill and the next command."""
    shop = fresh_shop(NAME)
    running = start()
    running.until(lambda: phase(shop) == "snapshot" and manifest(shop).exists())
    running.kill_everything()
    assert "schema_touched" not in last_run(shop)["facts"], "killed too late for this test"
    assert manifest(shop).exists()
    answer = shop.place_order()
    assert answer.status == 201, answer.text

    again = play("upgrade", tmp_path / "again", limit=NAME, version="v1.4.0")
    assert again.code == 0, again.said[-6000:]
    with psycopg.connect(shop.database_url.rpartition("/")[0] + "/" + last_run(shop)["facts"]["standby_database"]) as standby:
        assert standby.execute("SELECT 1 FROM orders WHERE id = %s", [answer.json()["id"]]).fetchone() == (1,)


@pytest.mark.exhaustive
def test_what_was_killed_can_be_undone(
    lab: Lab, fresh_shop: Callable[[str], RunningShop], start: Callable[[], Running], tmp_path: Path
) -> None:
    shop = fresh_shop(NAME)
    before = shopstate.ledgers(shop), shopstate.version(shop), (shop.root / ".env").read_bytes()
    running = start()
    running.until(lambda: "activate" in [each["name"] for each in last_run(shop)["phases"]])
    running.kill_everything()
    undone = play("rollback", tmp_path / "undone", limit=NAME)
    assert undone.code == 0, undone.said[-6000:]
    assert (shopstate.ledgers(shop), shopstate.version(shop), (shop.root / ".env").read_bytes()) == before
    assert shop.wait_healthy(10) == []
    assert online(shop) == as_the_operator_knows_them(shop)
    assert not (state(shop) / "lock").exists()
