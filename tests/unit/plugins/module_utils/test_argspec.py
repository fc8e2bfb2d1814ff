# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _argspec
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


class Ended(Exception):
    """A module ends by leaving the process; here by this."""


class FakeModule:
    def __init__(self, **given: Any) -> None:
        self.given = given

    def fail_json(self, **result: Any) -> None:
        raise Ended({"failed": True, **result})

    def exit_json(self, **result: Any) -> None:
        raise Ended(result)


def ended(monkeypatch: pytest.MonkeyPatch, main: Callable[[Any], dict[str, Any]], **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(_argspec, "AnsibleModule", FakeModule)
    with pytest.raises(Ended) as caught:
        _argspec.run_module(main, {"path": {"type": "path"}}, **options)
    result: dict[str, Any] = caught.value.args[0]
    return result


def raising(error: Exception) -> Callable[[Any], dict[str, Any]]:
    def main(_: object) -> dict[str, Any]:
        raise error

    return main


def on_disk(number: int, *path: str) -> OSError:
    return OSError(number, os.strerror(number), *path)


def test_what_a_module_does_is_what_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, lambda _: {"tag": "v1"}) == {"tag": "v1", "changed": False}
    assert ended(monkeypatch, lambda _: {"changed": True}) == {"changed": True}


def test_check_mode_is_supported_unless_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"argument_spec": {"path": {"type": "path"}}, "supports_check_mode": True, "changed": False}
    assert ended(monkeypatch, lambda module: dict(module.given)) == given
    options: dict[str, Any] = {"supports_check_mode": False, "required_together": [("a", "b")]}
    assert ended(monkeypatch, lambda module: dict(module.given), **options) == {**given, **options}


def test_an_error_is_told_with_its_remedy_and_its_details(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, raising(EcommusError("it broke", "mend it", log="x"))) == {
        "failed": True,
        "msg": "it broke. Remedy: mend it",
        "remedy": "mend it",
        "log": "x",
    }


@pytest.mark.parametrize(
    ("number", "problem", "remedy"),
    [
        (errno.ENOSPC, "No space left on device", "free space"),
        (errno.EDQUOT, "Disk quota exceeded", "raise the quota"),
        (errno.EROFS, "Read-only file system", "look in the kernel's log"),
    ],
)
def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, number: int, problem: str, remedy: str) -> None:
    result = ended(monkeypatch, raising(on_disk(number, "/srv/state/journal.json")))
    assert result["remedy"].startswith(remedy)
    told = f"{problem}: /srv/state/journal.json. Remedy: {result['remedy']}"
    assert result == {"failed": True, "msg": told, "remedy": result["remedy"]}


def test_a_full_disk_is_told_also_when_the_file_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, raising(on_disk(errno.ENOSPC)))["msg"].startswith("No space left on device: a file could not be written.")


def test_what_is_not_the_disk_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IsADirectoryError):
        ended(monkeypatch, raising(on_disk(errno.EISDIR, "/srv")))
