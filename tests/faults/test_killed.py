"""The controller is killed, the module on the host is killed, the host reboots: at each phase and inside the long ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from aftermath import NEW, OLD, Scene
from interruption import phase
from maintenance_window import hook
from moments import LONG, Moment, enters, layout_is_switched
from playbook import Outcome

PHASES = ["stage", "quiesce", "snapshot", "migrate", "activate", "verify", "resume", "finish"]


def the_same_command_finishes_it(scene: Scene, **variables: object) -> None:
    again = scene.upgrade(**variables)
    assert again.code == 0, again.said[-5000:]
    scene.serves(NEW, "succeeded")


def failed(scene: Scene, outcome: Outcome, word: str) -> dict:
    """The playbook failed as it should, and its report says why and what can be done."""
    assert outcome.code == 2, outcome.said[-5000:]
    report = outcome.report(scene.name)
    assert report["outcome"] == word, report
    assert report["problem"] and report["remedy"], report
    return report


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.quick if name == "migrate" else ()) for name in PHASES])
def test_controller_and_module_are_killed_when_a_phase_begins(scene: Scene, name: str) -> None:
    """The same command brings it to its end."""
    running = scene.start()
    running.until(lambda: phase(scene.shop) == name)
    running.kill_everything()
    the_same_command_finishes_it(scene)
    assert scene.last_run["taken_over"]


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        pytest.param("cedar", LONG["npm ci"], id="in the directory that serves, npm ci"),
        pytest.param("cedar", enters("migrate"), id="in place, migrate"),
        pytest.param("aurora", layout_is_switched, id="adoption"),
    ],
)
def test_other_installs_are_killed(make_scene: Callable[[str], Scene], name: str, moment: Moment) -> None:
    """Where the checkout itself is the live shop, and where it becomes the first release."""
    scene = make_scene(name)
    running = scene.start()
    running.until(lambda: moment(scene))
    running.kill_everything()
    the_same_command_finishes_it(scene)
    assert scene.last_run["taken_over"]


@pytest.mark.parametrize("what", LONG)
def test_module_is_killed_at_its_work(scene: Scene, what: str) -> None:
    """The controller sees a task fail, and takes the way back by itself."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    running.kill_module()
    failed(scene, running.outcome(), "failed")
    scene.serves(OLD, "rolled_back" if what not in {"npm ci", "build"} else "failed")
    if what in {"restore", "cut-over, the old ones leave"}:  # two of them, to spare time
        the_same_command_finishes_it(scene)


@pytest.mark.parametrize("what", LONG)
def test_controller_is_killed_and_the_module_goes_on_alone(scene: Scene, what: str) -> None:
    """The next command comes while the host may still be at work for the first one."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    running.kill_controller()
    the_same_command_finishes_it(scene)


@pytest.mark.parametrize("before", ["open", "closed"])
def test_a_run_that_is_taken_up_knows_how_the_maintenance_window_was(scene: Scene, tmp_path: Path, before: str) -> None:
    """One that was open before is the operator's; one that we have opened is closed at the end."""
    maintenance = {"ecommus_maintenance": hook(tmp_path, before)}
    running = scene.start(**maintenance)
    running.until(lambda: phase(scene.shop) == "migrate")
    running.kill_everything()
    assert (tmp_path / "window").read_text() == "open\n"
    the_same_command_finishes_it(scene, **maintenance)
    log = tmp_path / "log"
    assert (log.read_text().split() if log.exists() else []) == ([] if before == "open" else ["open", "closed"])
    assert (tmp_path / "window").read_text() == f"{before}\n"


# --- the host reboots ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHASES)
def test_host_reboots_in_a_phase(scene: Scene, name: str) -> None:
    """Everything on the host is gone and comes back as saved; the controller saw the connection break."""
    running = scene.start()
    running.until(lambda: phase(scene.shop) == name)
    running.kill_everything()
    scene.reboot()
    the_same_command_finishes_it(scene)


def test_host_reboots_and_the_controller_finds_it_unreachable(scene: Scene) -> None:
    """Nothing can be undone on a host that does not answer; the run stays open for the next command."""
    running = scene.start()
    running.until(lambda: LONG["migrations"](scene))
    running.kill_connections()
    scene.reboot()
    outcome = running.outcome()
    assert outcome.code == 4, outcome.said[-5000:]
    assert scene.last_run["outcome"] == "open"
    the_same_command_finishes_it(scene)


def test_host_reboots_and_its_shop_does_not_come_back(scene: Scene) -> None:
    """As where pm2 has no start-up script: nothing is touched, the remedy is said, and after it the same command goes on."""
    running = scene.start()
    running.until(lambda: LONG["migrations"](scene))
    running.kill_everything()
    scene.shop.pm2.kill()
    report = failed(scene, scene.upgrade(), "refused")
    assert "no pm2 daemon" in report["problem"] and "pm2 resurrect" in report["remedy"], report
    assert scene.last_run["outcome"] == "open"
    scene.shop.pm2("resurrect")
    the_same_command_finishes_it(scene)
