# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a plugin: the ``ecommus`` block of its package.json, or an ``ecommus.plugin.json`` beside it."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A plugin by its own words. ``permissions`` is None where it declares none at all."""

    name: str
    version: str
    min_core_version: str
    dependencies: tuple[str, ...]
    permissions: tuple[str, ...] | None


def read(folder: str) -> Manifest | None:
    """The manifest in *folder*, or None when that is no plugin: only a block of kind ``plugin`` makes one.

    :raises EcommusError: when a file is there and is not JSON.
    """
    package = _json(os.path.join(folder, "package.json"))
    block = package.get("ecommus") or _json(os.path.join(folder, "ecommus.plugin.json"))
    if not isinstance(block, dict) or block.get("kind", "plugin" if block else "") != "plugin":
        return None
    permissions, dependencies = block.get("permissions"), block.get("dependencies")
    return Manifest(
        name=str(package.get("name") or os.path.basename(folder)),
        version=str(package.get("version") or block.get("version") or ""),
        min_core_version=str(block.get("minCoreVersion") or ""),
        # A list of names, or as in package.json names with their ranges.
        dependencies=tuple(str(name) for name in dependencies) if isinstance(dependencies, (list, dict)) else (),
        permissions=tuple(str(one) for one in permissions) if isinstance(permissions, list) else None,
    )


def _json(path: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EcommusError(f"{path} cannot be read: {error}", "run npm ci again") from None
    return content if isinstance(content, dict) else {}
