# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a release is the one that it says it is: the version in its packages against its tag."""

from __future__ import annotations

import json
import os

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _git, _version
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

PACKAGE = "packages/core/package.json"


def check(directory: str, version: str, from_version: str = "") -> None:
    """See that the packages in *directory* have the version of the tag *version*; nothing is looked at when that is empty.

    The vendor does not promise that the two go together. So they are only compared where they did for *from_version*, if given.

    :raises EcommusError: when they differ.
    """
    if not version:
        return
    try:
        with open(os.path.join(directory, PACKAGE), encoding="utf-8") as file:
            found = _tag(file.read())
    except FileNotFoundError:
        found = ""
    if found == version:
        return
    if from_version and _tag(_git.file_at(directory, f"refs/tags/{from_version}", PACKAGE) or "") != from_version:
        return
    raise EcommusError(
        f"the release in {directory} should be {version} and says in {PACKAGE} that it is {found or 'of no version'}",
        "nothing live was touched; ask the vendor whether the tag is what it should be",
        reason="identity",
    )


def _tag(text: str) -> str:
    """The tag that belongs to the version in the package.json *text*; empty where there is none."""
    try:
        return str(_version.from_package(str(json.loads(text)["version"])))
    except (ValueError, KeyError, TypeError, EcommusError):
        return ""
