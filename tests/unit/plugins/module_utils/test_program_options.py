# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules are told where the database is; the argument specs of the options that several share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.mdlabs.ecommus.plugins.module_utils._install_options import install_options, paths_of
from ansible_collections.mdlabs.ecommus.plugins.module_utils._layout import Paths
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_options import pm2_of, pm2_options
from ansible_collections.mdlabs.ecommus.plugins.module_utils._postgres_options import postgres_options
from ansible_collections.mdlabs.ecommus.plugins.module_utils._program_options import program_options

PROGRAM = {"env_file": None, "database_url": None, "database_url_key": "DATABASE_URL", "path_prefix": []}


Spec = Callable[[], dict[str, Any]]


@pytest.mark.parametrize(
    ("spec", "given", "found"),
    [
        (program_options, {}, PROGRAM),
        (
            program_options,
            {"env_file": "~/.env", "path_prefix": "~/bin,/b"},
            {**PROGRAM, "env_file": "/home/ann/.env", "path_prefix": ["/home/ann/bin", "/b"]},
        ),
        (postgres_options, {}, {**PROGRAM, "admin_url": None}),
        (
            postgres_options,
            {"env_file": "~/.env", "path_prefix": ["~/bin"]},
            {**PROGRAM, "admin_url": None, "env_file": "/home/ann/.env", "path_prefix": ["/home/ann/bin"]},
        ),
        (
            install_options,
            {"root": "~/shop", "base": "~/base", "path_prefix": ["~/bin"]},
            {"root": "/home/ann/shop", "base": "/home/ann/base", "path_prefix": ["/home/ann/bin"]},
        ),
        (install_options, {"root": "/shop"}, {"root": "/shop", "base": None, "path_prefix": []}),
        (pm2_options, {}, {"pm2_home": "/home/ann/.pm2", "path_prefix": []}),
        (
            pm2_options,
            {"pm2_home": "~/pm2", "path_prefix": ["~/bin"]},
            {"pm2_home": "/home/ann/pm2", "path_prefix": ["/home/ann/bin"]},
        ),
    ],
)
def test_what_is_not_given_has_a_default(
    monkeypatch: pytest.MonkeyPatch, spec: Spec, given: dict[str, Any], found: dict[str, Any]
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    result = ArgumentSpecValidator(spec()).validate(given)
    assert (result.error_messages, result.validated_parameters) == ([], found)


def test_an_install_has_a_root() -> None:
    assert ArgumentSpecValidator(install_options()).validate({}).error_messages == ["missing required arguments: root"]
    assert paths_of({"root": "/opt//shop/", "base": None}) == Paths("/opt/shop", "/opt/shop.d")
    assert paths_of({"root": "/opt/shop", "base": "/srv/base/"}) == Paths("/opt/shop", "/srv/base")


def test_a_daemon_has_an_absolute_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert pm2_of({"pm2_home": "srv/pm2", "path_prefix": ["/node"]}) == Pm2("/srv/pm2", ("/node",))


@pytest.mark.parametrize(
    ("spec", "secret", "open_"),
    [(program_options, ["database_url"], ["database_url_key"]), (postgres_options, ["admin_url", "database_url"], ["database_url_key"])],
)
def test_addresses_are_secrets_and_the_name_of_their_key_is_none(spec: Spec, secret: list[str], open_: list[str]) -> None:
    # A name with KEY in it counts as a secret where nothing is said.
    said = {name: option["no_log"] for name, option in spec().items() if "no_log" in option}
    assert said == {**dict.fromkeys(secret, True), **dict.fromkeys(open_, False)}
