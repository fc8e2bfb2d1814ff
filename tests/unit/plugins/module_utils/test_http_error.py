# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault of the network under a request becomes the sentence that an operator can act on."""

from __future__ import annotations

import dataclasses
import errno
import http.client
import os
import socket
import ssl

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http_error import HttpError, explain


@dataclasses.dataclass
class Way:
    stage: str = "connected"
    expired: bool = False
    home: tuple[str, int] = ("shop.example", 443)
    peer: str = "192.0.2.1:443"


class CertificateError(ValueError):
    """Named as urllib3's."""


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "as OpenSSL says"
    return error


def tls(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "said")
    error.reason = reason
    return error


def of(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def about_certificate(fault: str) -> str:
    return f"the TLS certificate of shop.example {fault} (as OpenSSL says)"


CLOSED = "192.0.2.1:443 closed the connection before the answer was complete"


@pytest.mark.parametrize(
    ("error", "kind", "message", "remedy"),
    [
        (certificate(9), "tls", about_certificate("is not valid yet"), "check the clocks of both machines"),
        (certificate(10), "tls", about_certificate("has expired"), "renew the certificate"),
        (certificate(18), "tls", about_certificate("is self-signed by nobody we trust"), "give the CA with ca_path"),
        (certificate(19), "tls", about_certificate("comes from an unknown CA"), "add it to the trust store"),
        (certificate(20), "tls", about_certificate("comes from an unknown CA"), "send the whole chain"),
        (certificate(21), "tls", about_certificate("comes from an unknown CA"), "send the whole chain"),
        (certificate(62), "tls", about_certificate("is for another name"), "install a certificate for this name"),
        (certificate(64), "tls", about_certificate("is for another address"), "check by name"),
        (certificate(1), "tls", about_certificate("was refused"), "openssl s_client"),
        (CertificateError("x"), "tls", "the TLS certificate of shop.example is for another address", "check by name"),
        (socket.gaierror(-2, "unknown"), "dns", "the name shop.example does not resolve (unknown)", "correct the URL or DNS"),
        (of(errno.ECONNREFUSED), "refused", "connection refused at 192.0.2.1:443", "start the service"),
        (tls("WRONG_VERSION_NUMBER"), "tls", "192.0.2.1:443 broke the TLS handshake (WRONG_VERSION_NUMBER)", "TLS is spoken"),
        (tls(None), "tls", "192.0.2.1:443 broke the TLS handshake (said)", "TLS is spoken"),
        (of(errno.ECONNRESET), "protocol", CLOSED, "look at the service's log"),
        (of(errno.EPIPE), "protocol", CLOSED, "look at the service's log"),
        (http.client.RemoteDisconnected("x"), "protocol", CLOSED, "look at the service's log"),
        (http.client.IncompleteRead(b"x"), "protocol", CLOSED, "look at the service's log"),
        (http.client.BadStatusLine("x"), "protocol", "192.0.2.1:443 does not speak HTTP", "the scheme and the port"),
        (of(errno.EHOSTUNREACH), "unreachable", "192.0.2.1:443 cannot be reached (No route to host)", "look at the network"),
        (of(errno.ENETUNREACH), "unreachable", "192.0.2.1:443 cannot be reached (Network is unreachable)", "look at the network"),
        (of(errno.EADDRNOTAVAIL), "unreachable", "192.0.2.1:443 cannot be reached (Cannot assign requested address)", "network"),
        (OSError(5, "odd"), "protocol", "no answer from 192.0.2.1:443: [Errno 5] odd", "look at the service's log"),
        (None, "protocol", "no answer from 192.0.2.1:443: None", "look at the service's log"),
    ],
)
def test_the_fault_is_told(error: BaseException | None, kind: str, message: str, remedy: str) -> None:
    found = explain(error, Way(), 5)
    assert (found.kind, found.message) == (kind, message)
    assert remedy in found.remedy
    assert isinstance(found, HttpError) and isinstance(found, EcommusError)


@pytest.mark.parametrize(
    ("stage", "message", "remedy"),
    [
        ("looking up", "the name shop.example was not resolved", "name servers of this machine"),
        ("connecting", "no connection to 192.0.2.1:443", "look at the firewall"),
        ("connected", "connected to 192.0.2.1:443 but no complete answer", "what the service waits for"),
    ],
)
def test_what_is_too_late_says_how_far_it_came(stage: str, message: str, remedy: str) -> None:
    for error, expired in ((None, True), (socket.timeout("x"), False), (of(errno.ECONNRESET), True)):
        found = explain(error, Way(stage, expired), 2.5)
        assert (found.kind, found.message) == ("timeout", f"timeout: {message} within 2.5 s")
        assert remedy in found.remedy
    assert explain(None, Way(stage, True), 5.0).message.endswith("within 5 s")


@pytest.mark.parametrize("how", ["cause", "context", "reason", "argument"])
def test_it_is_found_under_what_libraries_wrapped_around_it(how: str) -> None:
    inner, outer = of(errno.ECONNREFUSED), ValueError("outside")
    if how == "cause":
        outer.__cause__ = inner
    elif how == "context":
        outer.__context__ = inner
    elif how == "reason":
        outer.reason = inner  # type: ignore[attr-defined]
    else:
        outer = ValueError("outside", inner)
    outermost = RuntimeError(outer)
    assert explain(outermost, Way(), 5).kind == "refused"
    inner.__context__ = outermost  # a circle ends
    assert explain(outermost, Way(), 5).kind == "refused"
