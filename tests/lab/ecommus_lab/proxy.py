"""The TLS front: Caddy with certificates of the lab's own authority."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from . import processes
from .config import LabConfig, Shop
from .tools import environment

VALIDITY = dt.timedelta(days=365)

SITE = """
https://{host}:{port} {{
	bind 127.0.0.1
	tls `{certificate}` `{key}`
{routes}
}}
"""


class Proxy:
    """Caddy in front of all shops, as the documented Caddyfile of a shop has it."""

    def __init__(self, config: LabConfig) -> None:
        self.config = config
        self.directory = config.run / "proxy"
        self.ca = self.directory / "ca.pem"
        self.log = self.directory / "caddy.log"
        self.pid_file = config.run / "pids/proxy.json"

    def create(self, shops: list[Shop]) -> None:
        """Makes the authority, the shops' certificates and the Caddyfile."""
        self.directory.mkdir(parents=True)
        authority, authority_key = _authority()
        # Who asks the shops needs it, whichever user that is.
        _write(self.ca, authority.public_bytes(serialization.Encoding.PEM), 0o644)
        sites = ["{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n\tpersist_config off\n"]
        sites.append("\tservers {\n\t\tprotocols h1 h2\n\t}\n}\n")
        for shop in shops:
            certificate, key = _certificate([shop.domain, f"*.{shop.domain}"], authority, authority_key)
            certificate_file, key_file = (self.directory / f"{shop.domain}.{suffix}" for suffix in ("pem", "key"))
            _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
            _write(key_file, _pem(key))
            for service, host in shop.hosts.items():
                sites.append(
                    SITE.format(
                        host=host,
                        port=self.config.proxy_port,
                        certificate=certificate_file,
                        key=key_file,
                        routes=_routes(shop, service),
                    )
                )
        (self.directory / "Caddyfile").write_text("".join(sites))

    def start(self) -> None:
        command = [str(self.config.bin / "caddy"), "run", "--adapter", "caddyfile"]
        command += ["--config", str(self.directory / "Caddyfile")]
        home = str(self.directory)
        env = environment(self.config, HOME=home, XDG_DATA_HOME=home, XDG_CONFIG_HOME=home)
        processes.spawn(command, self.pid_file, self.log, env, cwd=self.directory)
        processes.wait_for_port("the TLS front", self.config.proxy_port, self.pid_file, self.log)

    def stop(self) -> None:
        processes.stop(self.pid_file)


def _routes(shop: Shop, service: str) -> str:
    """Where the requests of one host go; the shop's own host also has the part of the API its pages call."""
    to = "reverse_proxy 127.0.0.1:{}".format
    if service != "storefront":
        return f"\t{to(shop.ports[service])}"
    api, pages = to(shop.ports["api"]), to(shop.ports["storefront"])
    return f"\thandle /api/* {{\n\t\t{api}\n\t}}\n\thandle {{\n\t\t{pages}\n\t}}"


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ecommus lab authority")])
    builder = _builder(name, name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _certificate(
    names: list[str], authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A server certificate that also Python's strict verification (3.13 on) accepts: it wants RFC 5280's
    key usages and key identifiers, where curl does not care."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    builder = (
        _builder(subject, authority.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    return builder.sign(authority_key, hashes.SHA256()), key


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Writes a file that, unless *mode* says otherwise, only we may read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(data)
