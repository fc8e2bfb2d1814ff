"""Real HTTP and TLS servers for the tests: what they answer is a function, whom to trust a CA made on the spot."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import itertools
import json
import socket
import ssl
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.timezone.utc)


class Authority:
    """A certificate authority that a strict verifier accepts (key identifiers, key usage, basic constraints)."""

    def __init__(self, directory: Path, name: str = "Test CA") -> None:
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self.subject, self.key, NOW - datetime.timedelta(days=900), NOW + datetime.timedelta(days=900))
        self.certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(
            self.key, hashes.SHA256()
        )
        self.path = directory / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, days: float = 90) -> Path:
        """Key and certificate for *names* in one file; negative *days* give one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        builder = self._builder(subject, key, NOW - datetime.timedelta(days=800), NOW + datetime.timedelta(days=days))
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        certificate = builder.sign(self.key, hashes.SHA256())
        path = self.directory / f"{names[0]}-{days}-{certificate.serial_number}.pem"
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def _builder(self, subject: x509.Name, key: t.Any, begins: datetime.datetime, ends: datetime.datetime) -> x509.CertificateBuilder:
        authority = key is self.key
        usage = x509.KeyUsage(
            digital_signature=not authority,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=authority,
            crl_sign=authority,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(usage, critical=True)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Request(t.NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: t.Any
    server_name: str | None
    connection: int  # the server's count; a client's port may come again within a second


App = t.Callable[[Request], t.Any]


class Server:
    """What ``serve`` gives: its port, and what it was asked."""

    def __init__(self, port: int, asked: list[Request], close: t.Callable[[], None]) -> None:
        self.port = port
        self.asked = asked
        self.close = close
        self.address = f"127.0.0.1:{port}"


@contextlib.contextmanager
def serve(app: App, certificate: Path | None = None, port: int = 0) -> t.Iterator[Server]:
    """Answer with what *app* returns: ``body``, ``(status, body)`` or ``(status, body, headers)``."""
    asked: list[Request] = []
    names: dict[t.Any, str | None] = {}
    connections = itertools.count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            self.number = next(connections)

        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            name = names.get(self.connection)
            asked.append(Request(self.command, self.path, dict(self.headers), body, name, self.number))
            reply = app(asked[-1])
            status, content, headers = (*reply, {})[:3] if isinstance(reply, tuple) else (200, reply, {})
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = handle_any

        def log_message(self, *_args: t.Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_args: t.Any) -> None:
            pass

        def finish_request(self, request: t.Any, client_address: t.Any) -> None:
            if context:
                # In the connection's own thread: a client that does not shake hands must not stop the others.
                request = context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)

    context: ssl.SSLContext | None = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

        def note(sock: t.Any, name: str | None, _context: t.Any) -> None:
            names[sock] = name

        context.sni_callback = note
    server = Quiet(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    try:
        yield Server(server.server_address[1], asked, close)
    finally:
        close()


@contextlib.contextmanager
def raw_server(talk: t.Callable[[socket.socket], None]) -> t.Iterator[str]:
    """A server that says what *talk* says, byte by byte if it likes. Gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def conversation(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection)

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=conversation, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
