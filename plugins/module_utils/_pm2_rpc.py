# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire between a pm2 client and its daemon: axon messages over rpc.sock.

Asking the daemon directly takes 1 to 3 ms where the pm2 command takes 100, and it can never start a daemon by accident,
which every pm2 command does, even ``pm2 --version``. The protocol is internal to pm2 (lib/Client.js, modules/pm2-axon),
unchanged from pm2 5 to 7; who uses this falls back to the command when it fails.
"""

from __future__ import annotations

import json
import socket
import struct
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_VERSION = 1  # modules/pm2-axon: amp protocol version, the upper half of the first byte; the lower one counts the arguments
_LIMIT = 256 * 1024 * 1024  # bytes of one answer: a table is some 10 KB per process


class RpcError(EcommusError):
    """The daemon did not answer, or answered with an error."""


def call(socket_path: str, method: str, *arguments: t.Any, timeout: float) -> t.Any:
    """Call *method* of the daemon behind *socket_path* and return its first result.

    :param timeout: seconds, for each of connecting, sending and the answer.
    :raises RpcError: when there is no answer in time, or the daemon refused.
    """
    request = [{"type": "call", "method": method, "args": list(arguments)}, "1:0"]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(socket_path)
            connection.sendall(_encode(request))
            reply = _receive(connection)
    except (OSError, ValueError, struct.error) as error:
        raise RpcError(f"the pm2 daemon did not answer {method}: {error}", "look at pm2.log in PM2_HOME") from None
    answer = reply[0] if reply and isinstance(reply[0], dict) else {}
    if answer.get("error"):
        raise RpcError(f"the pm2 daemon refused {method}: {answer['error']}", "look at pm2.log in PM2_HOME")
    results = answer.get("args") or []
    return results[0] if results else None


def _encode(arguments: t.Sequence[t.Any]) -> bytes:
    parts = [bytes([_VERSION << 4 | len(arguments)])]
    for argument in arguments:
        data = (f"s:{argument}" if isinstance(argument, str) else f"j:{json.dumps(argument)}").encode()
        parts.append(struct.pack(">I", len(data)) + data)
    return b"".join(parts)


def _receive(connection: socket.socket) -> list[t.Any]:
    count = _exactly(connection, 1)[0] & 0x0F
    return [_decode(_exactly(connection, struct.unpack(">I", _exactly(connection, 4))[0])) for _number in range(count)]


def _decode(data: bytes) -> t.Any:
    kind, text = data[:2], data[2:]
    if kind == b"j:":
        return json.loads(text)
    return text.decode("utf-8", "replace") if kind == b"s:" else data


def _exactly(connection: socket.socket, size: int) -> bytes:
    if size > _LIMIT:
        raise ValueError(f"an answer of {size} bytes")
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 16))
        if not part:
            raise ValueError("the connection ended before the answer")
        data += part
    return bytes(data)
