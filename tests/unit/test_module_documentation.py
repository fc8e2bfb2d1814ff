# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation of the modules says is so: attributes, groups, and the arguments of every example."""

from __future__ import annotations

import ast
import importlib
import json
import os
import runpy
import subprocess
import sys
import typing as t
import warnings
from pathlib import Path

import documented
import module_examples
import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _argspec

REPO = Path(__file__).resolve().parents[2]
MODULES = module_examples.modules()
PREFIX = "mdlabs.ecommus."
RUNTIME = yaml.safe_load((REPO / "meta/runtime.yml").read_text())
GROUPS: dict[str, list[str]] = RUNTIME["action_groups"]


@pytest.fixture(scope="module")
def docs() -> dict[str, t.Any]:
    """What ansible-doc knows, fragments merged in."""
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPO / "playbooks/collections")}
    command = [str(Path(sys.executable).parent / "ansible-doc"), "-j", "-t", "module", *(PREFIX + name for name in MODULES)]
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=120, check=True)
    return {name.removeprefix(PREFIX): found["doc"] for name, found in json.loads(done.stdout).items()}


class Started(Exception):
    """A module got as far as its argument spec."""


def spec_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    """What the module hands to AnsibleModule."""

    def recorded(**given: t.Any) -> t.NoReturn:
        raise Started(given)

    path = importlib.import_module(f"{documented.PACKAGE}.{name}").__file__
    assert path
    with monkeypatch.context() as patch, warnings.catch_warnings(), pytest.raises(Started) as started:
        warnings.simplefilter("ignore")
        patch.setattr(_argspec, "AnsibleModule", recorded)
        runpy.run_path(path, run_name="__main__")
    given: dict[str, t.Any] = started.value.args[0]
    return given


# ---------------------------------------------------------------- examples

DOCUMENTED = sorted([*REPO.glob("plugins/modules/*.py"), *REPO.glob("plugins/filter/*.py")])


def tasks_of(path: Path) -> list[tuple[str, dict[str, t.Any]]]:
    """Module and arguments of every task of ours in the examples of the plugin *path*."""
    examples = path.read_text().partition('EXAMPLES = r"""')[2].partition('"""')[0]
    tasks = yaml.safe_load(examples) or []
    return [(key.removeprefix(PREFIX), arguments) for task in tasks for key, arguments in task.items() if key.startswith(PREFIX)]


def without_templates(arguments: t.Any, options: dict[str, t.Any]) -> dict[str, t.Any]:
    """*arguments* with some value of the right kind in the place of each that is a template as a whole."""
    some = {"dict": {}, "list": [], "bool": True, "int": 1, "float": 1}
    found = {}
    for name, value in arguments.items():
        option = options.get(name, {})
        if isinstance(value, str) and value.startswith("{{"):
            choices = option.get("choices")
            found[name] = choices[0] if choices else some.get(option.get("type", "str"), "some")
        elif isinstance(value, list) and "options" in option:
            found[name] = [without_templates(item, option["options"]) for item in value]
        elif isinstance(value, dict) and "options" in option:
            found[name] = without_templates(value, option["options"])
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("path", DOCUMENTED, ids=lambda path: path.stem)
def test_examples_have_arguments_that_the_modules_take(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = tasks_of(path)
    if path.parent.name == "modules":
        assert path.stem in [module for module, _arguments in tasks], "it is its own example"
    for module, arguments in tasks:
        spec = spec_of(module, monkeypatch)
        rules = {key: spec[key] for key in ("required_if", "required_one_of", "mutually_exclusive") if key in spec}
        given = without_templates(arguments, spec["argument_spec"])
        result = ArgumentSpecValidator(spec["argument_spec"], **rules).validate(given)
        assert result.error_messages == [], (module, arguments)


def test_an_example_with_a_wrong_argument_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("prune", monkeypatch)["argument_spec"]
    good = {"root": "/x", "state_dir": "/x", "snapshot_dir": "/x"}
    assert ArgumentSpecValidator(spec).validate(good).error_messages == []
    for wrong in ({"keep_run": 3}, {"keep_runs": "few"}):
        assert ArgumentSpecValidator(spec).validate({**good, **wrong}).error_messages


# ---------------------------------------------------------------- attributes and fields

ERRORS = {"EcommusError", "NotProven"}


def details_of_errors(path: Path) -> set[str]:
    """Names of the facts that the errors raised in *path* carry."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS:
            names |= {keyword.arg for keyword in node.keywords if keyword.arg}
        if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "details" and isinstance(node.slice, ast.Constant):
            names.add(str(node.slice.value))
    return names


def test_what_an_error_carries_is_documented() -> None:
    """Modules return it as it is, also where no test makes them fail so."""
    raised = set().union(*(details_of_errors(path) for path in REPO.glob("plugins/module*/*.py")))
    assert {"sqlstate", "left_over", "holder"} <= raised, "the test finds what it should"
    assert raised - documented.COMMON - set().union(*(documented.returned(name) for name in MODULES)) == set()


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_how_it_behaves(name: str, docs: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch) -> None:
    doc = docs[name]
    attributes = doc["attributes"]
    assert {"check_mode", "diff_mode", "idempotent", "action_group"} <= set(attributes)
    for attribute, stated in attributes.items():
        assert stated["support"] in ("full", "partial", "none"), attribute
        assert stated["support"] == "full" or stated.get("details"), f"{attribute} is not full, and nothing says why"
    assert (attributes["check_mode"]["support"] == "full") == spec_of(name, monkeypatch)["supports_check_mode"]
    has_action = (REPO / f"plugins/action/{name}.py").exists()
    assert ("action" in attributes) == has_action
    assert doc["seealso"], "what else to look at"


def test_see_also_names_modules_that_there_are(docs: dict[str, t.Any]) -> None:
    for name, doc in docs.items():
        named = [other["module"].removeprefix(PREFIX) for other in doc["seealso"]]
        assert set(named) <= set(MODULES) - {name}, name


def test_the_readme_names_every_module() -> None:
    (paragraph,) = [text for text in (REPO / "README.md").read_text().split("\n\n") if "ansible-doc mdlabs.ecommus." in text]
    assert [name for name in MODULES if f"`{name}`" not in paragraph] == []


# ---------------------------------------------------------------- action groups


def test_every_module_is_in_the_group_of_all() -> None:
    assert GROUPS["all"] == MODULES


def test_the_documentation_names_the_groups_of_each_module(docs: dict[str, t.Any]) -> None:
    for name, doc in docs.items():
        groups = [f"{PREFIX}{group}" for group, members in GROUPS.items() if name in members]
        assert sorted(doc["attributes"]["action_group"]["membership"]) == sorted(groups), name


SHARED = {
    "install": {"root", "base", "path_prefix"},
    "pm2": {"pm2_home", "path_prefix"},
    "postgres": {"env_file", "database_url_key", "database_url", "admin_url", "path_prefix"},
}


@pytest.mark.parametrize("group", SHARED)
def test_a_default_for_a_group_is_one_that_each_of_its_modules_takes(group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = {name: set(spec_of(name, monkeypatch)["argument_spec"]) for name in MODULES}
    for name in GROUPS[group]:
        assert SHARED[group] <= specs[name], name
    # A module with all of these options that is not in the group would be missed by its defaults.
    assert [name for name in MODULES if SHARED[group] <= specs[name] and name not in GROUPS[group]] == []


def test_defaults_of_a_group_arrive_at_modules_and_at_action_plugins(tmp_path: Path) -> None:
    env, state = tmp_path / ".env", tmp_path / "state"
    env.write_text("A=1\n")
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        "    - module_defaults: {group/mdlabs.ecommus.all: {path: '{{ env }}', state: described}}\n"
        "      block: [{name: one, mdlabs.ecommus.env_file: }]\n"
        "    - module_defaults: {group/mdlabs.ecommus.all: {directory: '{{ state }}', state: locked, run_id: by-hand}}\n"
        "      block:\n"
        "        - {name: two, mdlabs.ecommus.journal: }\n"
        "        - {name: three, mdlabs.ecommus.journal: {state: read}}\n"
    )
    played = module_examples.run(playbook, tmp_path, {"env": str(env), "state": str(state)})
    assert played.code == 0, played.said
    assert played.result("one")["names"] == ["A"]
    assert played.result("three")["holder"]["run_id"] == "by-hand"
