# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to ask a shop, from what the inventory says about it."""

from __future__ import annotations

import typing as t

DOCUMENTATION = r"""
name: probes
short_description: Make health probes from the services of a shop
version_added: 0.1.0
author: MD Labs (@mdlabs)
description:
  - Turns C(ecommus_services) into what M(mdlabs.ecommus.health_check) and M(mdlabs.ecommus.uptime_prober) take.
options:
  _input:
    description: The services, as C(ecommus_services) of the role P(mdlabs.ecommus.install#role).
    type: list
    elements: dict
    required: true
  resolve:
    description: Address to connect to instead of asking the DNS.
    type: str
    default: ""
  ca_path:
    description: CA bundle.
    type: str
    default: ""
  storefront_url:
    description: A storefront route to ask as well.
    type: str
    default: ""
  admin:
    description: An admin route to ask as well, as C(ecommus_admin_probe).
    type: dict
    default: {}
  identify:
    description: Whether to say how an answer tells its release, where a service says so; only M(mdlabs.ecommus.uptime_prober) asks that.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Ask the services
  mdlabs.ecommus.health_check:
    probes: "{{ ecommus_services | mdlabs.ecommus.probes }}"
"""

RETURN = r"""
_value:
  description: The probes.
  type: list
  elements: dict
"""


_IDENTITY = ("identity_header", "identity_regex")


def probes(
    services: t.Sequence[t.Mapping[str, t.Any]],
    resolve: str = "",
    ca_path: str = "",
    storefront_url: str = "",
    admin: t.Mapping[str, t.Any] | None = None,
    identify: bool = False,
) -> list[dict[str, t.Any]]:
    """One probe for each service, then those of the two routes where they are given."""
    found = [
        {
            "name": service["name"],
            "url": service["health_url"],
            "expect_json": service.get("expect_json") or {},
            "expect_text": service.get("expect_text") or "",
            **({key: service[key] for key in _IDENTITY if service.get(key)} if identify else {}),
        }
        for service in services
    ]
    if storefront_url:
        found.append({"name": "storefront route", "url": storefront_url})
    if admin:
        account = {key: value for key, value in admin.items() if key != "url"}
        found.append({"name": "admin route", "url": admin["url"], "bearer": account})
    common = {"resolve": resolve, **({"ca_path": ca_path} if ca_path else {})}
    return [{**probe, **common} for probe in found]


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"probes": probes}
