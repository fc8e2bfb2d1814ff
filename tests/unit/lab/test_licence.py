"""The vendor's licences."""

from __future__ import annotations

import stat
from pathlib import Path

import jwt
import pytest
from ecommus_lab import licence


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    first, second = licence.load_key(tmp_path), licence.load_key(tmp_path)
    assert first.public_pem == second.public_pem
    assert stat.S_IMODE((tmp_path / "licence" / f"{licence.KID}.pem").stat().st_mode) == 0o600


def test_a_licence_has_the_documented_claims(tmp_path: Path) -> None:
    key = licence.load_key(tmp_path)
    token = licence.issue(key, "shop.test", plugins=["efactura-ro"], kind="trial", expires_at=2_000_000_000)
    assert jwt.get_unverified_header(token)["kid"] == key.kid
    claims = jwt.decode(token, key.public_pem, algorithms=["EdDSA"])
    assert claims["domain_binding"] == ["shop.test"]
    assert claims["licensed_plugins"] == ["efactura-ro"]
    assert (claims["kind"], claims["expires_at"]) == ("trial", 2_000_000_000)
    assert claims["install_id"] == jwt.decode(licence.issue(key, "shop.test"), key.public_pem, algorithms=["EdDSA"])["install_id"]


def test_another_key_does_not_verify(tmp_path: Path) -> None:
    token = licence.issue(licence.load_key(tmp_path), "shop.test")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, licence.load_key(tmp_path, "other").public_pem, algorithms=["EdDSA"])
