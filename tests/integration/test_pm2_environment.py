"""That new processes have the new environment, by the view of the processes themselves; against a real pm2 and node."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_control import control
from ansible_collections.mdlabs.ecommus.plugins.module_utils._proof_environment import problem
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
    return control(shop.params(**{**wanted, "env_file": str(shop.current / ".env"), **options}), check_mode=False)


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


@pytest.mark.parametrize("option", ["secrets_file", "env_file"])
@pytest.mark.parametrize(("mode", "state"), [("cluster", "replaced"), ("fork", "replaced"), ("fork", "started")])
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


def test_what_cannot_be_cleaned_of_secrets_is_not_quoted(pm2_home: Shop) -> None:
    pm2_home.release("bad", "tells")
    env_file(pm2_home, "STRIPE_SECRET_KEY=sk_live_51H\n")
    pm2_home.define("api", "cluster", PORT, 1)
    pm2_home.start("api")
    pm2_home.switch("bad")
    with pytest.raises(EcommusError, match="crashed") as caught:
        replace(pm2_home, env_file=None, secrets_file=str(pm2_home.root / "away"))
    assert "log" not in caught.value.details and caught.value.details["old_untouched"]


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
