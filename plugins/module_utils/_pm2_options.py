# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which modules are told where pm2 is; documented in the fragment ``pm2``."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2


def pm2_options() -> dict[str, t.Any]:
    """The argument spec."""
    return {
        "pm2_home": {"type": "path", "default": "~/.pm2"},
        "path_prefix": {"type": "list", "elements": "path", "default": []},
    }


def pm2_of(parameters: t.Mapping[str, t.Any]) -> Pm2:
    """The daemon that the options name."""
    secrets_file = parameters.get("secrets_file") or parameters.get("env_file")
    return Pm2(os.path.abspath(parameters["pm2_home"]), tuple(parameters["path_prefix"]), secrets_file)
