"""What only a customer would notice: the services are healthy, and the shop is of no use."""

from __future__ import annotations

import sys
from pathlib import Path

from aftermath import NEW, OLD, Scene
from test_releases import failed

WALK = """
import sys, urllib.request
page = urllib.request.Request("http://127.0.0.1:{port}/", headers={{"Host": "{host}"}})
if {unwanted!r} in urllib.request.urlopen(page, timeout=10).read().decode():
    sys.exit("there is no button to pay")
"""


def journey(scene: Scene, directory: Path, unwanted: str) -> dict[str, object]:
    """To the home page, which must not have *unwanted* in it."""
    program = directory / "walk.py"
    program.write_text(WALK.format(port=scene.shop.shop.ports["storefront"], host=scene.shop.shop.domain, unwanted=unwanted))
    return {"name": "checkout", "command": [sys.executable, str(program)]}


ONLY_NEW = '<header class="wide">'  # as the theme of the new release has it


def test_a_journey_fails_on_the_new_release(scene: Scene, tmp_path: Path) -> None:
    outcome = scene.upgrade(ecommus_journeys=[journey(scene, tmp_path, ONLY_NEW)])
    report = failed(scene, outcome, "failed", "the journey checkout failed.*there is no button to pay", "walk it by hand")
    assert report["requests_failed"] <= 2  # the exchange of the databases
    scene.serves(OLD, "rolled_back")


def test_a_journey_that_fails_already_stops_the_upgrade(scene: Scene, tmp_path: Path) -> None:
    outcome = scene.upgrade(ecommus_journeys=[journey(scene, tmp_path, "<html")])
    failed(scene, outcome, "refused", "the journey checkout failed", "ecommus_journeys")
    scene.serves(OLD)


def test_a_release_that_is_held_goes_on_or_back(scene: Scene, tmp_path: Path) -> None:
    """The new release stays with its workers at rest; then its journey is corrected, and the same command comes to its end."""
    held = scene.upgrade(ecommus_journeys=[journey(scene, tmp_path, ONLY_NEW)], ecommus_hold_failed_verify=True)
    failed(scene, held, "held", f"the shop is held at {NEW}.*there is no button to pay", "same command again.*rollback.yml")
    assert scene.shop.health() == {} and not scene.shop.workers_running()
    assert scene.running_from(NEW) and not scene.running_from(OLD)
    on = scene.upgrade(ecommus_hold_failed_verify=True)
    assert on.code == 0, on.said[-5000:]
    scene.serves(NEW, "succeeded")


def test_a_release_that_is_held_goes_back(scene: Scene, tmp_path: Path) -> None:
    journeys = [journey(scene, tmp_path, ONLY_NEW)]
    held = scene.upgrade(ecommus_journeys=journeys, ecommus_hold_failed_verify=True)
    failed(scene, held, "held", f"the shop is held at {NEW}", "rollback.yml")
    back = scene.rollback(ecommus_journeys=journeys)
    assert back.code == 0, back.said[-5000:]
    scene.serves(OLD, "succeeded")
