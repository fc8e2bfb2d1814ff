# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _pgtools
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pgtools import Tools, find_tools, newest_tools


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without PostgreSQL."""
    monkeypatch.setenv("PATH", "/none")
    monkeypatch.setattr(_pgtools, "_PACKAGES", ("/none/*/bin",))


def programs(directory: Path, says: str, names: tuple[str, ...] = ("pg_dump", "pg_restore")) -> str:
    directory.mkdir()
    for name in names:
        (directory / name).write_text(f'#!/bin/sh\n[ "$*" = --version ] && {says}\n')
        (directory / name).chmod(0o755)
    return str(directory)


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("echo 'pg_dump (PostgreSQL) 17.11 (Debian 17.11-1)'", (17, 11)),
        ("echo 'pg_dump (PostgreSQL) 18beta1'", (18, 1)),
        ("echo 'pg_dump (PostgreSQL) 19devel'", (19, 0)),
    ],
)
def test_programs_are_what_they_say(tmp_path: Path, says: str, version: tuple[int, int]) -> None:
    directory = programs(tmp_path / "pg", says)
    tools = newest_tools(directory)
    assert tools == Tools(directory, version)
    assert (tools.dump, tools.restore) == (f"{directory}/pg_dump", f"{directory}/pg_restore")
    assert str(tools) == f"{version[0]}.{version[1]}"


def test_what_does_not_answer_or_is_half_there_is_passed_over(tmp_path: Path) -> None:
    echo = "echo 17.1"
    broken = [programs(tmp_path / "fails", f"{echo}; exit 1"), programs(tmp_path / "mute", "true")]
    half = [programs(tmp_path / "dump", echo, ("pg_dump",)), programs(tmp_path / "restore", echo, ("pg_restore",))]
    with pytest.raises(EcommusError) as caught:
        newest_tools(path_prefix=[*broken, *half, ""])
    assert caught.value.message == "pg_restore is not on this host"
    assert "bin_dir" in caught.value.remedy
    with pytest.raises(EcommusError) as caught:
        find_tools(17, path_prefix=[*broken, *half])
    assert caught.value.message == "no pg_dump and pg_restore fit the PostgreSQL 17 server; found: none"
    assert "postgresql-client-17" in caught.value.remedy


def test_every_place_is_looked_at_once(tmp_path: Path) -> None:
    old, new = programs(tmp_path / "old", "echo 15.2"), programs(tmp_path / "new", "echo 16.9")
    (tmp_path / "same").mkdir()
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / "same" / name).symlink_to(f"{old}/{name}")
    places = [old, str(tmp_path / "same"), new]
    assert newest_tools(path_prefix=places) == Tools(new, (16, 9))
    assert find_tools(14, path_prefix=places) == Tools(old, (15, 2))
    assert newest_tools(old, path_prefix=places) == Tools(old, (15, 2))
    with pytest.raises(EcommusError) as caught:
        find_tools(17, path_prefix=places)
    assert caught.value.message.endswith(f"; found: 15.2 in {old}, 16.9 in {new}")


def test_the_wrapper_that_picks_a_version_by_itself_is_passed_over(tmp_path: Path) -> None:
    directory = programs(tmp_path / "debian", "echo 17.1", ("pg_wrapper",))
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / "debian" / name).symlink_to("pg_wrapper")
    with pytest.raises(EcommusError, match="not on this host"):
        newest_tools(directory)


@pytest.mark.parametrize(
    ("major", "server", "fits"),
    [(17, 17, True), (16, 14, True), (14, 16, False), (17, 16, False), (18, 16, False), (18, 17, True), (16, 17, False)],
)
def test_which_programs_fit_which_server(major: int, server: int, fits: bool) -> None:
    assert Tools("/x", (major, 3)).fits(server) is fits


def test_without_nice_and_ionice_a_program_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _pgtools.gently(["pg_dump", "-x"]) == ["pg_dump", "-x"]
    for name, code in (("nice", 0), ("ionice", 1)):
        (tmp_path / name).write_text(f'#!/bin/sh\n[ "$*" = "-c 3 true" ] && exit {code}\n')
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _pgtools.gently(["pg_dump", "-x"]) == ["nice", "-n", "19", "pg_dump", "-x"]
    (tmp_path / "ionice").write_text('#!/bin/sh\n[ "$*" = "-c 3 true" ]\n')
    assert _pgtools.gently(["pg_dump", "-x"]) == ["nice", "-n", "19", "ionice", "-c", "3", "pg_dump", "-x"]
