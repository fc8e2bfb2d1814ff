"""The controller is killed, the module on the host is killed, the host reboots: at each phase and inside the long ones."""

from __future__ import annotations

import pytest
from aftermath import NEW, OLD, Scene
from interruption import phase
from moments import LONG

PHASES = ["stage", "quiesce", "snapshot", "migrate", "activate", "verify", "resume", "finish"]


def the_same_command_finishes_it(scene: Scene) -> None:
    again = scene.upgrade()
    assert again.code == 0, again.said[-5000:]
    scene.serves(NEW, "succeeded")


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.quick if name == "migrate" else ()) for name in PHASES])
def test_controller_and_module_are_killed_when_a_phase_begins(scene: Scene, name: str) -> None:
    """The same command brings it to its end."""
    running = scene.start()
    running.until(lambda: phase(scene.shop) == name)
    running.kill_everything()
    the_same_command_finishes_it(scene)
    assert scene.last_run["taken_over"]


@pytest.mark.parametrize("what", LONG)
def test_module_is_killed_at_its_work(scene: Scene, what: str) -> None:
    """The controller sees a task fail, and takes the way back by itself."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    running.kill_module()
    outcome = running.outcome()
    assert outcome.code != 0
    scene.serves(OLD, "rolled_back" if what not in {"npm ci", "build"} else "failed")


@pytest.mark.parametrize("what", LONG)
def test_controller_is_killed_and_the_module_goes_on_alone(scene: Scene, what: str) -> None:
    """The next command comes while the host may still be at work for the first one."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    running.kill_controller()
    the_same_command_finishes_it(scene)


@pytest.mark.parametrize("name", PHASES)
def test_host_reboots_in_a_phase(scene: Scene, name: str) -> None:
    """Everything on the host is gone and comes back as saved; the controller saw the connection break."""
    running = scene.start()
    running.until(lambda: phase(scene.shop) == name)
    running.kill_everything()
    scene.reboot()
    the_same_command_finishes_it(scene)
