# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles say what their variables are, and refuse the rest: in files, and when they are really played."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.mdlabs.ecommus.plugins.filter.unknown_variables import known, unknown_variables

REPO = Path(__file__).resolve().parents[2]
ROLES = ("install", "upgrade", "rollback")
# Without a default: the playbooks read them before any role is there, and the caller of an entry point has to give the others.
NO_DEFAULT = {"ecommus_hosts", "ecommus_strategy"}


def loaded(path: str) -> t.Any:
    return yaml.safe_load((REPO / path).read_text())


def walk(tasks: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """Every task of a file, those in blocks too."""
    for task in tasks or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from walk(task.get(part))


def included(path: Path) -> t.Iterator[dict[str, str]]:
    content = yaml.safe_load(path.read_text())
    plays = content if path.parent.name == "playbooks" else [{"tasks": content}]
    for task in walk([task for play in plays for task in play.get("tasks", [])]):
        for name in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
            if name in task:
                yield task[name]


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_those_of_the_argument_spec(role: str) -> None:
    options = loaded(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = loaded(f"roles/{role}/defaults/main.yml")
    assert set(options) - NO_DEFAULT == set(defaults)
    stated = {name: option["default"] for name, option in options.items() if "default" in option}
    assert stated == {name: defaults[name] for name in stated}
    # The only one that is too long to be said twice.
    assert set(defaults) - set(stated) == ({"ecommus_services"} if role == "install" else set())


def test_every_entry_point_of_a_playbook_has_an_argument_spec() -> None:
    """Ansible looks for the entry point by the very text of ``tasks_from``: with ``.yml`` it finds none, and checks nothing."""
    used = [include for path in REPO.glob("playbooks/*.yml") for include in included(path)]
    assert used
    for include in used:
        spec = loaded(f"roles/{include['name'].rpartition('.')[2]}/meta/argument_specs.yml")["argument_specs"]
        assert include.get("tasks_from", "main") in spec, include


def test_within_a_run_nothing_is_checked_again() -> None:
    """What a role includes itself is not for others, and a check in the middle of a way back could only hinder it."""
    used = [include for path in REPO.glob("roles/*/tasks/*.yml") for include in included(path)]
    assert used
    assert [include for include in used if not include.get("tasks_from", "").endswith(".yml")] == []


def test_whatever_a_role_sets_is_known_to_the_check_of_names() -> None:
    kept: set[str] = {"install_run_id"}
    for path in [*REPO.glob("roles/*/tasks/*.yml"), *REPO.glob("roles/*/handlers/*.yml")]:
        for task in walk(yaml.safe_load(path.read_text())):
            kept |= {task.get("register", "")} | set(task.get("vars", {})) | set(task.get("ansible.builtin.set_fact", {}))
            kept |= {task.get("loop_control", {}).get("loop_var", "")}
    assert {"upgrade_journal", "rollback_of", "upgrade_phase"} <= kept, "the test reads what it should"
    assert unknown_variables([*kept, *known().constants]) == []


def test_no_register_of_an_example_is_taken_for_one_of_our_variables() -> None:
    """Who copies an example and runs a role after it must not be refused."""
    registers: set[str] = set()
    for path in REPO.glob("plugins/modules/*.py"):
        examples = path.read_text().partition('EXAMPLES = r"""')[2].partition('"""')[0]
        registers |= {task["register"] for task in walk(yaml.safe_load(examples)) if "register" in task}
    assert registers
    assert unknown_variables(registers) == []


# ---------------------------------------------------------------- played

SHOP = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ecommus_domain": "shop.example"}


class Playing(t.Protocol):
    """Plays a playbook on one host ``shop`` with *variables*, and *extra* given with ``-e``."""

    def __call__(self, playbook: Path, variables: dict[str, t.Any], *arguments: str, **extra: t.Any) -> tuple[int, str]: ...


@pytest.fixture
def play(tmp_path: Path) -> Playing:
    def run(playbook: Path, variables: dict[str, t.Any], *arguments: str, **extra: t.Any) -> tuple[int, str]:
        inventory = tmp_path / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"shop": {**SHOP, **variables}}}}))
        env = {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_COLLECTIONS_PATH": str(REPO / "playbooks/collections")}
        program = str(Path(sys.executable).parent / "ansible-playbook")
        command = [program, str(playbook), "-i", str(inventory), "-e", json.dumps(extra), *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, text=True, capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    """The role that describes a shop, twice, the second time after a run was named and something kept."""
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        "- hosts: all\n  gather_facts: false\n  roles: [mdlabs.ecommus.install]\n"
        "  tasks:\n    - ansible.builtin.set_fact: {install_run_id: one, upgrade_pending: true}\n"
        "    - ansible.builtin.include_role: {name: mdlabs.ecommus.install, allow_duplicates: true}\n"
    )
    return playbook


@pytest.mark.parametrize("name", ["upgrade", "rollback", "adopt", "prune"])
def test_each_playbook_refuses_names_that_nobody_knows(play: Playing, name: str) -> None:
    code, said = play(REPO / f"playbooks/{name}.yml", {"ecommus_domian": "x"}, ecommus_prober_rat=3)
    assert code != 0
    assert "ecommus_domian is not a variable of this collection. Remedy: did you mean ecommus_domain?; ecommus_prober_rat is not" in said
    assert "did you mean ecommus_prober_rate?" in said
    assert "TASK [mdlabs.ecommus.install : Take the lock" not in said and "Name the run" not in said, "refused before anything else"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ecommus_prober_rate": "many"}, "ecommus_prober_rate"),
        ({"ecommus_layout": "release"}, "value of ecommus_layout must be one of: releases, in_place"),
        ({"ecommus_admin_probe": {"uri": "x"}}, "ecommus_admin_probe.uri"),
        ({"ecommus_services": [{"name": "api"}]}, "missing required arguments"),
        ({"ecommus_domain": ""}, "ecommus_domain is not set for shop"),
    ],
)
def test_a_wrong_value_is_refused_by_name(play: Playing, roles: Path, variables: dict[str, t.Any], says: str) -> None:
    code, said = play(roles, variables)
    assert code != 0
    assert says in said


def test_names_of_ones_own_are_let_through_and_values_are_not_looked_at(play: Playing, roles: Path) -> None:
    own = {"ecommus_shared_domain": "{{ 1 / 0 }}", "ecommus_colour": "red"}
    code, said = play(roles, {**own, "ecommus_extra_variables": ["ecommus_shared_*", "ecommus_colour"]})
    assert code == 0, said
    assert said.count("Check that each variable is one that there is") == 2


def test_an_entry_point_refuses_what_it_does_not_know(play: Playing, tmp_path: Path) -> None:
    playbook = tmp_path / "alone.yml"
    playbook.write_text(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - ansible.builtin.include_role:\n        name: mdlabs.ecommus.install\n"
        "        tasks_from: alone\n      vars: {install_alone: report.yml, install_unless_interrupted: true}\n"
    )
    code, said = play(playbook, {})
    assert code != 0
    assert "value of install_alone must be one of: layout.yml, prune.yml" in said
