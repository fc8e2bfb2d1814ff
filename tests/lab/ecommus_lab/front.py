"""Asking the shops as a customer does: by name, over TLS, through the front."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Front:
    """Requests to the lab's front; the names need not be known to any DNS."""

    def __init__(self, port: int, ca: Path) -> None:
        self.port = port
        self._context = ssl.create_default_context(cafile=str(ca))

    def request(
        self,
        method: str,
        host: str,
        path: str,
        payload: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 10,
    ) -> Answer:
        """One request on a connection of its own.

        :raises OSError: no connection, or none that the authority vouches for.
        :raises http.client.HTTPException: an answer that is no HTTP.
        """
        body = None if payload is None else json.dumps(payload).encode()
        connection = _Connection(host, self.port, self._context, timeout)
        try:
            sent = {"Host": host, **({"Content-Type": "application/json"} if body else {}), **(headers or {})}
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, host: str, path: str, **options: Any) -> Answer:
        return self.request("GET", host, path, **options)


class _Connection(http.client.HTTPSConnection):
    """Connects to loopback whatever the name; the certificate must be for the name."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
