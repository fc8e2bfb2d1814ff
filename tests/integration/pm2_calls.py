# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the tests of pm2_control call it, and the shop that most of them call it for."""

from __future__ import annotations

import json
import os
from typing import Any

import documented
import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_control import control
from pm2_shop import Shop


def some(first: Any, *others: Any) -> list[Any]:
    """Parameters of which only the *first* is tried by default."""
    return [first, *(pytest.param(*(o if isinstance(o, tuple) else (o,)), marks=pytest.mark.exhaustive) for o in others)]


PORT = 21400 + os.getpid() % 80 * 10  # two runs on one host must not meet


def ask(shop: Shop, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    """What the module does, without its process; what it would return is compared with its documentation, also when it fails."""
    try:
        result = control(shop.params(**options), check_mode=check_mode)
    except EcommusError as error:
        told = {**error.details, "failed": True, "msg": str(error), "remedy": error.remedy}
        documented.check("pm2_control", json.loads(json.dumps(told)))
        raise
    documented.check("pm2_control", json.loads(json.dumps(result)))
    return result


def replace(shop: Shop, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    return ask(
        shop,
        check_mode,
        **{
            "state": "replaced",
            "name": ["api"],
            "ecosystem_file": str(shop.ecosystem),
            "expect_path": str(shop.current),
            "health_urls": {"api": [f"http://127.0.0.1:{PORT}/"]},
            **options,
        },
    )


def api(shop: Shop, instances: int | None = 2, mode: str = "cluster", **more: Any) -> Shop:
    shop.define("api", mode, PORT, instances, **more)
    shop.start("api")
    return shop


def online(shop: Shop, name: str) -> list[int]:
    return [p["pid"] for p in ask(shop)["processes"] if p["name"] == name and p["status"] == "online"]
