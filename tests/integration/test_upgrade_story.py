"""The main job on the lab: three shops from v1.3.2 to v1.4.0 under load, once more for nothing, and back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import shopstate
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _fingerprint
from ecommus_lab.lab import Lab
from ecommus_lab.running import WriteLoad
from playbook import Outcome, play

SHOPS = ("aurora", "boreal", "cedar")
# What the workers, the logins of the probes and their sessions write by themselves is no data that a customer made.
CUSTOMERS_DATA = ("public.customers", "public.orders", "public.order_lines", "public.products")
NO_BACKUP = {"check": "backup_recent", "reason": "the lab has none", "until": "2099-12-31"}

pytestmark = pytest.mark.lab


class ProcessListing:
    """Every command line that any process had meanwhile, as any user of the host can read it."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ProcessListing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue


class Story:
    """What happened, in the order in which it happened; later tests only look at it."""

    def __init__(self, lab: Lab, runs: Path) -> None:
        self.lab = lab
        lab.reset(list(SHOPS))
        self.schema_before = {name: shopstate.columns(lab.shop(name)) for name in SHOPS}
        self.ledgers_before = {name: shopstate.ledgers(lab.shop(name)) for name in SHOPS}
        self.checked = play("upgrade", runs / "check", check=True, version="v1.4.0")
        self.after_check = {name: shopstate.version(lab.shop(name)) for name in SHOPS}
        loads = {name: WriteLoad(lab.shop(name), per_second=4) for name in SHOPS}
        with ProcessListing() as listing, loads["aurora"], loads["boreal"], loads["cedar"]:
            self.upgraded = play(
                "upgrade", runs / "up", verbose="-vvv", version="v1.4.0", ecommus_prober_rate=20, upgrade_waivers=[NO_BACKUP]
            )
        self.loads = loads
        self.commands = listing.seen
        self.serving = {name: shopstate.serving(lab.shop(name)) for name in SHOPS}
        self.health = {name: lab.shop(name).wait_healthy(10) for name in SHOPS}
        self.versions = {name: shopstate.version(lab.shop(name)) for name in SHOPS}
        self.orders = {name: {row[0] for row in lab.shop(name).query("SELECT id FROM orders")} for name in SHOPS}
        self.identity = {name: shopstate.identity(lab.shop(name)) for name in SHOPS}
        self.again = play("upgrade", runs / "again", version="v1.4.0")
        self.identity_again = {name: shopstate.identity(lab.shop(name)) for name in SHOPS}
        shop = lab.shop("aurora")
        assert [shop.place_order().status for _order in range(3)] == [201] * 3
        self.orders_at_stake = shop.query("SELECT id FROM orders")
        before = {name: (shopstate.identity(lab.shop(name)), _journal(lab, name)) for name in ("aurora", "cedar")}
        self.back_checked = play("rollback", runs / "back-check", check=True, limit="aurora,cedar")
        self.back_check_touched = {name: (shopstate.identity(lab.shop(name)), _journal(lab, name)) for name in before} != before
        for name in SHOPS:
            with (lab.shop(name).root / ".env").open("a") as env:
                env.write("CHANGED_SINCE=rotated\n")
        # Two shops go back to exactly the snapshot; the third keeps what customers ordered since.
        self.back = play("rollback", runs / "back", limit="boreal,cedar", ecommus_salvage="off")
        self.back_with_orders = play("rollback", runs / "back-with-orders", limit="aurora")
        self.back_again = play("rollback", runs / "back-again")


@pytest.fixture(scope="module")
def story(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    yield Story(lab, tmp_path_factory.mktemp("runs"))
    lab.reset(list(SHOPS))


def succeeded(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.said[-6000:]


def test_check_mode_predicts_and_changes_nothing(story: Story) -> None:
    succeeded(story.checked)
    assert story.after_check == dict.fromkeys(SHOPS, "v1.3.2")
    for name in SHOPS:
        assert f"{name}: v1.3.2 -> v1.4.0 (minor)" in story.checked.said
        assert story.checked.recap(name)["changed"] > 0
    plans = re.findall("rollback: by an exchange of databases until 7 days after .*", story.checked.said)
    assert len(plans) == len(SHOPS)
    for plan in plans:
        assert re.search(r"MiB: \d+ at most for the dump, \d+ for the copy of the database, \d+ for the release before", plan)


@pytest.mark.parametrize("name", SHOPS)
def test_the_shop_serves_the_new_release(story: Story, name: str) -> None:
    succeeded(story.upgraded)
    assert story.versions[name] == "v1.4.0"
    assert story.health[name] == []
    root = str(story.lab.shop(name).root.resolve()) if name == "cedar" else None
    for process, directories in story.serving[name].items():
        for directory in directories:
            assert directory.startswith(root or "") and (root or "/v1.4.0-" in directory), (process, directory)


@pytest.mark.parametrize("name", SHOPS)
def test_names_counts_and_modes_are_as_the_operator_knows_them(story: Story, name: str) -> None:
    shop = story.lab.shop(name).shop
    found = [process for process, _pid in story.identity[name]["pids"]]
    assert {process: found.count(process) for process in found} == {p.name: p.instances for p in shop.processes.values()}


@pytest.mark.parametrize("name", SHOPS)
def test_no_acknowledged_order_is_lost(story: Story, name: str) -> None:
    load = story.loads[name]
    assert len(load.accepted) > 20
    assert set(load.accepted) <= story.orders[name]


@pytest.mark.parametrize("name", ["aurora", "boreal"])
def test_nobody_noticed(story: Story, name: str) -> None:
    """aurora is adopted on the way, and all in cluster mode; of boreal three services run in fork mode."""
    report = story.upgraded.report(name)
    assert report["requests"] > 200
    assert report["services"]["api"]["failed"] == 0
    if name == "aurora":
        assert report["requests_failed"] == 0, report["evidence"]["prober"]
    for service in report["services"].values():
        assert service["longest_gap_ms"] < 2500
    before, after = report["services"]["storefront"]["releases"]
    assert (before["identity"], after["identity"]) == ("<header>", '<header class="wide">')
    assert before["first"] < after["first"] <= after["last"]


@pytest.mark.parametrize("name", SHOPS)
def test_the_report_has_the_evidence(story: Story, name: str) -> None:
    report = story.upgraded.report(name)
    assert (report["outcome"], report["from_version"], report["to_version"]) == ("upgraded", "v1.3.2", "v1.4.0")
    assert report["change_window_seconds"] > 0
    manifest = report["evidence"]["run"]["facts"]["snapshot"]
    assert Path(manifest["path"]).stat().st_size == manifest["size"]
    assert {m["ledger"] for m in report["evidence"]["run"]["facts"]["migrations"]} == {"core", "plugins"}
    waived = [notice for notice in report["notices"] if notice.startswith("waived until 2099-12-31 (the lab has none): ")]
    assert len(waived) == 1


def test_a_second_run_verifies_and_changes_nothing(story: Story) -> None:
    succeeded(story.again)
    for name in SHOPS:
        assert story.again.recap(name)["changed"] == 0
        assert story.again.report(name)["outcome"] == "unchanged"
    assert story.identity_again == story.identity


def test_check_mode_of_a_rollback_says_what_is_at_stake_and_changes_nothing(story: Story) -> None:
    succeeded(story.back_checked)
    assert not story.back_check_touched
    manifest = story.upgraded.report("aurora")["evidence"]["run"]["facts"]["snapshot"]
    new = len(story.orders_at_stake) - manifest["tables"]["public.orders"]["rows"]
    assert new >= 3
    said = story.back_checked.said
    assert f"at stake: public.orders: {new} new" in said
    assert "payments at the payment provider, mails sent, webhooks delivered, uploaded files" in said
    for name, layout in (("aurora", "releases"), ("cedar", "in_place")):
        assert f"{name}: v1.4.0 -> v1.3.2, {layout} layout" in said
        assert story.back_checked.recap(name)["changed"] > 0, "it predicts the change"
    # The same is said before a rollback, and its report keeps it.
    assert f"at stake: public.orders: {new} new" in story.back_with_orders.said
    assert story.back_with_orders.report("aurora")["at_stake"]["public.orders"]["inserted"] == new


@pytest.mark.parametrize("name", SHOPS)
def test_rollback_returns_release_and_schema(story: Story, name: str) -> None:
    succeeded(story.back)
    succeeded(story.back_with_orders)
    shop = story.lab.shop(name)
    assert shopstate.version(shop) == "v1.3.2"
    assert shop.wait_healthy(10) == []
    assert shopstate.columns(shop) == story.schema_before[name]
    assert shopstate.ledgers(shop) == story.ledgers_before[name]


@pytest.mark.parametrize("name", ["boreal", "cedar"])
def test_rollback_returns_the_data_of_the_snapshot(story: Story, name: str) -> None:
    shop = story.lab.shop(name)
    manifest = story.upgraded.report(name)["evidence"]["run"]["facts"]["snapshot"]
    with psycopg.connect(shop.database_url) as connection:
        _fingerprint.prepare(connection)
        found = _fingerprint.tables(connection)
    for table in CUSTOMERS_DATA:
        assert found[table] == manifest["tables"][table]


def test_rollback_keeps_every_acknowledged_order(story: Story) -> None:
    shop = story.lab.shop("aurora")
    snapshot_orders = story.upgraded.report("aurora")["evidence"]["run"]["facts"]["snapshot"]["tables"]["public.orders"]["rows"]
    orders = {row[0] for row in shop.query("SELECT id FROM orders")}
    assert set(story.loads["aurora"].accepted) <= orders
    assert len(orders) > snapshot_orders
    answer = shop.place_order()
    assert answer.status == 201, answer.text
    assert answer.json()["id"] > max(orders)


@pytest.mark.parametrize("name", SHOPS)
def test_rollback_keeps_the_failed_database_with_its_orders(story: Story, name: str) -> None:
    shop = story.lab.shop(name)
    outcome = story.back_with_orders if name == "aurora" else story.back
    kept = outcome.report(name)["evidence"]["run"]["facts"]["kept_database"]
    assert kept in shopstate.databases(shop)
    url = shop.database_url.rpartition("/")[0] + "/" + kept
    with psycopg.connect(url) as connection:
        ids = {row[0] for row in connection.execute("SELECT id FROM orders")}
    assert set(story.loads[name].accepted) <= ids


@pytest.mark.parametrize("name", SHOPS)
def test_rollback_takes_the_new_environment_key_out_again_and_nothing_else(story: Story, name: str) -> None:
    left = (story.lab.shop(name).root / ".env").read_text()
    assert "CHECKOUT_SESSION_SECRET" not in left
    assert "CHANGED_SINCE=rotated" in left


def test_a_second_rollback_changes_nothing(story: Story) -> None:
    succeeded(story.back_again)
    for name in SHOPS:
        assert story.back_again.recap(name)["changed"] == 0
        assert story.back_again.report(name)["outcome"] == "unchanged"


def test_no_secret_is_shown_anywhere(story: Story) -> None:
    """At -vvv, in reports and journals, and in the process listing."""
    files = [*story.upgraded.runs.parent.rglob("*.json*")]
    files += [path for name in SHOPS for path in _state(story.lab, name).rglob("*") if path.is_file()]
    texts = {str(path): path.read_text(errors="replace") for path in files}
    texts["the output of -vvv"] = story.upgraded.said
    texts["the process listing"] = "\n".join(story.commands)
    assert "v1.4.0" in texts["the output of -vvv"]
    assert any("npm" in command for command in story.commands)
    for name in SHOPS:
        for kind, secret in story.lab.shop(name).secrets.as_dict().items():
            for where, text in texts.items():
                assert secret not in text, f"{kind} of {name} is in {where}"


def _journal(lab: Lab, name: str) -> bytes:
    return (_state(lab, name) / "journal.json").read_bytes()


def _state(lab: Lab, name: str) -> Path:
    shop = lab.shop(name)
    return Path(f"{shop.root}.d") / "state"
