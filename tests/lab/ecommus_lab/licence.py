"""The vendor's licence server: an Ed25519 key, and the tokens that it signs for shops."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KID = "vendor-2026"
YEAR = 365 * 24 * 3600
PLUGINS = ("efactura-ro", "shipping-sameday")
THEMES = ("theme-fashion",)


@dataclass(frozen=True)
class LicenceKey:
    """A signing key of the vendor; every release ships the public halves it accepts, by ``kid``."""

    kid: str
    private: Ed25519PrivateKey

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def load_key(vendor_dir: Path, kid: str = KID) -> LicenceKey:
    """The key of that id in ``vendor_dir``, made there on first use."""
    path = vendor_dir / "licence" / f"{kid}.pem"
    if path.exists():
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError(f"{path} is not an Ed25519 key")
        return LicenceKey(kid, private)
    key = LicenceKey(kid, Ed25519PrivateKey.generate())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return key


def issue(
    key: LicenceKey,
    domain: str,
    *,
    plugins: Sequence[str] = PLUGINS,
    themes: Sequence[str] = THEMES,
    kind: str = "perpetual",
    tier: str = "pro",
    expires_at: int | None = None,
    **claims: Any,
) -> str:
    """Signs a licence for one root domain.

    :param plugins: bare ids (``efactura-ro``), as the product's tokens have them.
    :param expires_at: Unix seconds; ``None`` for a perpetual licence.
    :param claims: overrides or additions.
    """
    now = int(time.time())
    payload: dict[str, Any] = {
        # The same shop is the same installation, however often the lab is built.
        "install_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, domain)),
        "tier": tier,
        "kind": kind,
        "features": ["multi_tenant", "audit_log"],
        "licensed_themes": list(themes),
        "licensed_plugins": list(plugins),
        "niche_packages": ["ecommerce"],
        "domain_binding": [domain],
        "issued_at": now,
        "expires_at": expires_at,
        "support_until": now + YEAR,
        "customer_email": f"owner@{domain}",
        **claims,
    }
    return jwt.encode(payload, key.private, algorithm="EdDSA", headers={"kid": key.kid})
