# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays the EXAMPLES of a module as they are printed, but for the places of the fixture that they are played on."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import textwrap
import typing as t
from pathlib import Path

import documented
import yaml

TESTS = Path(__file__).resolve().parent
REPO = TESTS.parent
# What every result of a playbook run is written down by; see callback/returned.py.
CALLBACK = {"ANSIBLE_CALLBACK_PLUGINS": str(TESTS / "callback"), "ANSIBLE_CALLBACKS_ENABLED": "mdlabs.ecommus.summary,returned"}


def modules() -> list[str]:
    return sorted(path.stem for path in (REPO / "plugins/modules").glob("[a-z]*.py"))


def text_of(module: str) -> str:
    return str(importlib.import_module(f"{documented.PACKAGE}.{module}").EXAMPLES)


@dataclasses.dataclass(frozen=True)
class Played:
    """What became of the examples: the exit code, what was printed, and each result of a module of ours."""

    code: int
    said: str
    results: list[dict[str, t.Any]]

    def result(self, task: str) -> dict[str, t.Any]:
        """What the task of that name returned."""
        return next(line["result"] for line in self.results if line["task"] == task)


def kept(path: Path) -> list[dict[str, t.Any]]:
    """The results in the file *path*, each compared with the documentation of its module."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    problems = [f"{line['task']}: {problem}" for line in lines for problem in documented.problems(line["module"], line["result"])]
    assert not problems, "\n".join(problems)
    return lines


def play(
    module: str,
    directory: Path,
    places: t.Mapping[str, str],
    variables: t.Mapping[str, t.Any] | None = None,
    *,
    path: t.Sequence[object] = (),
    pm2_home: object = None,
) -> Played:
    """Play the examples of *module* on this machine.

    :param directory: for what is needed to play them.
    :param places: what stands for which text of the examples, such as ``/opt/ecommus``; the longest that fits is taken.
    :param path: directories in front of PATH.
    :param pm2_home: the daemon that is meant, where the examples mean that of the user.
    """
    text = text_of(module)
    used = [place for place in places if place in text]
    for place in sorted(used, key=len, reverse=True):
        text = text.replace(place, f"\0{used.index(place)}\0")
    for number, place in enumerate(used):
        text = text.replace(f"\0{number}\0", places[place])
    playbook = directory / "examples.yml"
    defaults = {"group/mdlabs.ecommus.pm2": {"pm2_home": str(pm2_home)}} if pm2_home else {}
    head = f"- hosts: localhost\n  gather_facts: false\n  module_defaults: {json.dumps(defaults)}\n  tasks:\n"
    playbook.write_text(head + textwrap.indent(text, "    "))
    return run(playbook, directory, variables or {}, path)


def run(playbook: Path, directory: Path, variables: t.Mapping[str, t.Any], path: t.Sequence[object] = ()) -> Played:
    """Run *playbook* on this machine, and compare what our modules returned with their documentation."""
    results = directory / "results.jsonl"
    results.unlink(missing_ok=True)
    given = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **variables}
    program = str(Path(sys.executable).parent / "ansible-playbook")
    env = {**os.environ, **CALLBACK, "ANSIBLE_NOCOLOR": "1", "ECOMMUS_TEST_RETURNED": str(results)}
    env["ANSIBLE_COLLECTIONS_PATH"] = str(REPO / "playbooks/collections")
    env["PATH"] = os.pathsep.join([*map(str, path), os.environ["PATH"]])
    done = subprocess.run(
        [program, str(playbook), "-i", "localhost,", "-e", json.dumps(given)],
        cwd=directory, env=env, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return Played(done.returncode, done.stdout + done.stderr, kept(results))


def played_whole(played: Played, module: str) -> None:
    """Every task of the examples ran and did not fail; one that only a condition leaves out is not counted."""
    assert played.code == 0, played.said
    expected = {task["name"] for task in yaml.safe_load(text_of(module)) if any(key.startswith("mdlabs.") for key in task)}
    assert expected == {line["task"] for line in played.results}, played.said
