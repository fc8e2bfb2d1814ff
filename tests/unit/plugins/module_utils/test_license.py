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


def test_expiry() -> None:
    end = dt.datetime.fromtimestamp(1_800_000_000, dt.timezone.utc)
    assert decode(token()).expired(end)
    assert not decode(token()).expired(end - dt.timedelta(seconds=1))
    for never in (None, 10**15, float("nan"), True, "2027"):
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
    assert decode(token(licensed_plugins=None)).missing(wanted) == ["@ecommus/theme-travel"], "a claim that is not there says nothing"


@pytest.mark.parametrize(("claims", "covered"), [({}, None), ({"max_major": 1}, False), ({"max_major": 2}, True), ({"major": True}, None)])
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


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.integers(max_value=10**10, min_value=0), st.text(), st.lists(st.text()))))
def test_any_claims_are_read(claims: dict[str, object]) -> None:
    licence = decode(token(**claims))
    json.dumps(licence.shown())
    licence.expired()
    licence.missing(["@ecommus-plugin/x"])
