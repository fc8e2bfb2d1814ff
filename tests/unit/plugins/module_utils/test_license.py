# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import datetime as dt
import json

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._license import decode
from hypothesis import given
from hypothesis import strategies as st

CLAIMS = {
    "install_id": "0b0e7f3c",
    "tier": "pro",
    "kind": "trial",
    "licensed_plugins": ["efactura-ro"],
    "licensed_themes": ["theme-fashion"],
    "expires_at": 1_800_000_000,
    "customer_email": "owner@shop.test",
}


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(**claims: object) -> str:
    return f"{part({'alg': 'EdDSA', 'kid': 'vendor-2026'})}.{part({**CLAIMS, **claims})}.{part('signature')}"


def test_what_is_shown() -> None:
    licence = decode(token())
    assert licence.shown() == {
        "tier": "pro",
        "kind": "trial",
        "licensed_plugins": ["efactura-ro"],
        "licensed_themes": ["theme-fashion"],
        "expires_at": "2027-01-15T08:00:00Z",
        "key_id": "vendor-2026",
    }
    assert "owner@" not in repr(licence)
    bare = decode(f"\n {part({})}.{part({'features': ['x']})}. \n")
    assert bare.shown() == {"features": ["x"], "expires_at": None, "key_id": ""}


def test_expiry() -> None:
    end = dt.datetime.fromtimestamp(1_800_000_000, dt.timezone.utc)
    assert decode(token()).expired(end)
    assert not decode(token()).expired(end - dt.timedelta(seconds=1))
    exp = {**CLAIMS, "exp": 1_800_000_000}
    del exp["expires_at"]
    assert decode(f"{part({})}.{part(exp)}.x").expires_at == end
    assert decode(token(exp=1)).expires_at == end
    assert decode(token(expires_at=0)).expires_at == dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    assert decode(token(expires_at=1)).expired() and not decode(token(expires_at=253402300799)).expired()
    for never in (None, -1, 253402300800, 10**15, float("nan"), True, "2027"):
        assert not decode(token(expires_at=never)).expired(end)


def test_missing_entitlements() -> None:
    wanted = [
        "@ecommus-plugin/efactura-ro",
        "@ecommus-plugin/sms",
        "@ecommus/theme-fashion",
        "@ecommus/theme-travel",
        "@acme/erp",
        "fastify",
    ]
    assert decode(token()).missing(wanted) == ["@ecommus-plugin/sms", "@ecommus/theme-travel"]
    assert decode(token(licensed_plugins=wanted, licensed_themes=wanted)).missing(wanted) == []
    assert decode(token(licensed_themes=["fashion"])).missing(["@ecommus/theme-fashion"]) == ["@ecommus/theme-fashion"]
    assert decode(token(licensed_plugins=None)).missing(wanted) == ["@ecommus/theme-travel"], "a claim that is not there says nothing"


@pytest.mark.parametrize(
    ("claims", "covered"),
    [
        ({}, None),
        ({"max_major": 1}, False),
        ({"max_major": 2}, True),
        ({"major": True}, None),
        ({"licensed_major": "2", "version_major": 3, "major": 1}, True),
    ],
)
def test_major(claims: dict[str, object], covered: bool | None) -> None:
    assert decode(token(**claims)).covers(2) is covered


@given(st.one_of(st.text(), st.builds("{}.{}.{}".format, st.text("abcXYZ09-_="), st.text("abcXYZ09-_="), st.just("x"))))
def test_anything_else_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(EcommusError) as refused:
        decode(text)
    assert str(refused.value) == (
        "ECOMMUS_LICENSE_JWT is not a licence token."
        " Remedy: put the whole token from the customer portal on one line of the environment file"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{part({})}.{part({})}",
        f"{part({})}.{part({})}.x.y",
        f"{part({})}.{part([])}.x",
        f"{part([])}.{part({})}.x",
        f"!{part({})}.{part({})}.x",
    ],
)
def test_what_is_nearly_a_token_is_none(text: str) -> None:
    with pytest.raises(EcommusError, match="is not a licence token"):
        decode(text)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(max_value=10**10, min_value=0), st.text(), st.lists(st.text()))))
def test_any_claims_are_read(claims: dict[str, object]) -> None:
    licence = decode(token(**claims))
    json.dumps(licence.shown())
    licence.expired()
    licence.missing(["@ecommus-plugin/x"])
