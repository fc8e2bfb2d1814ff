"""That new processes have the new environment, by the view of the processes themselves; against a real pm2 and node."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _ecosystem, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_control import control
from ansible_collections.mdlabs.ecommus.plugins.module_utils._proof_environment import problem
from pm2_calls import some
from pm2_shop import Shop

pytestmark = pytest.mark.pm2

PORT = 21400 + os.getpid() % 80 * 10 + 5


def env_file(shop: Shop, text: str) -> Path:
    """The shop's own file, which its releases link to; replaced as a whole."""
    shared = shop.root / "shared.env"
    (shop.root / "new.env").write_text(text)
    (shop.root / "new.env").replace(shared)
    for release in (shop.root / "releases").iterdir():
        (release / ".env").unlink(missing_ok=True)
        (release / ".env").symlink_to(shared)
    return shop.current / ".env"


def replace(shop: Shop, **options: Any) -> dict[str, Any]:
    wanted = {"state": "replaced", "name": ["api"], "ecosystem_file": str(shop.ecosystem), "expect_path": str(shop.current)}
    check_mode = options.pop("check_mode", False)
    return control(shop.params(**{**wanted, "env_file": str(shop.current / ".env"), **options}), check_mode=check_mode)


def pids(shop: Shop) -> list[int]:
    return sorted(process["pid"] for process in control(shop.params(), check_mode=False)["processes"])


@pytest.mark.parametrize("mode", ["cluster", "fork"])
def test_a_process_shows_what_it_has_read(pm2_home: Shop, mode: str) -> None:
    path = env_file(pm2_home, "SECRET=one\n")
    pm2_home.define("api", mode, PORT, env={"FOO": "old", "N": 1, "ON": True})
    pm2_home.start("api")
    (pid,) = pids(pm2_home)
    root, given = str(pm2_home.current), {"FOO": "old", "N": "1", "ON": "true", "PORT": str(PORT)}
    assert problem(pid, root, str(path), ["SECRET"], given) is None

    wrong = problem(pid, root, str(path), (), {**given, "FOO": "hunter2", "GONE": "hunter3"})
    assert wrong == "does not have FOO, GONE as the ecosystem file gives it"
    release = pm2_home.root.resolve() / "releases" / "r1"
    assert problem(pid, root, str(path), ["SECRET", "ADDED"]) == f"reads {release}/.env, which has no ADDED"
    env_file(pm2_home, "SECRET=two\n")
    assert problem(pid, root, str(path)) == f"was started before {release}/.env was changed, and has not read it again"

    pm2_home.define("api", mode, PORT, env={"FOO": "new"})
    replace(pm2_home)
    (pid,) = pids(pm2_home)
    assert problem(pid, root, str(path), ["SECRET"], {"FOO": "new"}) is None


def test_a_changed_file_makes_a_process_old(pm2_home: Shop) -> None:
    env_file(pm2_home, "SECRET=one\n")
    pm2_home.define("api", "cluster", PORT, 2)
    pm2_home.start("api")
    began = time.time() - 60
    before = pids(pm2_home)
    assert not replace(pm2_home, newer_than=began)["changed"]
    env_file(pm2_home, "SECRET=two\n")
    assert replace(pm2_home, newer_than=began)["changed"]
    assert not set(before) & set(pids(pm2_home))


def test_a_release_with_a_file_of_its_own_is_not_believed(pm2_home: Shop) -> None:
    """The change went into the shop's file, and the new release does not link to it."""
    env_file(pm2_home, "SECRET=one\nADDED=hunter2\n")
    pm2_home.define("api", "cluster", PORT, 2)
    pm2_home.start("api")
    before = pids(pm2_home)
    (pm2_home.release("r2") / ".env").write_text("SECRET=one\n")
    pm2_home.switch("r2")
    with pytest.raises(EcommusError, match=r"api .*releases/r2/\.env, which has no ADDED") as caught:
        replace(pm2_home, env_keys=["ADDED"])
    assert "hunter2" not in f"{caught.value}{caught.value.details}"
    assert caught.value.details["old_untouched"]
    assert pids(pm2_home) == before


@pytest.mark.parametrize("option", some("secrets_file", "env_file"))
@pytest.mark.parametrize(("mode", "state"), some(("cluster", "replaced"), ("fork", "replaced"), ("fork", "started")))
def test_no_error_quotes_a_secret_that_the_process_read_itself(pm2_home: Shop, mode: str, state: str, option: str) -> None:
    pm2_home.release("bad", "tells")
    path = env_file(pm2_home, "STRIPE_SECRET_KEY=sk_live_51H\nSMTP_PASS=hunter2\nCURRENCY=RON\n")
    pm2_home.define("api", mode, PORT, 1)
    pm2_home.start("api")
    pm2_home.switch("bad")
    if state == "started":
        pm2_home.pm2("stop", "api")
    with pytest.raises(EcommusError) as caught:
        replace(pm2_home, state=state, stable_seconds=3, **{"env_file": None, option: str(path)})
    told = f"{caught.value}{caught.value.details}"
    assert "cannot pay: STRIPE_SECRET_KEY=***" in told and "CURRENCY=RON" in told
    assert "sk_live" not in told and "hunter2" not in told


@pytest.mark.exhaustive
def test_what_cannot_be_cleaned_of_secrets_is_not_quoted(pm2_home: Shop) -> None:
    pm2_home.release("bad", "tells")
    env_file(pm2_home, "STRIPE_SECRET_KEY=sk_live_51H\n")
    pm2_home.define("api", "cluster", PORT, 1)
    pm2_home.start("api")
    pm2_home.switch("bad")
    with pytest.raises(EcommusError, match="crashed") as caught:
        replace(pm2_home, env_file=None, secrets_file=str(pm2_home.root / "away"))
    assert "log" not in caught.value.details and caught.value.details["old_untouched"]


def three_workers_of_which_one_rests(shop: Shop) -> None:
    """And which the old release has defined otherwise, when all of them stand still."""
    shop.release("r1", "job")
    shop.release("r2", "job")
    old = shop.root / "releases" / "r1"
    shop.define("workers", "fork", None, 3, cwd=str(old), script=str(old / "app.js"), env={"FOO": "old", "GONE": "1"})
    shop.start("workers")
    shop.pm2("save")
    shop.pm2("stop", "workers")
    shop.switch("r2")
    shop.define("workers", "fork", None, 1, env={"FOO": "new"})


def workers_started(shop: Shop, **options: Any) -> dict[str, Any]:
    return replace(shop, **{"state": "started", "name": ["workers"], "env_file": None, "instances": 2, **options})


def are_two_new_ones_and_one_that_rests(answer: dict[str, Any]) -> None:
    assert answer["names"]["workers"] == {"instances": 3, "online": 2, "stopped": 1, "exec_mode": "fork"}
    for process in answer["processes"]:
        if process["pid"]:
            given = _process.environment(process["pid"])
            assert given["FOO"] == "new" and "GONE" not in given
            assert process["script"].startswith(process["cwd"]) and process["cwd"].endswith("/current")


def test_what_is_started_is_what_the_ecosystem_file_says_now(pm2_home: Shop) -> None:
    """A restart would keep directory, arguments and variables of the release before."""
    three_workers_of_which_one_rests(pm2_home)
    are_two_new_ones_and_one_that_rests(workers_started(pm2_home))
    assert not workers_started(pm2_home)["changed"]
    with pytest.raises(EcommusError, match="no ecosystem file defines it"):
        workers_started(pm2_home, ecosystem_file=None, environment={"workers": {"FOO": "x"}})


@pytest.mark.parametrize("added", some(1, 0))
def test_a_start_that_was_killed_is_taken_up(pm2_home: Shop, monkeypatch: pytest.MonkeyPatch, added: int) -> None:
    three_workers_of_which_one_rests(pm2_home)
    start = _ecosystem.Ecosystem.add

    def killed(*arguments: Any, **options: Any) -> None:
        if added:
            start(*arguments, **{**options, "instances": added})
        raise KeyboardInterrupt

    with monkeypatch.context() as attempt, pytest.raises(KeyboardInterrupt):
        attempt.setattr(_ecosystem.Ecosystem, "add", killed)
        workers_started(pm2_home)
    assert len(pids(pm2_home)) == 1 + added
    assert workers_started(pm2_home, check_mode=True)["changed"]
    are_two_new_ones_and_one_that_rests(workers_started(pm2_home))


@pytest.mark.exhaustive
def test_what_a_killed_cut_over_left_is_not_started_twice(pm2_home: Shop) -> None:
    pm2_home.define("api", "cluster", PORT, 2)
    pm2_home.start("api")
    pm2 = Pm2(str(pm2_home.home), (str(pm2_home.bin),))
    Record.of(pm2.home).begin("api", 2, pm2.table("api"))
    pm2_home.pm2("scale", "api", "4")
    pm2_home.pm2("stop", "api")
    answer = replace(pm2_home, state="started", env_file=None)
    assert answer["names"]["api"] == {"instances": 2, "online": 2, "stopped": 0, "exec_mode": "cluster"}
    assert not (pm2_home.home / "ecommus-cutover.json").exists()


def test_described_proves_the_directory(pm2_home: Shop) -> None:
    pm2_home.define("api", "cluster", PORT, 1)
    pm2_home.start("api")
    assert control(pm2_home.params(name=["api"], expect_path=str(pm2_home.current)), check_mode=False)["names"]["api"]["online"] == 1
    pm2_home.release("r2")
    pm2_home.switch("r2")
    with pytest.raises(EcommusError, match=r"api .* works in .*/r1 and not under .*/r2"):
        control(pm2_home.params(name=["api"], expect_path=str(pm2_home.current)), check_mode=False)
    with pytest.raises(EcommusError, match="pm2 knows no process admin"):
        control(pm2_home.params(name=["admin"], expect_path=str(pm2_home.current)), check_mode=False)
