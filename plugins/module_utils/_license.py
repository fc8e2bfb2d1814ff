# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shop's licence token says. Its signature is not checked here: the shop does that, and only to predict is asked of us."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime as dt
import json
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

PLUGIN_SCOPE, THEME_PREFIX = "@ecommus-plugin/", "@ecommus/theme-"
# Claims that may be shown. Not among them: install_id and customer_email, which identify the customer.
_SHOWN = ("tier", "kind", "features", "licensed_themes", "licensed_plugins", "niche_packages", "domain_binding")
_CALENDAR_END = 253402300800  # 10000-01-01, in Unix seconds
# The licence covers updates within one major version; how a token names it is not documented.
_MAJOR_CLAIMS = ("licensed_major", "max_major", "version_major", "major")


@dataclasses.dataclass(frozen=True)
class License:
    """A token's claims; the token itself is not kept."""

    claims: t.Mapping[str, t.Any] = dataclasses.field(repr=False)
    key_id: str = ""

    @property
    def expires_at(self) -> dt.datetime | None:
        """When it ends; None for a perpetual licence."""
        value = self.claims.get("expires_at", self.claims.get("exp"))
        # What lies beyond the calendar is no end either.
        known = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _CALENDAR_END
        return dt.datetime.fromtimestamp(value, dt.timezone.utc) if known else None

    def expired(self, now: dt.datetime | None = None) -> bool:
        """Whether it has ended."""
        return self.expires_at is not None and self.expires_at <= (now or dt.datetime.now(dt.timezone.utc))

    def covers(self, major: int) -> bool | None:
        """Whether releases of *major* are covered; None when the token does not say."""
        for claim in _MAJOR_CLAIMS:
            value = self.claims.get(claim)
            if isinstance(value, int) and not isinstance(value, bool):
                return major <= value
        return None

    def missing(self, packages: t.Iterable[str]) -> list[str]:
        """Those of *packages* (npm names) that need an entitlement and do not have it."""
        return [name for name in packages if self._entitled(name) is False]

    def _entitled(self, package: str) -> bool | None:
        for prefix, claim, kept in ((PLUGIN_SCOPE, "licensed_plugins", ""), (THEME_PREFIX, "licensed_themes", "theme-")):
            if package.startswith(prefix):
                short = kept + package[len(prefix) :]
                given = self.claims.get(claim)
                return not isinstance(given, list) or short in given or package in given
        return None

    def shown(self) -> dict[str, t.Any]:
        """What may be printed and reported."""
        ends = self.expires_at
        return {
            **{claim: self.claims[claim] for claim in _SHOWN if claim in self.claims},
            "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ") if ends else None,
            "key_id": self.key_id,
        }


def decode(token: str) -> License:
    """Read a token (RFC 7519, three parts of base64url).

    :raises EcommusError: when it is none; the token is not quoted.
    """
    parts = token.strip().split(".")
    try:
        if len(parts) != 3:
            raise ValueError("it does not have three parts")
        header, claims = (_part(part) for part in parts[:2])
    except (ValueError, binascii.Error):
        raise EcommusError(
            "ECOMMUS_LICENSE_JWT is not a licence token", "put the whole token from the customer portal on one line of the environment file"
        ) from None
    return License(claims, str(header.get("kid", "")))


def _part(text: str) -> dict[str, t.Any]:
    value = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return value
