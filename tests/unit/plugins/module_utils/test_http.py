"""Requests over real sockets and real TLS."""

from __future__ import annotations

import datetime
import socket
import time
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import Client, HttpError, parse_address
from http_lab import NOW, Authority, raw_server, serve, unused_port


def failure(client: Client, **options) -> HttpError:
    with client, pytest.raises(HttpError) as caught:
        client.request(**options)
    return caught.value


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1", ("127.0.0.1", None)),
        ("127.0.0.1:17300", ("127.0.0.1", 17300)),
        ("[::1]:443", ("::1", 443)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
        ("proxy.internal:8443", ("proxy.internal", 8443)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
    ],
)
def test_address_to_connect_to_is_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["127.0.0.1:", ":80", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:65536"])
def test_address_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="is not address"):
        parse_address(text)


def test_resolved_request_keeps_server_name_host_header_and_certificate_check(authority: Authority):
    with serve(lambda request: {"ok": True}, authority.issue("api.shop.example", days=30)) as server:
        url = f"https://api.shop.example:{server.port}/health"
        with Client(url, resolve="127.0.0.1", ca_path=str(authority.path)) as client:
            answer = client.request()
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert server.asked[0].server_name == "api.shop.example"
    assert server.asked[0].headers["Host"] == f"api.shop.example:{server.port}"
    assert answer.certificate_expires[:10] == f"{NOW + datetime.timedelta(days=30):%Y-%m-%d}"
    assert 0 < answer.latency_ms < 5000


def test_resolve_with_a_port_serves_a_url_without_one(authority: Authority):
    certificate = authority.issue("shop.example")
    with serve(lambda request: "page", certificate) as server:
        client = Client("https://shop.example/x?y=1", resolve=server.address, ca_path=str(authority.path))
        assert client.request().text == "page"
        client.close()
    assert server.asked[0].headers["Host"] == "shop.example"
    assert server.asked[0].path == "/x?y=1"


def test_redirect_is_an_answer_unless_followed(authority: Authority):
    def app(request):
        return (302, "", {"Location": "/there"}) if request.path == "/" else "there"

    with serve(app) as server, Client(f"http://{server.address}/") as client:
        assert client.request().status == 302
        assert client.request(follow_redirects=True).text == "there"


def test_endless_redirects_are_named():
    with serve(lambda request: (302, "", {"Location": "/"})) as server:
        assert "redirects do not end" in failure(Client(f"http://{server.address}/"), follow_redirects=True).message


def test_connection_is_kept_until_closed():
    with serve(lambda request: "ok") as server, Client(f"http://{server.address}/") as client:
        client.request()
        client.request()
        client.close()
        client.request()
    first, second, third = (request.connection for request in server.asked)
    assert first == second != third


def test_nothing_but_what_was_asked_for_is_sent(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine shop.example login ann password geheim")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with serve(lambda request: (200, "ok", {"Set-Cookie": "a=1"})) as server:
        client = Client("http://shop.example/path", resolve=server.address)
        client.request()
        client.request()
        client.close()
    assert [request.path for request in server.asked] == ["/path", "/path"]
    sent = {name.lower(): value for name, value in server.asked[1].headers.items()}
    assert {name: sent[name] for name in ("user-agent", "accept", "accept-encoding")} == {
        "user-agent": "mdlabs.ecommus",
        "accept": "*/*",
        "accept-encoding": "identity",
    }
    assert not {"Cookie", "Authorization"} & server.asked[1].headers.keys()


def test_resolve_is_for_the_host_of_the_url_alone():
    with serve(lambda request: "elsewhere") as other, serve(lambda request: (302, "", {"Location": f"http://{other.address}/"})) as server:
        client = Client("http://shop.example/", resolve=server.address)
        assert client.request(follow_redirects=True).text == "elsewhere"
        client.close()


def test_body_is_read_up_to_its_limit_only():
    with serve(lambda request: "x" * (3 << 20)) as server, Client(f"http://{server.address}/") as client:
        answer = client.request()
        assert (answer.truncated, len(answer.body), answer.certificate_expires) == (True, 1 << 20, "")
        client.request()
    first, second = server.asked
    assert first.connection != second.connection, "what is left of a body is not taken for the next answer"


class TestCertificates:
    def ask(self, authority: Authority, certificate: Path, name: str = "shop.example", ca: bool = True) -> HttpError:
        with serve(lambda request: "ok", certificate) as server:
            return failure(Client(f"https://{name}/", resolve=server.address, ca_path=str(authority.path) if ca else ""))

    def test_expired(self, authority):
        error = self.ask(authority, authority.issue("shop.example", days=-1))
        assert error.kind == "tls"
        assert "TLS certificate of shop.example has expired" in error.message
        assert "renew" in error.remedy

    def test_unknown_ca(self, authority, tmp_path):
        stranger = Authority(tmp_path, "Stranger")
        assert "comes from an unknown CA" in self.ask(authority, stranger.issue("shop.example")).message

    def test_private_ca_is_not_trusted_by_default(self, authority):
        error = self.ask(authority, authority.issue("shop.example"), ca=False)
        assert "comes from an unknown CA" in error.message
        assert "ca_path" in error.remedy

    def test_other_name(self, authority):
        assert "is for another name" in self.ask(authority, authority.issue("other.example")).message

    def test_other_address(self, authority):
        with serve(lambda request: "ok", authority.issue("shop.example")) as server:
            error = failure(Client(f"https://{server.address}/", ca_path=str(authority.path)))
        assert "is for another address" in error.message

    def test_right_address(self, authority):
        with serve(lambda request: "ok", authority.issue("127.0.0.1")) as server:
            client = Client(f"https://{server.address}/", ca_path=str(authority.path))
            assert client.request().status == 200
            client.close()

    def test_port_without_tls(self, authority):
        with serve(lambda request: "ok") as server:
            error = failure(Client("https://shop.example/", resolve=server.address, ca_path=str(authority.path)))
        assert error.kind == "tls"
        assert "broke the TLS handshake" in error.message

    def test_missing_ca_file(self):
        with pytest.raises(HttpError, match=r"/nowhere/ca.pem cannot be used: No such file"):
            Client("https://shop.example/", ca_path="/nowhere/ca.pem")

    def test_file_that_is_no_ca(self, tmp_path):
        (tmp_path / "ca.pem").write_text("no certificate")
        with pytest.raises(HttpError, match="no certificate in it"):
            Client("https://shop.example/", ca_path=str(tmp_path / "ca.pem"))


def test_refused_connection_names_the_address():
    port = unused_port()
    error = failure(Client("http://shop.example/", resolve=f"127.0.0.1:{port}"))
    assert (error.kind, error.message) == ("refused", f"connection refused at 127.0.0.1:{port}")


@pytest.mark.parametrize("host", ["no-such-shop.invalid", "a" * 64 + ".invalid"])
def test_name_that_does_not_resolve(host):
    error = failure(Client(f"http://{host}/"), timeout=20)
    assert error.kind == "dns"
    assert f"the name {host} does not resolve" in error.message


@pytest.mark.parametrize("url", ["ftp://shop.example/", "shop.example", "https:///x", "http://shop.example:99999/", ""])
def test_url_that_is_none_is_refused(url):
    with pytest.raises(HttpError) as caught:
        Client(url)
    assert caught.value.kind == "config"


def test_credentials_in_a_url_are_refused_and_not_repeated():
    with pytest.raises(HttpError) as caught:
        Client("https://ann:geheim@shop.example/")
    assert "geheim" not in str(caught.value)
    assert "carries credentials" in str(caught.value)


def drip(connection: socket.socket, begin: bytes) -> None:
    connection.recv(4096)
    connection.sendall(begin)
    while True:
        connection.sendall(b"a")
        time.sleep(0.05)


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX-Slow: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["status line", "headers", "body", "body without a length"],
)
def test_dripping_server_is_cut_off_at_the_deadline(begin):
    with raw_server(lambda connection: drip(connection, begin)) as address:
        start = time.monotonic()
        error = failure(Client(f"http://{address}/"), timeout=0.5)
    assert 0.4 < time.monotonic() - start < 0.9
    assert error.message == f"timeout: connected to {address} but no complete answer within 0.5 s"


def test_silent_tls_handshake_is_cut_off(authority):
    with raw_server(lambda connection: time.sleep(5)) as address:
        start = time.monotonic()
        error = failure(Client("https://shop.example/", resolve=address, ca_path=str(authority.path)), timeout=0.5)
    assert time.monotonic() - start < 0.9
    assert error.kind == "timeout"


def test_connection_that_is_never_taken_is_cut_off():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = address = listener.getsockname()
        held = [socket.socket() for _ in range(3)]
        for sock in held:
            sock.setblocking(False)
            sock.connect_ex(address)
        error = failure(Client(f"http://{host}:{port}/"), timeout=0.5)
        for sock in held:
            sock.close()
    assert error.message == f"timeout: no connection to {host}:{port} within 0.5 s"


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (b"", "closed the connection before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "closed the connection before the answer was complete"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
    ],
    ids=["nothing", "half", "smtp"],
)
def test_broken_answers_are_described(says, message):
    def talk(connection):
        connection.recv(4096)
        connection.sendall(says)

    with raw_server(talk) as address:
        error = failure(Client(f"http://{address}/"))
    assert error.kind == "protocol"
    assert message in error.message


def test_no_thread_and_no_socket_is_left_behind():
    import threading

    with serve(lambda request: "ok") as server:
        before = threading.active_count()
        with Client(f"http://{server.address}/") as client:
            for _ in range(20):
                client.request()
                client.close()
        time.sleep(0.2)
        assert threading.active_count() <= before + 1
