# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why no answer came, in an operator's words: the fault under what requests and urllib3 wrapped around it."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# OpenSSL, include/openssl/x509_vfy.h (X509_V_ERR_*)
_CERTIFICATE_FAULTS = {
    9: ("is not valid yet", "check the clocks of both machines, or install the right certificate"),
    10: ("has expired", "renew the certificate and reload the proxy"),
    18: ("is self-signed by nobody we trust", "give the CA with ca_path, or install a certificate of a trusted CA"),
    19: ("comes from an unknown CA", "give the CA with ca_path, or add it to the trust store"),
    20: ("comes from an unknown CA", "give the CA with ca_path, or have the proxy send the whole chain"),
    21: ("comes from an unknown CA", "give the CA with ca_path, or have the proxy send the whole chain"),
    62: ("is for another name", "install a certificate for this name, or correct the URL"),
    64: ("is for another address", "check by name (with resolve if need be) instead of by address"),
}

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)


class HttpError(EcommusError):
    """No usable answer came. ``kind`` is one of config, dns, refused, unreachable, tls, timeout, protocol."""

    def __init__(self, kind: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.kind = kind


class Route(t.Protocol):
    """What is known about a request's way when it failed."""

    home: tuple[str, int]
    peer: str
    stage: str
    expired: bool


def explain(error: BaseException | None, route: Route, timeout: float) -> HttpError:
    """What *error* means for an operator.

    :param timeout: seconds that the request had.
    """
    causes = list(_causes(error))
    host, peer = route.home[0], route.peer

    def first(*kinds: type[BaseException]) -> t.Any:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    if route.expired or first(socket.timeout):
        problem = _too_late(route, timeout)
    elif cause := first(ssl.SSLCertVerificationError):
        fault, remedy = _CERTIFICATE_FAULTS.get(cause.verify_code, ("was refused", "look at it with openssl s_client"))
        problem = HttpError("tls", f"the TLS certificate of {host} {fault} ({cause.verify_message})", remedy)
    elif any(type(cause).__name__ == "CertificateError" for cause in causes):  # urllib3's own check of the name
        problem = HttpError("tls", f"the TLS certificate of {host} {_CERTIFICATE_FAULTS[64][0]}", _CERTIFICATE_FAULTS[64][1])
    elif cause := first(socket.gaierror):
        problem = HttpError("dns", f"the name {host} does not resolve ({cause.strerror})", "correct the URL or DNS, or give resolve")
    elif first(ConnectionRefusedError):
        problem = HttpError("refused", f"connection refused at {peer}", "start the service, or correct the address it listens on")
    elif cause := first(ssl.SSLError):
        problem = HttpError("tls", f"{peer} broke the TLS handshake ({cause.reason or cause})", "see whether TLS is spoken on this port")
    elif first(ConnectionResetError, BrokenPipeError, http.client.RemoteDisconnected, http.client.IncompleteRead):
        problem = HttpError("protocol", f"{peer} closed the connection before the answer was complete", "look at the service's log")
    elif first(http.client.BadStatusLine):
        problem = HttpError("protocol", f"{peer} does not speak HTTP", "see whether the scheme and the port are right")
    elif cause := next((c for c in causes if isinstance(c, OSError) and c.errno in _UNREACHABLE), None):
        problem = HttpError("unreachable", f"{peer} cannot be reached ({cause.strerror})", "look at the network")
    else:
        problem = HttpError("protocol", f"no answer from {peer}: {error}", "look at the service's log")
    return problem


def _too_late(route: Route, timeout: float) -> HttpError:
    if route.stage == "looking up":
        what, remedy = f"the name {route.home[0]} was not resolved", "look at the name servers of this machine, or give resolve"
    elif route.stage == "connecting":
        what, remedy = f"no connection to {route.peer}", "look at the firewall, and whether the host is up"
    else:
        what = f"connected to {route.peer} but no complete answer"
        remedy = "look at what the service waits for (its log, the database)"
    return HttpError("timeout", f"timeout: {what} within {timeout:g} s", remedy)


def _causes(error: BaseException | None) -> t.Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[t.Any] = [error]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            waiting += [current.__cause__, current.__context__, getattr(current, "reason", None), *current.args]
