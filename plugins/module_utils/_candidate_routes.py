# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a process on this host as its proxy would send them, with the standard library alone."""

from __future__ import annotations

import dataclasses
import http.client
import socket
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation, judge
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import MAX_BODY_BYTES, Answer

_TIMEOUT = 10.0  # seconds for one whole answer of a process that nobody else asks


@dataclasses.dataclass(frozen=True)
class Route:
    """One question and the answer that is good."""

    path: str
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    expected: Expectation = dataclasses.field(default_factory=Expectation)


def ask(host: str, port: int, route: Route, secrets: t.Sequence[str]) -> tuple[Answer | None, str]:
    """GET *route* once; the answer, and what is wrong with it (empty: nothing)."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", route.path, headers={"User-Agent": "mdlabs.ecommus", "Connection": "close", **route.headers})
        response = connection.getresponse()
        body = b""
        while chunk := response.read1(65536):
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
            if time.monotonic() - begin > _TIMEOUT:
                return None, f"its answer does not end within {_TIMEOUT:g} s"
    except socket.timeout:  # TimeoutError only since Python 3.10
        return None, f"no answer within {_TIMEOUT:g} s"
    except (OSError, http.client.HTTPException) as error:
        return None, f"no answer ({error or type(error).__name__})"
    finally:
        connection.close()
    latency = round((time.monotonic() - begin) * 1000, 1)
    answer = Answer(response.status, dict(response.headers), body[:MAX_BODY_BYTES], len(body) > MAX_BODY_BYTES, latency, "")
    return answer, judge(answer, route.expected, secrets)
