"""Releases that do not build, migrate, boot or tell the truth; tags that are not to be trusted; a registry that refuses or is away."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import shopstate
from aftermath import NEW, OLD, Scene
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ecommus_lab.config import WORKERS
from interruption import phase, state
from playbook import Outcome

RATE = 20  # requests of the prober per second, over the four services


def failed(scene: Scene, outcome: Outcome, word: str, says: str, remedy: str = "") -> dict:
    """It failed for that reason: the exit code, the report's one word, its one line, and no secret anywhere."""
    assert outcome.code == 2, outcome.said[-3000:]
    report = outcome.report(scene.name)
    assert report["outcome"] == word, outcome.said[-5000:]
    assert re.search(says, report["problem"]), report["problem"]
    assert re.search(remedy, report["remedy"]), report
    assert report["remedy"]
    assert "\n" not in report["problem"] + report["remedy"]
    assert "Traceback" not in outcome.said
    for secret in (scene.shop.secrets.database_password, scene.shop.secrets.npm_token):
        assert secret not in outcome.said + str(report)
    return report


def assert_there_is_a_bug_report(scene: Scene, report: dict) -> None:
    """Ready for the vendor, and without what is none of the vendor's business."""
    text = Path(report["bug_report"]).read_text()
    assert report["to_version"] in text
    assert scene.shop.secrets.database_password not in text


def assert_nobody_is_told(scene: Scene, outcome: Outcome, secret: str) -> None:
    """Neither on the screen nor in the journal, the report or what else the run has left."""
    assert secret not in outcome.said
    for directory in (scene.runs, state(scene.shop)):
        for path in directory.rglob("*"):
            assert not path.is_file() or secret not in path.read_text(errors="replace"), path


def refused(scene: Scene, says: str, remedy: str, version: str = NEW, **variables: object) -> None:
    """The upgrade says no before anything was touched: not even a process has another number."""
    before = shopstate.identity(scene.shop)
    failed(scene, scene.upgrade(version, **variables), "refused", says, remedy)
    assert shopstate.identity(scene.shop) == before
    assert not list(scene.shop.shop.base.glob(f"releases/{version}-*"))
    scene.serves(OLD)
    scene.nobody_noticed()


# --- the registry --------------------------------------------------------------------------------------


def revoke_token(scene: Scene) -> None:
    scene.shop.revoke_token()


def unlicense(scene: Scene) -> None:
    scene.shop.unlicense("@ecommus-plugin/efactura-ro")


def expire_licence(scene: Scene) -> None:
    scene.shop.expire_licence()


def take_registry_away(scene: Scene) -> None:
    scene.lab.registry.stop()
    scene.undo.callback(scene.lab.registry.start)


# What happens, what is said of it, and the remedy.
REGISTRY = [
    pytest.param(revoke_token, r"the NPM_REGISTRY_TOKEN is not valid or was revoked", "customer portal", id="token_revoked"),
    pytest.param(unlicense, r"efactura-ro: not on the licence any more", "re-issued", id="package_not_licensed"),
    pytest.param(expire_licence, r"the licence has expired", "renew it", id="licence_expired"),
    pytest.param(take_registry_away, r"ECONNREFUSED|the registry cannot be reached", r"the network|run again", id="registry_away"),
]


@pytest.mark.parametrize(("happens", "says", "remedy"), REGISTRY)
def test_the_registry_refuses_or_is_away_beforehand(scene: Scene, happens: Callable[[Scene], None], says: str, remedy: str) -> None:
    happens(scene)
    refused(scene, says, remedy)


@pytest.mark.parametrize(("happens", "says", "remedy"), REGISTRY)
def test_the_registry_refuses_or_goes_away_before_npm_ci(scene: Scene, happens: Callable[[Scene], None], says: str, remedy: str) -> None:
    """All checks have passed. The packages are not in npm's cache, or the registry would not be asked again."""
    forget_packages(scene)
    running = scene.start()
    running.until(lambda: phase(scene.shop) == "stage")
    happens(scene)
    failed(scene, running.outcome(), "failed", rf"npm ci failed: .*({says})", remedy)
    assert not list(scene.shop.shop.base.glob(f"releases/{NEW}-*"))
    scene.serves(OLD, "failed")


def test_in_place_the_registry_goes_away_before_npm_ci(make_scene: Callable[[str], Scene]) -> None:
    """The way back needs neither the registry nor npm's cache: the packages of the release before were kept."""
    scene = make_scene("cedar")
    forget_packages(scene)
    running = scene.start()
    running.until(lambda: phase(scene.shop) == "stage")
    take_registry_away(scene)
    failed(scene, running.outcome(), "failed", "npm ci failed: the registry cannot be reached", "run again")
    scene.serves(OLD, "rolled_back")


def forget_packages(scene: Scene) -> None:
    """Takes what came from the private registry out of npm's cache."""
    config = scene.lab.config
    environment = {**os.environ, "PATH": f"{config.bin}:{os.environ['PATH']}", "npm_config_cache": str(config.cache / "npm")}

    def npm_cache(*arguments: str) -> str:
        return subprocess.run(
            ["npm", "cache", *arguments], env=environment, cwd=scene.runs, capture_output=True, text=True, timeout=120, check=True
        ).stdout

    private = re.compile(rf"{re.escape(config.registry_url)}.*/-/.*\.tgz")
    keys = [line for line in npm_cache("ls").splitlines() if private.search(line)]
    if keys:
        npm_cache("clean", *keys)


# --- what cannot be installed or built -------------------------------------------------------------------


def test_the_lock_file_does_not_fit(scene: Scene) -> None:
    outcome = scene.upgrade("v1.4.1-lock")
    failed(scene, outcome, "failed", r"npm ci failed: .*package-lock\.json.* do not fit.*Missing: ", "report it to the vendor")
    scene.serves(OLD, "failed")


# Its workspace, and what it does not find.
UNBUILDABLE = {
    "api": ("@ecommus/api", r"metrics\.ts"),
    "admin": ("@ecommus/admin", "gone"),
    "super-admin": ("@ecommus/super-admin", "gone"),
    "storefront": ("@ecommus/storefront-astro", "gone"),
}


@pytest.mark.parametrize("service", UNBUILDABLE)
def test_a_service_does_not_build(scene: Scene, service: str) -> None:
    workspace, missing = UNBUILDABLE[service]
    outcome = scene.upgrade(f"v1.4.1-nobuild-{service}")
    says = f"building {workspace} failed with exit code 1: .*{missing}"
    report = failed(scene, outcome, "failed", says, "the live shop is untouched")
    assert_there_is_a_bug_report(scene, report)
    assert not list(scene.shop.shop.base.glob("releases/v1.4*"))
    scene.serves(OLD, "failed")


def test_in_place_a_service_does_not_build(make_scene: Callable[[str], Scene]) -> None:
    """There the checkout itself has changed, and goes back."""
    scene = make_scene("cedar")
    failed(scene, scene.upgrade("v1.4.1-nobuild-admin"), "failed", "building @ecommus/admin failed", "vendor")
    scene.serves(OLD, "rolled_back")


# --- migrations -------------------------------------------------------------------------------------------


def test_a_core_migration_fails(scene: Scene) -> None:
    """Three were applied before it. The shop's data is as it was before them."""
    outcome = scene.upgrade("v1.4.1-badcore")
    report = failed(scene, outcome, "failed", r"core migration 0009_orders_are_large failed$", "migration with its log to the vendor")
    assert "0008_orders_by_tenant" not in report["problem"]
    log = Path(f"{scene.shop.root}.d") / "state/runs" / report["run_id"] / "migrations.log"
    assert "orders_are_large" in log.read_text()
    scene.serves(OLD, "rolled_back")


@pytest.mark.quick
def test_a_plugin_migration_fails_and_its_runner_reports_success(scene: Scene) -> None:
    outcome = scene.upgrade("v1.4.1-badplugin")
    says = r"plugin migration @northstar/loyalty/0002_badges failed, although its runner reported success"
    report = failed(scene, outcome, "failed", says, "migration with its log to the vendor")
    assert_there_is_a_bug_report(scene, report)
    scene.serves(OLD, "rolled_back")


def test_a_migration_waits_for_an_open_transaction(scene: Scene) -> None:
    """Somebody has changed an order and not ended the transaction; the migration waits in short turns, and gives up."""
    running = scene.start(ecommus_prober_rate=RATE)
    running.until(lambda: phase(scene.shop) == "snapshot")
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(scene.shop.database_url, application_name="a report") as forgotten:
        forgotten.execute("UPDATE orders SET total = total WHERE id = (SELECT min(id) FROM orders)")
        outcome = running.outcome()
    says = (
        r"core migration 0006_order_returns failed after 6 attempts, each ended by the lock limit:"
        r" a report \(pid \d+, idle in transaction, transaction open for \d+ s\) holds what \".*\" waits for"
    )
    report = failed(scene, outcome, "failed", says, "end the blocking transaction and run again")
    assert_only_the_exchange_was_noticed(report)
    scene.serves(OLD, "rolled_back")


def assert_only_the_exchange_was_noticed(report: dict) -> None:
    """Customers were served while the migration waited; databases that change places may cost each service a request."""
    (back,) = (phase for phase in report["evidence"]["run"]["phases"] if phase["name"] == "way_back")
    targets = report["evidence"]["prober"]["targets"].values()
    assert report["requests_failed"] <= 2, report["services"]
    assert all(found["first_failure"]["at"] > back["started"] for found in targets if found["failed"]), report["services"]


def test_a_new_key_of_the_environment_is_missing(scene: Scene) -> None:
    refused(scene, "v1.4.0 needs CHECKOUT_SESSION_SECRET", "ecommus_env", ecommus_env={})


# --- releases that must not go live -----------------------------------------------------------------------


# What is said of each.
BAD = {
    "crash": r"api of the release crashed at boot \(exit code 1\).*no pool for",
    "hang": r"api of the release hangs at boot: it does not listen",
    "slower": r"api of the release hangs at boot: it does not listen .* within 20 s",
    "dies": r"api of the release did not stay alive \(exit code 1\).*the cache is corrupt",
    "500": r"api of the release answers /api/storefront/categories badly: status 500",
    "lies": r"should be v1\.4\.1-lies and says .* that it is v1\.4\.0",
}


@pytest.mark.parametrize(
    ("bad", "data_back"),
    [
        pytest.param("crash", True, id="crash, the data go back"),
        *(pytest.param(bad, False, id=bad) for bad in BAD),
    ],
)
def test_a_bad_release_ends_before_anything_live_is_replaced(make_scene: Callable[[str], Scene], bad: str, data_back: bool) -> None:
    """All of aurora runs in cluster mode. What is left is the moment in which the databases change places, where they do."""
    scene = make_scene("aurora")
    version = f"v1.4.1-{bad}"
    outcome = scene.upgrade(version, ecommus_prober_rate=RATE, rollback_data=data_back)
    report = failed(scene, outcome, "failed", BAD[bad], "nothing live was touched")
    assert not list(scene.shop.shop.base.glob(f"releases/{version}-*"))
    assert_no_service_was_replaced(scene, report, data_back=data_back)
    if "its log says" in report["problem"]:
        assert_there_is_a_bug_report(scene, report)
    assert report["requests"] > 100
    assert report["requests_failed"] <= (2 if data_back else 0), report["services"]
    scene.serves(OLD, "rolled_back", data=OLD if data_back else NEW)
    if not data_back:
        scene.nobody_noticed()


def assert_no_service_was_replaced(scene: Scene, report: dict, *, data_back: bool) -> None:
    """Every process of a service is older than the phase in which the release was to go live, or pm2 has restarted it.

    The latter where the databases change places: node-postgres ends the process whose transaction is open at that moment.
    """
    (activate,) = (phase for phase in report["evidence"]["run"]["phases"] if phase["name"] == "activate")
    began = datetime.datetime.fromisoformat(activate["started"].replace("Z", "+00:00")).timestamp()
    for process in scene.shop.processes():
        info = _process.inspect(process["pid"])
        assert info is not None
        if process["name"] != scene.shop.shop.processes[WORKERS].name and not (data_back and process["pm2_env"]["restart_time"]):
            assert info.started < began + 1, process["name"]  # the journal has whole seconds


def test_a_release_dies_only_where_it_is_live(make_scene: Callable[[str], Scene]) -> None:
    """On its side port it was well. The old processes are still there, and serve alone again."""
    scene = make_scene("aurora")
    outcome = scene.upgrade("v1.4.1-sly", ecommus_prober_rate=RATE, rollback_data=False)
    report = failed(scene, outcome, "failed", r"^api \(id \d+\) crashed and was restarted by pm2", "correct the release")
    assert_there_is_a_bug_report(scene, report)
    assert "the cache is corrupt: ***" in Path(report["bug_report"]).read_text()
    assert_nobody_is_told(scene, outcome, scene.shop.secrets.jwt_secret)  # which the API has read from .env and put into its log
    assert report["requests_failed"] <= 2, report["services"]  # what was inside a process that died
    scene.serves(OLD, "rolled_back", data=NEW)


def test_a_slow_release_is_a_good_one(make_scene: Callable[[str], Scene]) -> None:
    """It boots within the time that pm2 waits for it (listen_timeout)."""
    scene = make_scene("aurora")
    outcome = scene.upgrade("v1.4.1-slow", ecommus_prober_rate=RATE)
    assert outcome.code == 0, outcome.said[-5000:]
    report = outcome.report("aurora")
    assert report["outcome"] == "upgraded"
    assert report["requests_failed"] == 0, report["services"]
    scene.serves("v1.4.1-slow", "succeeded")


# --- tags -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signer", "says"),
    [
        pytest.param("unsigned", "it is not signed", id="not_signed"),
        pytest.param("stranger", "its signer is not among the allowed ones", id="signed_by_a_stranger"),
    ],
)
def test_a_tag_is_not_signed_by_the_vendor(scene: Scene, signer: str, says: str) -> None:
    refused(scene, rf"the signature of v1\.4\.1-{signer} does not verify: {says}", "do not install it", f"v1.4.1-{signer}")


def test_a_tag_was_moved(scene: Scene) -> None:
    """The host has fetched it before; it now names a release that the vendor has signed as well."""
    move_tag(scene, NEW, "v1.3.3")
    refused(scene, r"the remote moved the tag v1\.4\.0: it names another commit", "ask the vendor why")


def test_a_signed_tag_goes_by_another_name(make_scene: Callable[[str], Scene]) -> None:
    """The host has fetched nothing yet. The signature is the vendor's, of another release."""
    scene = make_scene("aurora")
    move_tag(scene, NEW, "v1.4.1-lies")
    refused(scene, r"the signature of v1\.4\.0 does not verify: it is that of the tag v1\.4\.1-lies", "do not install it")


def move_tag(scene: Scene, tag: str, to: str) -> None:
    """The tag *tag* of the remote becomes the very object that *to* is."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=scene.lab.vendor.remote, capture_output=True, text=True, timeout=30, check=True).stdout.strip()

    scene.undo.callback(git, "update-ref", f"refs/tags/{tag}", git("rev-parse", f"refs/tags/{tag}"))
    git("tag", "--delete", tag)
    git("update-ref", f"refs/tags/{tag}", git("rev-parse", f"refs/tags/{to}"))
