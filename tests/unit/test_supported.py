# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What other files repeat of tests/matrix/supported.toml and of galaxy.yml is what these say."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomllib
import yaml

REPO = Path(__file__).resolve().parents[2]
SUPPORTED = tomllib.loads((REPO / "tests/matrix/supported.toml").read_text())
CORES: dict[str, list[str]] = SUPPORTED["ansible_core"]
OLDEST, NEWEST = min(CORES, key=lambda core: int(core.split(".")[1])), max(CORES, key=lambda core: int(core.split(".")[1]))
REQUIREMENT = f"ansible-core>={OLDEST},<2.{int(NEWEST.split('.')[1]) + 1}"


def read(path: str) -> str:
    return (REPO / path).read_text()


def test_the_collection_and_its_roles_ask_for_the_oldest_release() -> None:
    assert yaml.safe_load(read("meta/runtime.yml"))["requires_ansible"] == f">={OLDEST}.0"
    for path in REPO.glob("roles/*/meta/main.yml"):
        assert yaml.safe_load(path.read_text())["galaxy_info"]["min_ansible_version"] == OLDEST, path


@pytest.mark.parametrize("path", ["requirements/controller.txt", "requirements/importer.txt"])
def test_environments_take_supported_releases_only(path: str) -> None:
    assert REQUIREMENT in read(path).splitlines()


def test_the_execution_environment_takes_supported_releases_and_the_version_of_the_collection() -> None:
    dependencies = yaml.safe_load(read("execution-environment.yml"))["dependencies"]
    assert dependencies["ansible_core"]["package_pip"] == REQUIREMENT
    version = yaml.safe_load(read("galaxy.yml"))["version"]
    assert [entry["name"] for entry in dependencies["galaxy"]["collections"]] == [f"artifact/mdlabs-ecommus-{version}.tar.gz"]


def test_ansible_lint_knows_every_release() -> None:
    assert yaml.safe_load(read(".ansible-lint"))["supported_ansible_also"] == [f"{core}." for core in CORES]


def test_the_documentation_says_the_same() -> None:
    oldest = SUPPORTED["hosts"]["oldest_python"]
    assert f"ansible-core {OLDEST} to {NEWEST}; hosts with Python {oldest} or newer" in read("README.md")
    requirements = read("docs/requirements.md")
    assert f"| Python {oldest} or newer " in requirements
    assert f"ansible-core {OLDEST} to {NEWEST}" in requirements
    for core, pythons in CORES.items():
        assert f"  | {core} | {', '.join(pythons)} |" in requirements


def test_ansible_test_checks_with_the_oldest_python_of_hosts() -> None:
    assert yaml.safe_load(read("tests/config.yml"))["modules"]["python_requires"] == f">={SUPPORTED['hosts']['oldest_python']}"
