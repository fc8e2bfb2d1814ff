# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _argspec


class Ended(Exception):
    """A module ends by leaving the process; here by this."""


class FakeModule:
    def __init__(self, **_: Any) -> None:
        pass

    def fail_json(self, **result: Any) -> None:
        raise Ended(result)


def ended(monkeypatch: pytest.MonkeyPatch, number: int) -> dict[str, Any]:
    def main(_: object) -> dict[str, Any]:
        raise OSError(number, os.strerror(number), "/srv/state/journal.json")

    monkeypatch.setattr(_argspec, "AnsibleModule", FakeModule)
    with pytest.raises(Ended) as caught:
        _argspec.run_module(main, {})
    result: dict[str, Any] = caught.value.args[0]
    return result


def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    result = ended(monkeypatch, errno.ENOSPC)
    assert result["msg"].startswith("No space left on device: /srv/state/journal.json. Remedy: free space")
    assert result["remedy"].startswith("free space")


def test_what_is_not_the_disk_stays_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(IsADirectoryError):
        ended(monkeypatch, errno.EISDIR)
