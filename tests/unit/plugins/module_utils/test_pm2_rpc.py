# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the daemon and its answers, as pm2-axon and pm2-axon-rpc frame them; the daemon is a socket here."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _pm2_rpc


@contextmanager
def daemon(directory: Path, *parts: bytes, asked: list[object] | None = None) -> Iterator[str]:
    """A socket that reads the question, adds it to *asked*, and answers with *parts*."""
    path = str(directory / "rpc.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()

        def answer() -> None:
            connection, _peer = server.accept()
            with connection:
                question = _pm2_rpc._receive(connection)
                if asked is not None:
                    asked.append(question)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield path
        finally:
            thread.join(10)


def framed(*arguments: bytes) -> bytes:
    return bytes([1 << 4 | len(arguments)]) + b"".join(struct.pack(">I", len(data)) + data for data in arguments)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ([{"args": [["table"]]}, "1:0"], ["table"]),
        ([{"args": []}, "1:0"], None),
        ([{}, "1:0"], None),
        (["odd", "1:0"], None),
        ([], None),
        ([{"error": "no such id"}, "1:0"], _pm2_rpc.RpcError),
    ],
)
def test_a_question_to_the_daemon_and_its_answer(tmp_path: Path, reply: list[Any], answer: object) -> None:
    asked: list[object] = []
    with daemon(tmp_path, _pm2_rpc._encode(reply), asked=asked) as path:
        if answer is _pm2_rpc.RpcError:
            with pytest.raises(_pm2_rpc.RpcError, match="the pm2 daemon refused stopProcessId: no such id"):
                _pm2_rpc.call(path, "stopProcessId", 3, timeout=5)
        else:
            assert _pm2_rpc.call(path, "stopProcessId", 3, timeout=5) == answer
    assert asked == [[{"type": "call", "method": "stopProcessId", "args": [3]}, "1:0"]]
    assert _pm2_rpc._encode(["é", {"a": 1}]) == b'\x12\x00\x00\x00\x04s:\xc3\xa9\x00\x00\x00\x0aj:{"a": 1}'


def test_a_dead_socket_is_an_error_in_time(tmp_path: Path) -> None:
    path = str(tmp_path / "rpc.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        began = time.monotonic()
        with pytest.raises(_pm2_rpc.RpcError, match="did not answer ping"):
            _pm2_rpc.call(path, "ping", {}, timeout=0.3)
        assert time.monotonic() - began < 3


def test_a_large_answer_is_put_together(tmp_path: Path) -> None:
    text = "ț" * 300_000
    whole = _pm2_rpc._encode([{"args": [text]}, "1:0"])
    with daemon(tmp_path, whole[:3], whole[3:70_000], whole[70_000:]) as path:
        assert _pm2_rpc.call(path, "getMonitorData", {}, timeout=30) == text


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "the connection ended before the answer"),
        (framed(b"j:{}")[:-1], "the connection ended before the answer"),
        (b"\x11" + struct.pack(">I", 0xFFFFFFFF), "an answer of 4294967295 bytes"),
        (b"\x11" + struct.pack(">I", 256 * 1024 * 1024 + 1), "an answer of 268435457 bytes"),
        (framed(b"j:{"), "Expecting"),
    ],
)
def test_an_answer_that_is_not_whole_is_told(tmp_path: Path, answer: bytes, says: str) -> None:
    with daemon(tmp_path, answer) as path, pytest.raises(_pm2_rpc.RpcError) as caught:
        _pm2_rpc.call(path, "ping", {}, timeout=30)
    assert caught.value.message.startswith(f"the pm2 daemon did not answer ping: {says}")
    assert "pm2.log" in caught.value.remedy


def test_what_the_daemon_refuses_is_told_with_a_remedy(tmp_path: Path) -> None:
    with daemon(tmp_path, framed(b'j:{"error": "no such id"}', b"s:1:0")) as path, pytest.raises(_pm2_rpc.RpcError) as caught:
        _pm2_rpc.call(path, "ping", timeout=30)
    assert (caught.value.message, caught.value.remedy) == ("the pm2 daemon refused ping: no such id", "look at pm2.log in PM2_HOME")


@pytest.mark.parametrize(
    ("data", "value"), [(b"s:\xc8\x9b", "ț"), (b"s:\xff", "\ufffd"), (b"j:[1]", [1]), (b"\x00\xffx", b"\x00\xffx"), (b"", b"")]
)
def test_arguments_are_text_json_or_bytes(data: bytes, value: object) -> None:
    assert _pm2_rpc._decode(data) == value
