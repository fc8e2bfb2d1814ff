"""The hook of the maintenance window: a real program that keeps its state in a file, and a real little server."""

from __future__ import annotations

import http.server
import json
import threading
import typing as t
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.modules import maintenance

Call = t.Callable[..., tuple[dict[str, t.Any], str]]
SECRET = "Bearer s3cret-of-the-hook"
PROGRAM = """#!/bin/sh
echo "$1" >> {log}
case "$1" in read) cat {state};; *) [ -e {broken} ] && {{ echo "cannot reach the shop" >&2; exit 3; }}; echo "$1" > {state};; esac
"""


@pytest.fixture
def program(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "hook"
    file.write_text(PROGRAM.format(log=tmp_path / "log", state=tmp_path / "state", broken=tmp_path / "broken"))
    file.chmod(0o755)
    (tmp_path / "state").write_text("closed\n")
    return {"command": [str(file), "{state}"]}


class Server(http.server.BaseHTTPRequestHandler):
    open = False

    def do_GET(self) -> None:
        self._answer(200, {"window": {"active": Server.open}})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != SECRET:
            self._answer(401, {"error": f"{self.headers['Authorization']} is unknown"})
            return
        Server.open = body["active"]
        self._answer(200, {})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Server.open = False
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/window"
    server.shutdown()
    server.server_close()


def over_http(url: str, secret: str = SECRET) -> dict[str, Any]:
    def put(active: bool) -> dict[str, Any]:
        return {"url": url, "method": "PUT", "headers": {"Authorization": secret}, "body": {"active": active}}

    return {"open": put(True), "closed": put(False), "read": {"url": url, "open_when": {"window": {"active": True}}}}


def test_a_program_opens_and_closes_and_is_not_asked_twice(call: Call, program: dict[str, Any], tmp_path: Path) -> None:
    result, _said = call(maintenance, state="open", _ansible_check_mode=True, **program)
    assert (result["changed"], (tmp_path / "state").read_text()) == (True, "closed\n")
    result, _said = call(maintenance, state="open", **program)
    assert (result["changed"], result["before"], result["window"]) == (True, "closed", "open")
    result, _said = call(maintenance, state="open", **program)
    assert (result["changed"], result["before"]) == (False, "open")
    assert call(maintenance, state="closed", **program)[0]["changed"]
    assert (tmp_path / "log").read_text().split() == ["read", "read", "open", "read", "read", "read", "closed", "read"]


def test_a_program_that_fails_is_quoted_with_the_remedy(call: Call, program: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    result, _said = call(maintenance, state="open", **program)
    assert result["failed"]
    assert "ended with 3: cannot reach the shop" in result["msg"]
    assert "by hand in the super-admin" in result["remedy"]


def test_over_http_there_and_back(call: Call, url: str) -> None:
    result, said = call(maintenance, state="open", **over_http(url))
    assert (result["changed"], result["before"], result["window"], Server.open) == (True, "closed", "open", True)
    assert SECRET not in said
    assert not call(maintenance, state="open", **over_http(url))[0]["changed"]
    assert call(maintenance, state="closed", **over_http(url))[0]["changed"]
    assert not Server.open


def test_a_refusal_is_told_without_the_secret(call: Call, url: str) -> None:
    result, said = call(maintenance, state="open", **over_http(url, "Bearer wrong-but-secret"))
    assert "(open) was answered 401" in result["msg"]
    assert "wrong-but-secret" not in said


def test_half_a_hook_is_refused(call: Call, url: str) -> None:
    result, _said = call(maintenance, state="open", open={"url": url})
    assert "give command, or both open and closed" in result["msg"]
