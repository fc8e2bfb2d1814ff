"""The lab itself: what the other tests rely on, and could not notice if it were missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "tests" / "lab"))
pytest_plugins = ["ecommus_lab.pytest_plugin"]

if TYPE_CHECKING:
    from ecommus_lab.lab import Lab
    from ecommus_lab.running import RunningShop

pytestmark = pytest.mark.lab
PLUGIN = "@ecommus-plugin/efactura-ro"


@pytest.fixture
def licences(lab: Lab) -> Iterator[Lab]:
    """The lab; whatever the test does to tokens and licences is undone."""
    before = lab.registry.state()
    try:
        yield lab
    finally:
        lab.registry.restore(before)


def ask(lab: Lab, token: str) -> tuple[int, str]:
    """What the registry answers to a customer who wants the plugin."""
    import requests

    url = lab.config.registry_url + PLUGIN.replace("/", "%2f")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = requests.get(url, headers=headers, timeout=10)
    return answer.status_code, answer.json().get("error", "")


def test_the_registry_serves_a_customer(licences: Lab) -> None:
    assert ask(licences, licences.shop("aurora").secrets.npm_token) == (200, "")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda shop: "", "no token was given"),
        (lambda shop: "ecn_wrong", "the token is not valid"),
        (lambda shop: shop.revoke_token(), "the token was revoked"),
        (lambda shop: shop.expire_licence(), "the licence of aurora expired"),
        (lambda shop: shop.unlicense(PLUGIN), f"the licence of aurora does not include {PLUGIN}"),
    ],
    ids=["no token", "wrong token", "revoked", "expired", "unlicensed"],
)
def test_every_refusal_of_the_registry_is_a_403(licences: Lab, spoil: Callable[[RunningShop], str | None], reason: str) -> None:
    shop = licences.shop("aurora")
    token = spoil(shop)
    status, error = ask(licences, shop.secrets.npm_token if token is None else token)
    assert status == 403
    assert reason in error
    other = licences.shop("boreal").secrets.npm_token
    assert ask(licences, other)[0] == 200


def test_a_reset_brings_a_shop_back(lab: Lab) -> None:
    lab.reset(["boreal"])
    shop = lab.shop("boreal")
    orders = shop.orders()
    assert shop.place_order().status == 201
    assert shop.orders() == orders + 1
    shop.root.joinpath("package.json").write_text("{}")
    shop.pm2("delete", shop.shop.processes["admin"].name)
    with shop.connect() as connection:
        connection.execute("CREATE DATABASE left_by_a_test")
    assert "admin" in shop.health()

    lab.reset(["boreal"])
    assert shop.health() == {}
    assert shop.workers_running()
    assert shop.orders() == orders
    assert json.loads(shop.root.joinpath("package.json").read_text())["version"] == lab.state["version"].removeprefix("v")
    assert lab.postgres.databases_of("boreal") == ["ecommus-boreal"]


def test_a_database_that_is_away_shows_in_the_health(lab: Lab) -> None:
    lab.postgres.stop()
    try:
        assert lab.shop("cedar").health()["api"].startswith("503")
    finally:
        lab.postgres.start()
    assert lab.shop("cedar").wait_healthy(30) == []


def test_starting_it_twice_is_no_error_and_starts_nothing(lab: Lab) -> None:
    daemons = {name: lab.shop(name).pm2.daemon() for name in lab.shops}
    assert lab.up(lab.config, flavour=lab.state["flavour"]).state == lab.state
    assert daemons == {name: lab.shop(name).pm2.daemon() for name in lab.shops}


def test_secrets_are_for_their_owner_only(lab: Lab) -> None:
    shared = [shop.shop.shared / ".env" for shop in lab.shops.values()]
    for path in (lab.config.state_file, lab.registry.state_file, *shared):
        assert path.stat().st_mode & 0o077 == 0, path
    for shop in lab.shops.values():
        assert shop.shop.pm2_home.stat().st_mode & 0o077 == 0


def test_a_lab_that_is_down_is_no_inventory(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", "inventories/lab", "--list"]
    env = {**os.environ, "ECOMMUS_LAB_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "the lab is down" in done.stderr
