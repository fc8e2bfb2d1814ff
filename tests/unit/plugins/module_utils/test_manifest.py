# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plugin says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _manifest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._manifest import Manifest


def read(folder: Path, package: Any = None, beside: Any = None) -> Manifest | None:
    for name, content in (("package.json", package), ("ecommus.plugin.json", beside)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    return _manifest.read(str(folder))


WHOLE = {
    "name": "@acme/erp",
    "version": "1.2.0",
    "ecommus": {
        "kind": "plugin",
        "minCoreVersion": "1.4.0",
        "dependencies": ["sms", "@acme/pos"],
        "permissions": ["orders:read"],
    },
}


def test_a_manifest_in_the_package(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE) == Manifest("@acme/erp", "1.2.0", "1.4.0", ("sms", "@acme/pos"), ("orders:read",))


@pytest.mark.parametrize(
    ("package", "beside", "manifest"),
    [
        ({"name": "erp", "ecommus": {"kind": "plugin"}}, None, ("erp", "", "", (), None)),
        ({"ecommus": {"permissions": []}}, None, ("folder", "", "", (), ())),
        ({"version": "1.0.0"}, {"version": "2.0.0", "kind": "plugin"}, ("folder", "1.0.0", "", (), None)),
        (None, {"version": "2.0.0", "minCoreVersion": 2}, ("folder", "2.0.0", "2", (), None)),
        ({"ecommus": {"dependencies": {"sms": "^1"}, "permissions": {"a": 1}}}, None, ("folder", "", "", ("sms",), None)),
        ({"ecommus": {"dependencies": "sms", "permissions": [1]}}, None, ("folder", "", "", (), ("1",))),
        ({"ecommus": {"kind": "plugin"}}, {"version": "2.0.0"}, ("folder", "", "", (), None)),
        ([], {"kind": "plugin"}, ("folder", "", "", (), None)),
    ],
)
def test_a_manifest_that_says_less(tmp_path: Path, package: Any, beside: Any, manifest: tuple[Any, ...]) -> None:
    (tmp_path / "folder").mkdir()
    assert read(tmp_path / "folder", package, beside) == Manifest(*manifest)


@pytest.mark.parametrize(
    ("package", "beside"),
    [
        (None, None),
        ({"name": "x"}, None),
        ({"ecommus": {"kind": "theme"}}, None),
        ({"ecommus": "plugin"}, {"kind": "plugin"}),
        ({"ecommus": {}}, {}),
        (None, ["plugin"]),
        (None, {"kind": "theme"}),
    ],
)
def test_what_is_no_plugin(tmp_path: Path, package: Any, beside: Any) -> None:
    assert read(tmp_path, package, beside) is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    with pytest.raises(EcommusError) as caught:
        _manifest.read(str(tmp_path))
    assert caught.value.message.startswith(f"{tmp_path}/package.json cannot be read: Expecting")
    assert "npm ci" in caught.value.remedy
