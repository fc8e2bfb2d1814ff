# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question to a candidate that nobody else asks, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _candidate_routes
from ansible_collections.mdlabs.ecommus.plugins.module_utils._candidate_routes import Route, ask
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import MAX_BODY_BYTES, Answer
from http_lab import raw_server, serve, unused_port


def asked(address: str, route: Route) -> tuple[Answer | None, str]:
    host, _colon, port = address.partition(":")
    return ask(host, int(port), route, ["s3cret"])


def test_a_good_answer_comes_back_whole() -> None:
    with serve(lambda _request: (201, {"ok": True}, {"X-Release": "v1.4.0"})) as server:
        route = Route("/health?x=1", {"X-Tenant": "t", "User-Agent": "mine"}, Expectation((201,), {"ok": True}))
        answer, problem = asked(server.address, route)
    assert answer is not None and problem == ""
    assert (answer.status, json.loads(answer.body), answer.headers["X-Release"], answer.truncated) == (201, {"ok": True}, "v1.4.0", False)
    assert (answer.certificate_expires, answer.latency_ms >= 0) == ("", True)
    (request,) = server.asked
    assert (request.method, request.path) == ("GET", "/health?x=1")
    assert {name: request.headers.get(name) for name in ("X-Tenant", "User-Agent", "Connection")} == {
        "X-Tenant": "t",
        "User-Agent": "mine",
        "Connection": "close",
    }


def test_a_bad_answer_is_told_without_a_secret() -> None:
    with serve(lambda _request: (500, "no s3cret")) as server:
        answer, problem = asked(server.address, Route("/"))
    assert server.asked[0].headers["User-Agent"] == "mdlabs.ecommus"
    assert answer is not None
    assert (answer.status, problem) == (500, 'status 500 instead of 200, body "no ***"')


@pytest.mark.parametrize(("size", "truncated"), [(MAX_BODY_BYTES, False), (MAX_BODY_BYTES + 1, True)])
def test_a_body_is_read_up_to_a_limit(size: int, truncated: bool) -> None:
    with serve(lambda _request: "x" * size) as server:
        answer, _problem = asked(server.address, Route("/"))
    assert answer is not None
    assert (len(answer.body), answer.truncated) == (MAX_BODY_BYTES, truncated)


def test_no_answer_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(f"127.0.0.1:{unused_port()}", Route("/")) == (None, "no answer ([Errno 111] Connection refused)")

    def hang_up(connection: Any) -> None:
        connection.recv(4096)


    def wait(connection: Any) -> None:
        while connection.recv(4096):
            pass

    with raw_server(hang_up) as address:
        assert asked(address, Route("/")) == (None, "no answer (Remote end closed connection without response)")
    monkeypatch.setattr(_candidate_routes, "_TIMEOUT", 0.2)
    with raw_server(wait) as address:
        assert asked(address, Route("/")) == (None, "no answer within 0.2 s")
