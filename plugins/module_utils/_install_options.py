# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which modules are told where an install lies; documented in the fragment ``install``."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._layout import Paths


def install_options() -> dict[str, t.Any]:
    """The argument spec."""
    return {
        "root": {"type": "path", "required": True},
        "base": {"type": "path"},
        "path_prefix": {"type": "list", "elements": "path", "default": []},
    }


def paths_of(parameters: t.Mapping[str, t.Any]) -> Paths:
    """The places that the options name, without a trailing slash."""
    root = os.path.normpath(parameters["root"])
    return Paths(root, os.path.normpath(parameters["base"] or f"{root}.d"))
