# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP request as a health check needs it: bound in time, pinned to an address, with errors in an operator's words."""

from __future__ import annotations

import dataclasses
import http.client
import json as json_module
import ssl
import time
import traceback
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._http_error import HttpError, explain

try:
    import requests
    from ansible_collections.mdlabs.ecommus.plugins.module_utils import _transport
except ImportError:
    #: Why ``requests`` could not be imported, for ``missing_required_lib``; None when it is there.
    REQUESTS_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    REQUESTS_IMPORT_ERROR = None

# A storefront page has some 100 kB; nobody judges health by more than this.
MAX_BODY_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server answered. ``latency_ms`` is from the first step (name look-up) to the last byte of the body."""

    status: int
    headers: t.Mapping[str, str]
    body: bytes
    truncated: bool
    latency_ms: float
    certificate_expires: str

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    def json(self) -> t.Any:
        """The body as JSON, None when it is none."""
        try:
            return json_module.loads(self.body)
        except ValueError:
            return None


class Client:
    """Asks one URL. Keeps its connection from one request to the next until ``close``; not for two threads at a time.

    No proxy and no ``.netrc`` of the environment is used: what is checked is the shop, not the way out.

    :param resolve: address to connect to instead of looking the URL's host up: ``127.0.0.1``, ``127.0.0.1:17300``, ``[::1]:443``.
    :param ca_path: CA certificates (file or directory) to trust instead of the system's.
    :raises HttpError: (kind config) the URL, the address or the CA cannot be used.
    """

    def __init__(self, url: str, *, resolve: str = "", ca_path: str = "") -> None:
        try:
            scheme, host, port = _transport.origin(url)
            address = parse_address(resolve) if resolve else None
        except ValueError as error:
            raise HttpError("config", f"{url}: {error}", "correct the probe") from None
        if "@" in url.split("/", 3)[2]:
            raise HttpError("config", f"the URL of {host} carries credentials", "give them as bearer or secret_headers") from None
        if scheme == "https":
            try:
                _transport.trust(ca_path)
            except OSError as error:
                reason = "no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
                raise HttpError("config", f"the CA certificates {ca_path} cannot be used: {reason}", "correct ca_path") from None
        self.url = url
        self._wire = _transport.Wire((host, port), address)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.clear()
        self._session.adapters.clear()
        self._session.mount("http", _transport.Transport(self._wire, ca_path))

    def request(
        self,
        method: str = "GET",
        *,
        headers: t.Mapping[str, str] | None = None,
        json: t.Any = None,
        timeout: float = 5.0,
        follow_redirects: bool = False,
    ) -> Answer:
        """Send one request and read its whole answer within *timeout* seconds, name look-up and TLS included.

        :param json: body, sent as JSON unless None.
        :raises HttpError: when no complete answer came.
        """
        begin = time.monotonic()
        problem: BaseException | None = None
        try:
            with self._wire.deadline(timeout):
                response = self._session.request(
                    method, self.url, headers=_plain(headers), json=json, timeout=timeout, allow_redirects=follow_redirects, stream=True
                )
                body, truncated = _read(response)
        except requests.TooManyRedirects:
            raise HttpError("protocol", "the redirects do not end", "look at the proxy's redirect rules") from None
        except (requests.RequestException, OSError, http.client.HTTPException) as error:
            problem = error
        self._session.cookies.clear()
        if problem or self._wire.expired or truncated:
            self.close()
        # A body without a length also ends well when the deadline cuts it: only ``expired`` tells.
        if problem or self._wire.expired:
            raise explain(problem, self._wire, timeout) from None
        latency = round((time.monotonic() - begin) * 1000, 1)
        return Answer(response.status_code, response.headers, body, truncated, latency, self._expiry())

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: t.Any) -> None:
        self.close()

    def _expiry(self) -> str:
        ends = self._wire.certificate.get("notAfter")
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ssl.cert_time_to_seconds(ends))) if ends else ""


def parse_address(text: str) -> tuple[str, int | None]:
    """Host and port of ``address[:port]``, with IPv6 in brackets when a port follows.

    :raises ValueError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        return text[1:-1], None
    if not colon or (":" in host and not host.endswith("]")):
        return text, None
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"resolve {text} is not address[:port]")
    return host.strip("[]"), int(port)


def same_server(one: str, other: str) -> bool:
    """Whether two URLs lead to the same host and port; False for what is no URL."""
    try:
        return bool(_transport.origin(one)[1:] == _transport.origin(other)[1:])
    except ValueError:
        return False


def _plain(headers: t.Mapping[str, str] | None) -> dict[str, str]:
    # Bodies are read as they are sent: no decompression to bound.
    defaults = {"User-Agent": "mdlabs.ecommus", "Accept": "*/*", "Accept-Encoding": "identity"}
    return {**defaults, **{str(name): str(value) for name, value in (headers or {}).items()}}


def _read(response: requests.Response) -> tuple[bytes, bool]:
    # Off by default before urllib3 2: half a body would pass for a whole one.
    response.raw.enforce_content_length = True
    body = b""
    for chunk in response.iter_content(65536):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return body[:MAX_BODY_BYTES], True
    return body, False
