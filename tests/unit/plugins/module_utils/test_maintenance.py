# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook of the maintenance window, as a program and over HTTP; test_maintenance_module.py has the module around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._maintenance import Request, Window
from http_lab import Authority, serve, unused_port

HEADERS = {"Authorization": "Bearer s3cret-of-the-hook"}


def program(directory: Path, says: str) -> Window:
    """A hook that notes how it is called."""
    file = directory / "hook"
    file.write_text(f'#!/bin/sh\necho "$*" >> {directory}/asked\n{says}\n')
    file.chmod(0o755)
    return Window((str(file), "--to={state}", "x"), timeout=60)


@pytest.mark.parametrize(
    ("says", "found"),
    [("echo open", "open"), ("echo Closed now", "closed"), ("echo odd open", "unknown"), ("true", "unknown"), ("echo unknown", "unknown")],
)
def test_a_program_tells_by_its_first_word(tmp_path: Path, says: str, found: str) -> None:
    assert program(tmp_path, says).read() == found
    assert (tmp_path / "asked").read_text() == "--to=read x\n"


@pytest.mark.parametrize("says", ["echo open", "true"])
def test_a_program_that_turns_it_is_asked_whether_it_is_so(tmp_path: Path, says: str) -> None:
    program(tmp_path, says).turn("open")
    assert (tmp_path / "asked").read_text() == "--to=open x\n--to=read x\n"


def test_a_window_that_is_not_as_its_hook_has_made_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EcommusError) as caught:
        program(tmp_path, "echo open").turn("closed")
    assert caught.value.message == "the maintenance window is open although its hook has made it closed"
    assert "by hand in the super-admin" in caught.value.remedy


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EcommusError) as caught:
        program(tmp_path, "seq 5 >&2; exit 3").read()
    assert caught.value.message == f"the hook of the maintenance window ({tmp_path}/hook, read) ended with 3: 3\n4\n5"
    assert "ecommus_maintenance" in caught.value.remedy


class Shop:
    """A shop whose window is opened and closed over HTTP."""

    def __init__(self) -> None:
        self.open = False
        self.status = 204

    def __call__(self, request: Any) -> Any:
        if request.method == "GET":
            return {"window": {"active": self.open}}
        self.open = request.body["active"]
        return self.status, f"{request.headers['Authorization']} is unknown" if self.status == 401 else ""


def over_http(url: str, **given: str) -> Window:
    turns = {state: Request(url, "PUT", HEADERS, {"active": state == "open"}) for state in ("open", "closed")}
    return Window(requests={**turns, "read": Request(url, "GET", open_when={"window.active": True})}, **given)


def test_over_http_it_is_turned_and_read(authority: Authority) -> None:
    with serve(Shop(), authority.issue("shop.example")) as server:
        window = over_http("https://shop.example/window", resolve=server.address, ca_path=str(authority.path))
        assert window.read() == "closed"
        window.turn("open")
        assert window.read() == "open"
        window.turn("closed")
    turned = [(request.method, request.headers["Authorization"], request.body) for request in server.asked if request.body]
    assert turned == [("PUT", HEADERS["Authorization"], {"active": active}) for active in (True, False)]


def test_without_a_way_to_read_it_nothing_is_known() -> None:
    with serve(Shop()) as server:
        window = Window(requests={"open": Request(f"http://{server.address}/", body={"active": True}, headers=HEADERS)})
        window.turn("open")
        assert window.read() == "unknown"
    assert [request.method for request in server.asked] == ["POST"]


@pytest.mark.parametrize(("status", "good"), [(200, True), (299, True), (301, False), (401, False)])
def test_only_a_success_counts_and_a_refusal_is_told_without_the_secret(status: int, good: bool) -> None:
    shop = Shop()
    shop.status = status
    with serve(shop) as server:
        window = over_http(f"http://{server.address}/")
        if good:
            window.turn("open")
            return
        with pytest.raises(EcommusError) as caught:
            window.turn("open")
    said = '"*** is unknown"' if status == 401 else "empty"
    assert caught.value.message == f"the hook of the maintenance window (open) was answered {status}: {said}"
    assert "ecommus_maintenance" in caught.value.remedy


def test_a_hook_that_is_not_reached_is_told() -> None:
    port = unused_port()
    with pytest.raises(EcommusError) as caught:
        over_http(f"http://127.0.0.1:{port}/").read()
    assert caught.value.message == f"the hook of the maintenance window (read): connection refused at 127.0.0.1:{port}"
    assert "by hand" in caught.value.remedy
