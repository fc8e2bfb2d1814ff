# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the licence and the registry give of a release; npm is a shell here that knows what the registry would say."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _checks_packages, _layout
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Finding, Subject

PLUGIN, THEME = "@ecommus-plugin/sms", "@ecommus/theme-fashion"
DAY = 24 * 3600


def licence(**claims: object) -> str:
    header, payload = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims))
    return f"ECOMMUS_LICENSE_JWT={header}.{payload}.c2ln\n"


class Shop(Subject):
    """A shop whose coming release holds these *files*."""

    files: dict[str, str]

    def file(self, path: str) -> str | None:
        return self.files.get(path)


def shop(directory: Path, env: str = "", packages: tuple[str, ...] = (), **given: Any) -> Shop:
    (directory / ".env").write_text(env)
    found = Shop(_layout.Paths("/shop", "/shop.d"), "releases", "v2.4.0", "", env_file=str(directory / ".env"), **given)
    lock = {"packages": {f"node_modules/{name}": {"version": "1.2.0"} for name in packages}}
    object.__setattr__(found, "files", {"package-lock.json": json.dumps(lock), ".npmrc": "registry=https://npm.test\n"})
    return found


@pytest.mark.parametrize(
    ("env", "finding"),
    [
        (licence(tier="pro", expires_at=None), Finding(True, "pro, ends never")),
        (licence(expires_at=4102444800, licensed_plugins=["sms"], max_major=2), Finding(True, "licence, ends 2100-01-01T00:00:00Z")),
        (
            licence(expires_at=1),
            Finding(False, "the licence ended at 1970-01-01T00:00:01Z", "renew it in super-admin or with your account manager"),
        ),
        (
            licence(max_major=1),
            Finding(False, "the licence does not cover v2.4.0", "order the licence of the new major, or stay on the present one"),
        ),
        (
            licence(licensed_plugins=[], licensed_themes=[]),
            Finding(
                False, f"not on the licence: {PLUGIN}, {THEME}", "have the licence re-issued with it, or stay on the present release"
            ),
        ),
    ],
)
def test_a_licence_covers_what_the_release_needs(tmp_path: Path, env: str, finding: Finding) -> None:
    assert _checks_packages.licence_covers(shop(tmp_path, env, (PLUGIN, THEME, "@ecommus/core"))) == finding


def test_a_shop_without_a_licence_is_told_where_it_belongs(tmp_path: Path) -> None:
    remedy = "put the licence from the customer portal into it"
    assert _checks_packages.licence_covers(shop(tmp_path)) == Finding(False, f"{tmp_path}/.env has no ECOMMUS_LICENSE_JWT", remedy)
    with pytest.raises(EcommusError, match="is not a licence token"):
        _checks_packages.licence_covers(shop(tmp_path, "ECOMMUS_LICENSE_JWT=x\n"))


def test_a_licence_that_ends_soon_is_told(tmp_path: Path) -> None:
    def lasts(days: float | None) -> Finding:
        return _checks_packages.licence_lasts(shop(tmp_path, licence(expires_at=days and time.time() + days * DAY)))

    assert lasts(None) == Finding(True, "it is perpetual")
    assert lasts(14.5) == Finding(True, "14 days")
    assert lasts(13.5) == Finding(False, "the licence ends in 13 days", "renew it in super-admin or with your account manager")


@pytest.fixture
def npm(tmp_path: Path) -> str:
    """A directory with an npm that gives the theme to whoever has a token and the plugin to the right one."""
    program = tmp_path / "bin/npm"
    program.parent.mkdir()
    program.write_text(
        """#!/bin/sh
[ "$(cat .npmrc package.json)" = "registry=https://npm.test
{}" ] || exit 9
case "$NPM_REGISTRY_TOKEN $2" in
  *" @ecommus-plugin/away@"*) echo "npm error code ECONNREFUSED" >&2; exit 1;;
  "right "*|"half "*theme*) echo '"1.2.0"';;
  *) echo "npm error code E403" >&2; exit 1;;
esac
"""
    )
    program.chmod(0o755)
    return str(program.parent)


@pytest.mark.parametrize(("env", "given"), [("NPM_REGISTRY_TOKEN=right\n", ""), ("NPM_REGISTRY_TOKEN=wrong\n", "right")])
def test_a_registry_that_gives_everything(tmp_path: Path, npm: str, env: str, given: str) -> None:
    found = _checks_packages.registry_gives(shop(tmp_path, env, (PLUGIN, THEME), npm_token=given, path_prefix=[npm]))
    assert found == Finding(True, f"{PLUGIN}@1.2.0, {THEME}@1.2.0")


@pytest.mark.parametrize(
    ("env", "says", "remedy"),
    [
        ("", f"the registry refused {PLUGIN}, {THEME}: no NPM_REGISTRY_TOKEN was given", "fetch the token"),
        ("NPM_REGISTRY_TOKEN=half\n", f"the registry refused {PLUGIN}: not on the licence any more (the same token", "re-issued"),
        (f"NPM_REGISTRY_TOKEN=none\n{licence(expires_at=1)}", f"the registry refused {PLUGIN}, {THEME}: the licence has expired", "renew"),
    ],
)
def test_a_registry_that_refuses_is_told_with_the_cause(tmp_path: Path, npm: str, env: str, says: str, remedy: str) -> None:
    found = _checks_packages.registry_gives(shop(tmp_path, env, (PLUGIN, THEME), path_prefix=[npm]))
    assert (found.ok, found.found.startswith(says), remedy in found.remedy) == (False, True, True), found


def test_a_registry_that_is_away_is_no_refusal(tmp_path: Path, npm: str) -> None:
    away = "@ecommus-plugin/away"
    found = _checks_packages.registry_gives(shop(tmp_path, "", (away, THEME), npm_token="half", path_prefix=[npm]))
    assert (found.ok, found.found) == (False, f"{away}@1.2.0: unreachable, ECONNREFUSED")
    assert ".npmrc" in found.remedy
    assert _checks_packages.registry_gives(shop(tmp_path)) == Finding(True, "the release needs no licensed package")
