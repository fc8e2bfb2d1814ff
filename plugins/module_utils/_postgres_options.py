# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which modules are told where the database is; documented in the fragment ``postgres``."""

from __future__ import annotations

import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv as dotenv
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres import Target

# For AnsibleModule: one of the two says where the database is.
ONE_OF = [("env_file", "database_url")]


def postgres_options() -> dict[str, t.Any]:
    """The argument spec."""
    return {
        "env_file": {"type": "path"},
        "database_url_key": {"type": "str", "default": "DATABASE_URL", "no_log": False},
        "database_url": {"type": "str", "no_log": True},
        "admin_url": {"type": "str", "no_log": True},
        "path_prefix": {"type": "list", "elements": "path", "default": []},
    }


def target_in(env_file: str, key: str) -> Target:
    """The access that the variable *key* of *env_file* holds.

    :raises EcommusError: when the file has no such key.
    """
    url = dotenv.read(env_file).get(key)
    if not url:
        raise EcommusError(f"{env_file} has no {key}", "add it, or name the right key in database_url_key")
    return Target.from_url(url)


def targets_of(parameters: t.Mapping[str, t.Any]) -> tuple[Target, Target]:
    """The shop's own access and the one for creating and renaming databases; they may be the same.

    :raises EcommusError: when the file has no such key.
    """
    url = parameters["database_url"]
    target = Target.from_url(url) if url else target_in(parameters["env_file"], parameters["database_url_key"])
    return target, Target.from_url(parameters["admin_url"]) if parameters["admin_url"] else target
