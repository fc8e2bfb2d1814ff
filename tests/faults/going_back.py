"""What several tests of ways back do to a shop, and what they ask of a command."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import shopstate
from aftermath import NEW, Scene
from interruption import phase
from playbook import Outcome
from psycopg import sql

PLUGIN = "@northstar/loyalty"


def upgraded(scene: Scene, version: str = NEW, **variables: object) -> dict[str, Any]:
    """Upgrade, and return the facts of the run."""
    outcome = scene.upgrade(version, **variables)
    assert outcome.code == 0, outcome.said[-5000:]
    assert shopstate.version(scene.shop) == version
    facts: dict[str, Any] = scene.last_run["facts"]
    return facts


def rolled_back(scene: Scene, **variables: object) -> Outcome:
    outcome = scene.rollback(**variables)
    assert outcome.code == 0, outcome.said[-5000:]
    return outcome


def refused(scene: Scene, outcome: Outcome, says: str, ends_as: str = "failed") -> None:
    """It failed, for that reason, with a remedy, and the report and the journal say so."""
    assert outcome.code == 2, outcome.said[-5000:]
    report = outcome.report(scene.name)
    assert re.search(says, report["problem"]), report["problem"]
    assert report["remedy"]
    assert scene.last_run["outcome"] == ends_as, scene.last_run


def as_superuser(scene: Scene, statement: str, *names: str, database: str = "postgres") -> None:
    with scene.lab.postgres.connect(database) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def switch_a_plugin_off(scene: Scene) -> None:
    """As an operator might in the middle of an upgrade; the comparison of the plugins does not let that pass."""
    scene.by_hand("settings", "INSERT INTO settings (key, value) VALUES (%s, 'false')", f"plugin:{PLUGIN}:enabled")


def switch_the_plugin_on(scene: Scene) -> None:
    scene.by_hand("settings", "DELETE FROM settings WHERE key = %s", f"plugin:{PLUGIN}:enabled")


def fails_in_verify(scene: Scene, version: str = NEW, also: Callable[[], object] = lambda: None, **variables: object) -> Outcome:
    """An upgrade that goes live and then does not stand its proof; *also* happens just before."""
    running = scene.start(version, **variables)
    running.until(lambda: phase(scene.shop) == "activate")
    switch_a_plugin_off(scene)
    also()
    outcome = running.outcome()
    assert outcome.code == 2, outcome.said[-5000:]
    assert [entered["name"] for entered in scene.last_run["phases"]][-2:] == ["verify", "way_back"]
    assert re.search(rf"{PLUGIN}.* is disabled", scene.last_run["facts"]["failure"]), scene.last_run["facts"]["failure"]
    return outcome
