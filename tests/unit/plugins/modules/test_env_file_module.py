# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.modules import env_file

Call = t.Callable[..., tuple[dict[str, t.Any], str]]
SECRET = "s3cret-of-the-checkout"


@pytest.fixture
def env(tmp_path: Path) -> Path:
    path = tmp_path / "production" / ".env"
    path.parent.mkdir()
    path.write_text("A=1\nNODE_ENV=x\n")
    return path


def test_present_check_diff_and_restored(call: Call, env: Path) -> None:
    values = {"SECRET": SECRET, "NODE_ENV": "production", "FLAG": True, "NUMBER": 1}
    predicted, _ = call(env_file, path=str(env), values=values, _ansible_check_mode=True, _ansible_diff=True)
    assert env.read_text() == "A=1\nNODE_ENV=x\n"
    done, printed = call(env_file, path=str(env), values=values, _ansible_diff=True)
    assert done["changed"] is True
    assert (done["added"], done["updated"]) == (["SECRET", "FLAG", "NUMBER"], ["NODE_ENV"])
    assert {key: done[key] for key in ("changed", "added", "updated", "diff")} == {
        key: predicted[key] for key in ("changed", "added", "updated", "diff")
    }
    assert done["diff"]["after"] == "A\nNODE_ENV (new value)\nSECRET\nFLAG\nNUMBER\n"
    assert done["backup"].startswith(str(env)), "not garbled by hiding the value 'production'"
    assert SECRET not in printed
    assert env.read_text() == f"A=1\nNODE_ENV=production\nSECRET={SECRET}\nFLAG=true\nNUMBER=1\n"
    assert call(env_file, path=str(env), values=values)[0]["changed"] is False
    described, printed = call(env_file, path=str(env), state="described")
    assert described["names"] == ["A", "NODE_ENV", "SECRET", "FLAG", "NUMBER"]
    assert SECRET not in printed
    assert call(env_file, path=str(env), state="restored", backup=done["backup"])[0]["changed"] is True
    assert env.read_text() == "A=1\nNODE_ENV=x\n"


def test_an_error_does_not_tell_the_value(call: Call, env: Path) -> None:
    result, printed = call(env_file, path=str(env), values={"A": SECRET + "\r"})
    assert result["failed"]
    assert "carriage return" in result["msg"]
    assert result["remedy"]
    assert SECRET not in printed


def test_a_value_that_is_no_text(call: Call, env: Path) -> None:
    assert "the value of A is not text" in call(env_file, path=str(env), values={"A": ["x"]})[0]["msg"]


def test_a_missing_file(call: Call, tmp_path: Path) -> None:
    assert "does not exist" in call(env_file, path=str(tmp_path / "none"), values={"A": "x"})[0]["msg"]
