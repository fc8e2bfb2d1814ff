# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to ask a release that is not live yet, from what the inventory says about the shop."""

from __future__ import annotations

import typing as t
import urllib.parse

DOCUMENTATION = r"""
name: candidates
short_description: Make candidates from the services of a shop
version_added: 0.1.0
author: MD Labs (@mdlabs)
description:
  - Turns C(ecommus_services) into what M(mdlabs.ecommus.candidate) takes as O(mdlabs.ecommus.candidate#module:services).
  - Each service is asked the path of its C(health_url), with the headers that a proxy adds for that address.
options:
  _input:
    description: The services, as C(ecommus_services) of the role P(mdlabs.ecommus.install#role).
    type: list
    elements: dict
    required: true
  storefront_url:
    description: A route of the API that is asked as well; the API is the first of the services.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Boot the release on side ports
  mdlabs.ecommus.candidate:
    services: "{{ ecommus_services | mdlabs.ecommus.candidates(ecommus_storefront_probe_url) }}"
    directory: /opt/ecommus.d/releases/v1.4.0-1a2b3c4d
    root: "{{ ecommus_root }}"
    ecosystem_file: "{{ ecommus_ecosystem_file }}"
"""

RETURN = r"""
_value:
  description: The services, each with C(name), C(process), C(port) and C(routes).
  type: list
  elements: dict
"""


def candidates(services: t.Sequence[t.Mapping[str, t.Any]], storefront_url: str = "") -> list[dict[str, t.Any]]:
    """The services with their health routes, and the first one with that of *storefront_url*, if given."""
    found = []
    for service in services:
        health = _route(service["health_url"])
        health["expect_json"] = service.get("expect_json") or {}
        health["expect_text"] = service.get("expect_text") or ""
        found.append({**{key: service[key] for key in ("name", "process", "port")}, "routes": [health]})
    if found and storefront_url:
        found[0]["routes"].append(_route(storefront_url))
    return found


def _route(url: str) -> dict[str, t.Any]:
    """What the proxy makes of a request for *url*."""
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    headers = {"Host": parts.netloc, "X-Forwarded-Host": parts.netloc, "X-Forwarded-Proto": parts.scheme, "X-Forwarded-For": "127.0.0.1"}
    return {"path": path, "headers": headers}


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"candidates": candidates}
