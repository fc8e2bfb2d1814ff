# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire under an HTTP request: where it connects to, whom it trusts, and one deadline that binds all of it.

The timeouts of requests and urllib3 are per read, so a server that drips one byte a second is never too late. Here a
timer shuts the socket down when the deadline comes, whatever the request is doing then.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import os
import queue
import socket
import ssl
import threading
import time
import typing as t
from urllib.parse import urlsplit

try:
    import certifi
    import urllib3
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
except ImportError:  # `_http` says so to who wants to use this; ansible-test imports each file by itself
    if not t.TYPE_CHECKING:
        certifi = urllib3 = None
        HTTPAdapter = HTTPConnection = HTTPSConnection = HTTPConnectionPool = HTTPSConnectionPool = object


class Wire:
    """One client's way to its server. Not for two requests at a time.

    :param home: host and port of the URL that ``address`` stands for; any other host (a redirect's) is looked up.
    :param address: where to connect to instead of asking DNS, as curl's ``--resolve``; no port means the URL's.
    """

    def __init__(self, home: tuple[str, int], address: tuple[str, int | None] | None) -> None:
        self.home = home
        self.address = address
        self.peer = _written(home)
        self.stage = ""
        self.expired = False
        self.certificate: dict[str, t.Any] = {}
        self._ends = 0.0
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> t.Iterator[None]:
        """Everything within the block is cut off *seconds* after its start; ``expired`` tells that it was."""
        self.expired = False
        self._ends = time.monotonic() + seconds
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected socket; every address of the host is tried until one answers."""
        if self.address and (host.lower(), port) == self.home:
            host, port = self.address[0], self.address[1] or port
        problem: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        for family, kind, protocol, _name, where in self._lookup(host, port):
            sock = socket.socket(family, kind, protocol)
            self.peer = _written(where)
            self.stage = "connecting"
            try:
                sock.settimeout(self._remaining())
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(where)
                self._keep_handle(sock)
            except OSError as error:
                sock.close()
                problem = error
            else:
                self.stage = "connected"
                return sock
        raise problem

    def close(self) -> None:
        """Let go of the socket's second handle."""
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def _remaining(self) -> float:
        left = self._ends - time.monotonic()
        if left <= 0:
            raise socket.timeout("timed out")
        return left

    def _keep_handle(self, sock: socket.socket) -> None:
        # TLS wraps the socket by detaching it, so the timer needs a handle of its own.
        with self._lock:
            if self._handle is not None:
                self._handle.close()
            self._handle = sock.dup()

    def _cut(self) -> None:
        with self._lock:
            self.expired = True
            if self._handle is not None:
                with contextlib.suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)

    def _lookup(self, host: str, port: int) -> list[t.Any]:
        self.stage = "looking up"
        with contextlib.suppress(OSError, UnicodeError):
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        # The C library's resolver takes no deadline (30 s and more with a dead name server): a thread may be left behind.
        answers: queue.SimpleQueue[list[t.Any] | OSError] = queue.SimpleQueue()
        threading.Thread(target=_resolve, args=(host, port, answers), daemon=True).start()
        try:
            answer = answers.get(timeout=self._remaining())
        except queue.Empty:
            self.expired = True
            raise socket.timeout("timed out") from None
        if isinstance(answer, OSError):
            raise answer
        return answer


def _written(where: t.Sequence[t.Any]) -> str:
    host, port = where[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _resolve(host: str, port: int, answers: queue.SimpleQueue[list[t.Any] | OSError]) -> None:
    try:
        answers.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    except OSError as error:
        answers.put(error)
    except UnicodeError:  # the idna codec, on a name that can be none
        answers.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))


_OLD_URLLIB3 = getattr(urllib3, "__version__", "").startswith("1.")


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


@functools.lru_cache(maxsize=32)
def trust(ca_path: str, name_checked_later: bool = False) -> ssl.SSLContext:
    """Whom to believe: *ca_path* (file or directory) alone, or what this system trusts. Loading it costs most of a request.

    :param name_checked_later: urllib3 1.26 does not tell ssl what the host is when it is an address
        (util/ssl_.py ``ssl_wrap_socket``); without ssl's check it does its own (connection.py ``connect``).
    :raises OSError: the file is missing or holds no certificate.
    """
    paths = ssl.get_default_verify_paths()
    if not ca_path and not (paths.cafile or paths.capath):
        ca_path = certifi.where()
    directory = os.path.isdir(ca_path)
    context = ssl.create_default_context(cafile=None if directory else ca_path or None, capath=ca_path if directory else None)
    context.check_hostname = not name_checked_later
    return context


class _Wired(HTTPConnection):
    def __init__(self, *args: t.Any, wire: Wire, **options: t.Any) -> None:
        super().__init__(*args, **options)
        self._wire = wire

    def _new_conn(self) -> socket.socket:
        return self._wire.connect(self.host, self.port)


class _WiredTLS(_Wired, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self._wire.certificate = t.cast(ssl.SSLSocket, self.sock).getpeercert() or {}


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Wired


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _WiredTLS


_POOLS: dict[str, t.Any] = {"http": _Pool, "https": _PoolTLS}


class Transport(HTTPAdapter):
    """Requests' adapter over a :class:`Wire`. The URL keeps its name: SNI, Host header and certificate check are untouched."""

    def __init__(self, wire: Wire, ca_path: str) -> None:
        super().__init__(max_retries=0)
        self._wire = wire
        self._ca_path = ca_path
        self._pools: dict[tuple[str, str, int], HTTPConnectionPool] = {}

    # requests asks for the pool by this name since 2.32.2, and by ``get_connection`` before.
    def get_connection_with_tls_context(self, request: t.Any, verify: t.Any, proxies: t.Any = None, cert: t.Any = None) -> t.Any:
        return self.get_connection(request.url)

    def get_connection(self, url: t.Any, proxies: t.Any = None) -> t.Any:
        scheme, host, port = origin(url)
        pool = self._pools.get((scheme, host, port))
        if pool is None:
            options: dict[str, t.Any] = {"wire": self._wire, "maxsize": 1}
            if scheme == "https":
                options["ssl_context"] = trust(self._ca_path, _is_address(host) and _OLD_URLLIB3)
            pool = _POOLS[scheme](host, port, **options)
            self._pools[scheme, host, port] = pool
        return pool

    def cert_verify(self, conn: t.Any, url: t.Any, verify: t.Any, cert: t.Any) -> None:
        """Nothing to do: the pool's context decides, and requests would load its own bundle again for each connection."""

    def close(self) -> None:
        super().close()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        self._wire.close()


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host (lower case) and port of *url*.

    :raises ValueError: not an http(s) URL with a host.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http:// or https:// URL with a host")
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
