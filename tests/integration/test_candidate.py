"""The candidate with real node processes: good and bad releases, and nothing left of them, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _candidate, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._candidate import Service, Trial
from ansible_collections.mdlabs.ecommus.plugins.module_utils._candidate_routes import Route
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from pm2_shop import Shop, get

pytestmark = pytest.mark.pm2

LIVE = 21470  # the live port; nothing of the candidate may be seen on it
HEALTH = Route("/health", {"Host": "api.shop.test"}, Expectation(json={"ok": True}))
CATEGORIES = Route("/categories")

APP = """
const http = require('http')
const boot = (port) => http.createServer((request, response) => {
  response.statusCode = __BROKEN__ && request.url === '/categories' ? 500 : 200
  response.end(JSON.stringify({ ok: true, host: request.headers.host, env: process.env, dir: process.cwd() }))
}).listen(port ?? +process.env.PORT, '127.0.0.1', () => process.send('ready'))
process.on('SIGINT', () => setTimeout(() => process.exit(0), 100))
__BOOT__
"""
BOOTS = {
    "good": "boot()",
    "crash": "console.error('Error: no database at postgres://shop:hunter2@db/shop, ' + process.env.API_TOKEN); process.exit(3)",
    "hang": "setInterval(() => {}, 1000)",
    "dies": "boot(); setTimeout(() => process.exit(4), 2000)",
    "stubborn": "process.removeAllListeners('SIGINT'); process.on('SIGINT', () => {}); boot()",
    "away": "process.chdir('/'); boot()",
    "family": "require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']); boot()",
    "argument": "boot(+process.argv[2])",
    "mute": "process.send = () => {}; boot()",
}


@pytest.fixture
def shop(pm2_home: Shop) -> Iterator[Shop]:
    """A shop without a daemon: release r1 is live, r2 is to be tried."""
    put(pm2_home, "r1", "good")
    put(pm2_home, "r2", "good")
    define(pm2_home)
    yield pm2_home
    assert left(pm2_home) == []
    assert not (pm2_home.home / "pm2.pid").exists(), "a daemon was started"


def put(shop: Shop, name: str, boot: str, broken: bool = False, version: str = "1.4.0") -> Path:
    directory = shop.root / "releases" / name
    core = directory / "packages" / "core"
    core.mkdir(parents=True, exist_ok=True)
    (core / "package.json").write_text(json.dumps({"version": version}))
    (directory / "app.js").write_text(APP.replace("__BOOT__", BOOTS[boot]).replace("__BROKEN__", str(broken).lower()))
    return directory


def define(shop: Shop, **more: Any) -> None:
    shop.define("api", "fork", LIVE, env={"API_TOKEN": "s3cret-value", "DATA": f"{shop.current}/app.js", **more.pop("env", {})}, **more)


def trial(shop: Shop, **options: Any) -> Trial:
    given = {
        "pm2": Pm2(str(shop.home), (str(shop.bin),)),
        "directory": str(shop.root / "releases" / "r2"),
        "root": str(shop.current),
        "ecosystem_file": str(shop.ecosystem),
        "timeout": 3.0,
        "stable_seconds": 0.5,
        "stop_timeout": 2.0,
        **options,
    }
    return Trial(**given)


def services(*routes: Route) -> list[Service]:
    return [Service("api", "api", routes or (HEALTH, CATEGORIES), LIVE)]


def prove(shop: Shop, **options: Any) -> list[_candidate.Candidate]:
    return _candidate.prove(trial(shop, **options), services())


def left(shop: Shop) -> list[int]:
    """Living processes of the releases of *shop*."""
    return _process.running_below(str(shop.root / "releases"))


def fails(shop: Shop, reason: str, says: str, **options: Any) -> EcommusError:
    with pytest.raises(EcommusError, match=says) as failure:
        prove(shop, **options)
    error = failure.value
    assert error.details["reason"] == reason
    assert "\n" not in str(error) and error.remedy
    assert "s3cret" not in f"{error} {error.details}" and "hunter2" not in f"{error} {error.details}"
    assert left(shop) == []
    return error


def test_a_good_release_is_proven_and_ended(shop: Shop) -> None:
    (found,) = prove(shop, version="v1.4.0")
    assert [answer["status"] for answer in found.answers] == [200, 200]
    assert found.port != LIVE and found.pids and not found.killed
    assert not any(_process.alive(pid) for pid in found.pids)
    assert found.definition.script == str(shop.root / "releases/r2/app.js")
    assert "s3cret" not in str(found.shown())


def test_it_gets_the_environment_of_the_shop_with_the_paths_of_the_release(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_SECRET", "of the deploy shell")
    define(shop, env={"UPLOADS": f"{shop.current}/uploads", "LIST": f"a={shop.current}/app.js:{shop.current}.d", "ECOMMUS_WORKERS": "true"})
    candidate = _candidate.plan(trial(shop, environment={"EXTRA": "1"}), services())[0]
    env, release = candidate.definition.environment, shop.root / "releases" / "r2"
    assert (env["PORT"], env["HOST"], env["ECOMMUS_WORKERS"], env["EXTRA"]) == (str(candidate.port), "127.0.0.1", "false", "1")
    assert (env["API_TOKEN"], env["DATA"]) == ("s3cret-value", f"{release}/app.js")
    assert env["UPLOADS"] == f"{shop.current}/uploads"  # the release has none, so it is the shop's
    assert env["LIST"] == f"a={release}/app.js:{shop.current}.d"
    assert not {"DEPLOY_SECRET", "NO_COLOR", "PM2_DISCRETE_MODE"} & set(env)


def test_the_live_processes_are_not_touched(pm2_home: Shop) -> None:
    put(pm2_home, "r1", "good")
    put(pm2_home, "r2", "good")
    pm2_home.define("api", "cluster", LIVE, 2)
    pm2_home.start("api")
    before = [(p["pm_id"], p["pid"]) for p in json.loads(pm2_home.pm2("-s", "jlist").stdout)]
    (found,) = prove(pm2_home)
    daemon = int((pm2_home.home / "pm2.pid").read_text())
    assert found.definition.interpreter == os.readlink(f"/proc/{daemon}/exe")
    assert [(p["pm_id"], p["pid"]) for p in json.loads(pm2_home.pm2("-s", "jlist").stdout)] == before
    assert get(LIVE)["dir"] == str(pm2_home.root / "releases" / "r1")


def test_a_port_in_the_arguments_gives_way(shop: Shop) -> None:
    put(shop, "r2", "argument")
    define(shop, args=[str(LIVE)])
    assert prove(shop)[0].pids


def test_several_together_and_one_by_one(shop: Shop) -> None:
    shop.define("admin", "fork", LIVE + 1)
    both = [*services(), Service("admin", "admin", (HEALTH,), LIVE + 1)]
    for overlap in ("all", "one"):
        found = _candidate.prove(trial(shop, overlap=overlap), both)
        assert [candidate.service.name for candidate in found if candidate.pids] == ["api", "admin"]


def test_a_crash_at_boot(shop: Shop) -> None:
    put(shop, "r2", "crash")
    error = fails(shop, "crashed", r"api .* crashed at boot \(exit code 3\); its log says .*no database")
    assert error.details["log"] == ["Error: no database at postgres://***@db/shop, ***"]


def test_a_hang(shop: Shop) -> None:
    put(shop, "r2", "hang")
    fails(shop, "hung", r"hangs at boot: it does not listen .* within 1 s", timeout=1.0)


def test_one_that_never_says_that_it_is_ready(shop: Shop) -> None:
    put(shop, "r2", "mute")
    fails(shop, "hung", "does not report that it is ready", timeout=1.5)


def test_a_500_on_one_route(shop: Shop) -> None:
    put(shop, "r2", "good", broken=True)
    fails(shop, "answer", "answers /categories badly: status 500")


def test_a_daemon_that_dies_meanwhile_is_not_the_fault_of_the_release(pm2_home: Shop) -> None:
    put(pm2_home, "r1", "good")
    put(pm2_home, "r2", "hang")
    pm2_home.define("api", "cluster", LIVE, 1)
    pm2_home.start("api")
    daemon = int((pm2_home.home / "pm2.pid").read_text())
    threading.Timer(1.0, os.kill, (daemon, signal.SIGKILL)).start()
    with pytest.raises(EcommusError, match="no pm2 daemon"):
        prove(pm2_home)
    assert not _process.running_below(str(pm2_home.root / "releases/r2"))


def test_a_death_after_two_seconds(shop: Shop) -> None:
    put(shop, "r2", "dies")
    fails(shop, "died", r"did not stay alive \(exit code 4\)", stable_seconds=4.0)


def test_code_that_is_not_of_the_release(shop: Shop) -> None:
    elsewhere = put(shop, "r0", "good")
    define(shop, cwd=str(elsewhere), script=str(elsewhere / "app.js"))
    fails(shop, "identity", "is started from .*releases/r0/app.js and not under .*releases/r2")


def test_a_process_that_works_elsewhere(shop: Shop) -> None:
    put(shop, "r2", "away")
    fails(shop, "identity", "works in / and not under")


def test_a_package_of_another_version(shop: Shop) -> None:
    put(shop, "r2", "good", version="1.3.9")
    fails(shop, "identity", r"should be v1\.4\.0 and says .* that it is v1\.3\.9", version="v1.4.0")


def test_a_script_that_is_missing(shop: Shop) -> None:
    (shop.root / "releases/r2/app.js").unlink()
    with pytest.raises(EcommusError, match=r"Script not found: .*releases/r2/app.js"):
        prove(shop)


def test_one_that_ignores_sigint_is_killed_and_believed(shop: Shop) -> None:
    put(shop, "r2", "stubborn")
    (found,) = prove(shop, stop_timeout=0.5)
    assert found.killed and left(shop) == []


def test_what_it_has_started_goes_with_it(shop: Shop) -> None:
    put(shop, "r2", "family")
    assert prove(shop)[0].killed is False
    assert left(shop) == []


def test_nothing_is_left_when_the_module_is_killed(shop: Shop) -> None:
    put(shop, "r2", "family")
    module = Path(_candidate.__file__).parents[1] / "modules" / "candidate.py"
    arguments = {
        "directory": str(shop.root / "releases" / "r2"),
        "root": str(shop.current),
        "services": [{"name": "api", "process": "api"}],
        "ecosystem_file": str(shop.ecosystem),
        "pm2_home": str(shop.home),
        "path_prefix": [str(shop.bin)],
        "stable_seconds": 60,
    }
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, str(module)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        process.stdin.close()
        deadline = time.monotonic() + 20
        while len(running := left(shop)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(running) == 2
        process.send_signal(signal.SIGKILL)
    assert _process.wait_gone(running, 3) == []


def test_check_mode_says_what_it_would_start(shop: Shop) -> None:
    (found,) = _candidate.plan(trial(shop), services())
    assert found.shown()["command"].endswith("/releases/r2/app.js")
    assert found.shown()["pids"] == [] and left(shop) == []
