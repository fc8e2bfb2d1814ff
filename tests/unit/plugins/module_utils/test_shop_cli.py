# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the shop's own programs are run, and what is made of their end; node is a shell here."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._shop_cli import LIST_PLUGINS, list_plugins, run_script

URL = "postgresql://shop:geheim@h/d"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A release whose programs are shell scripts."""
    node = tmp_path / "bin/node"
    node.parent.mkdir()
    node.write_text('#!/bin/sh\n[ "$1" = --experimental-strip-types ] && exec sh "$2"\n')
    node.chmod(0o755)
    (tmp_path / LIST_PLUGINS).parent.mkdir(parents=True)
    return tmp_path


def program(shop: Path, text: str) -> None:
    (shop / LIST_PLUGINS).write_text(text)


def run(shop: Path, variables: dict[str, str], **given: str) -> Result:
    given = {"database_url": "", **given}
    return run_script(str(shop), LIST_PLUGINS, variables=variables, path_prefix=[str(shop / "bin")], timeout=60, **given)


def listed(shop: Path, variables: dict[str, str] | None = None, **given: str) -> str:
    return list_plugins(str(shop), variables=variables or {}, path_prefix=[str(shop / "bin")], **given)


def test_a_program_runs_in_the_release_and_knows_which_database(shop: Path) -> None:
    program(shop, 'echo "$PWD $PGAPPNAME ${DATABASE_URL-none} ${DB-none} $*"; echo err >&2; exit 4')
    found = run(shop, {})
    argv = ("node", "--experimental-strip-types", LIST_PLUGINS)
    assert found == Result(argv, 4, f"{shop} ecommus-upgrade none none \n", "err\n")
    told = run(shop, {}, database_url="postgresql://h/d", database_url_key="DB", application="test")
    assert told.output == f"{shop} test none postgresql://h/d \n"
    assert run(shop, {}, database_url="postgresql://h/d").output == f"{shop} ecommus-upgrade postgresql://h/d none \n"


def test_a_program_does_not_tell_secrets(shop: Path) -> None:
    program(shop, 'echo "$DATABASE_URL geheim signs-tokens"')
    assert run(shop, {"JWT_SECRET": "signs-tokens"}, database_url=URL).output == "*** *** ***\n"


@pytest.mark.parametrize(
    ("text", "says", "remedy", "log"),
    [
        ("echo 'node: bad option: --experimental-strip-types' >&2; exit 9", "too old to run TypeScript", "Node 22.6", None),
        ("echo 'Error [ERR_MODULE_NOT_FOUND]: x' >&2; exit 1", "does not find its modules", "npm ci", "Error [ERR_MODULE_NOT_FOUND]: x"),
        (None, f"has no {LIST_PLUGINS}", "check root", None),
    ],
)
def test_a_program_that_could_not_run_is_told_with_its_remedy(
    shop: Path, text: str | None, says: str, remedy: str, log: str | None
) -> None:
    if text is not None:
        program(shop, text)
    with pytest.raises(EcommusError) as caught:
        run(shop, {})
    assert caught.value.message in (f"{LIST_PLUGINS} {says}", f"node on this host is {says}", f"{shop} {says}")
    assert remedy in caught.value.remedy
    assert caught.value.details == ({} if log is None else {"log": log})


@pytest.mark.parametrize("text", ["echo experimental-strip-types >&2; exit 1", "echo other >&2; exit 9", "echo ERR_MODULE_NOT_FOUND >&2"])
def test_any_other_end_is_the_callers_to_judge(shop: Path, text: str) -> None:
    program(shop, text)
    assert run(shop, {}).error


def test_plugins_are_listed_from_the_database_of_the_shop(shop: Path) -> None:
    program(shop, 'echo "${DATABASE_URL-none} ${DB-none}"')
    urls = {"DATABASE_URL": "postgresql://h/of-the-file", "DB": "postgresql://h/other"}
    assert listed(shop) == "none none\n"
    assert listed(shop, urls) == "postgresql://h/of-the-file none\n"
    assert listed(shop, urls, database_url="postgresql://h/given") == "postgresql://h/given none\n"
    assert listed(shop, urls, database_url_key="DB") == "none postgresql://h/other\n"


@pytest.mark.parametrize(
    ("text", "says", "log"), [("echo boom; exit 3", "failed with exit code 3", "boom"), ("echo", "printed nothing", "")]
)
def test_a_list_that_is_none_is_an_error(shop: Path, text: str, says: str, log: str) -> None:
    program(shop, text)
    with pytest.raises(EcommusError) as caught:
        listed(shop)
    assert caught.value.message == f"{LIST_PLUGINS} {says}"
    assert "by hand" in caught.value.remedy
    assert caught.value.details == {"log": log}
