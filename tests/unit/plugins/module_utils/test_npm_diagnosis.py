# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What npm printed, per version, and what we say about it. tests/integration does the same with a real registry."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._npm import premium_packages
from ansible_collections.mdlabs.ecommus.plugins.module_utils._npm_diagnosis import Answer, diagnose, refusal, refusal_cause

PLUGIN, THEME = "@ecommus-plugin/efactura-ro", "@ecommus/theme-fashion"
# npm 10.9.3 and 11.19.1 print these alike; npm 8 says "ERR!" for "error".
FORBIDDEN = """\
npm error code E403
npm error 403 403 Forbidden - GET http://127.0.0.1:17302/@ecommus-plugin%2fefactura-ro - the token was revoked
npm error 403 In most cases, you or one of your dependencies are requesting
npm error 403 a package version that is forbidden by your security policy, or
npm error 403 on a server you do not have access to.
"""
FORBIDDEN_TARBALL = """\
npm ERR! code E403
npm ERR! 403 403 Forbidden - GET https://npm.ecommus.cloud/@ecommus/theme-fashion/-/theme-fashion-2.0.0.tgz
npm ERR! 403 In most cases, you or one of your dependencies are requesting
"""
EUSAGE = """\
npm error code EUSAGE
npm error
npm error `npm ci` can only install packages when your package.json and package-lock.json or npm-shrinkwrap.json are in sync. Please update.
npm error
npm error Missing: left-pad@1.3.0 from lock file
npm error
"""
REFUSED = """\
npm error code ECONNREFUSED
npm error syscall connect
npm error errno ECONNREFUSED
npm error FetchError: request to http://127.0.0.1:21688/left-pad/-/left-pad-1.3.0.tgz failed, reason: connect ECONNREFUSED 127.0.0.1:21688
npm error     at ClientRequest.<anonymous> (/opt/node/lib/node_modules/npm/node_modules/minipass-fetch/lib/index.js:130:14)
"""
NOT_FOUND = """\
npm error code ENOTFOUND
npm error syscall getaddrinfo
npm error errno ENOTFOUND
npm error network request to http://nohost.invalid:1/left-pad failed, reason: getaddrinfo ENOTFOUND nohost.invalid
npm error network This is a problem related to network connectivity.
"""
NO_SPACE = """\
npm error code ENOSPC
npm error syscall write
npm error errno -28
npm error nospc ENOSPC: no space left on device, write
"""
SCRIPT = """\
npm error code 1
npm error path /srv/shop/node_modules/sharp
npm error command failed
npm error command sh -c node install.js
npm error gyp ERR! build error
"""


def said(error: str, code: int = 1) -> Result:
    return Result(("npm", "ci"), code, "", error)


def never() -> dict[str, Answer]:
    raise AssertionError("only a refusal is a reason to ask the registry")


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (EUSAGE, "do not fit each other (Missing: left-pad@1.3.0 from lock file)"),
        (EUSAGE.replace("error", "ERR!"), "do not fit each other (Missing: left-pad@1.3.0 from lock file)"),
        (REFUSED, "the registry cannot be reached (FetchError: request to http://127.0.0.1:21688/"),
        (NOT_FOUND, "the registry cannot be reached (request to http://nohost.invalid:1/left-pad failed"),
        (NO_SPACE, "the disk is full"),
        ("npm error code 1\nnpm error command failed\nnpm error gyp ENOSPC: no space left\n", "the disk is full"),
        (SCRIPT, "command failed"),
        ("npm error code EBADENGINE\nnpm error engine Unsupported engine\n", "node or npm does not fit the release (Unsupported engine)"),
        ("", "exit code 1"),
    ],
)
def test_other_failures(output: str, says: str) -> None:
    error = diagnose(said(output), token_given=True, licence="", ask=never)
    assert says in error.message
    assert error.remedy
    assert "\n" not in str(error)


def test_refused_package() -> None:
    assert refusal(said(FORBIDDEN)) == (PLUGIN, "the token was revoked")
    assert refusal(said(FORBIDDEN_TARBALL)) == (THEME, "")


def licence(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJFZERTQSJ9.{payload}.c2ln"


@pytest.mark.parametrize(
    ("code", "reason", "refused", "others", "given", "token", "cause"),
    [
        ("E403", "the token was revoked", [PLUGIN], [], False, "", "token_missing"),
        ("E403", "the token was revoked", [PLUGIN], [THEME], True, "", "token_revoked"),
        ("E403", "the licence of this token expired on 2026-01-01", [PLUGIN], [], True, "", "licence_expired"),
        ("E403", "not licensed for this token", [PLUGIN], [], True, "", "unlicensed"),
        ("E401", "", [PLUGIN], [], True, "", "token_revoked"),
        # A registry that gives no reason:
        ("E403", "", [PLUGIN], [THEME], True, "", "unlicensed"),
        ("E403", "", [PLUGIN, THEME], [], True, "", "token_revoked"),
        ("E403", "", [PLUGIN], [], True, licence(expires_at=1), "licence_expired"),
        ("E403", "", [PLUGIN], [], True, licence(expires_at=None, licensed_plugins=["other"]), "unlicensed"),
        ("E403", "", [PLUGIN], [], True, licence(expires_at=None, licensed_plugins=["efactura-ro"]), "token_revoked"),
        ("E403", "", [PLUGIN], [], True, "not a token", "token_revoked"),
    ],
)
def test_causes_of_a_refusal(code: str, reason: str, refused: list[str], others: list[str], given: bool, token: str, cause: str) -> None:
    assert refusal_cause(code, reason, refused, others, given, token)[0] == cause


def test_a_refusal_names_every_package() -> None:
    answers = {PLUGIN: Answer("refused"), "@ecommus-plugin/sms": Answer("refused"), THEME: Answer("ok")}
    error = diagnose(said(FORBIDDEN.replace(" - the token was revoked", "")), token_given=True, licence="", ask=lambda: answers)
    assert error.details["packages"] == [PLUGIN, "@ecommus-plugin/sms"]
    assert f"the same token may read {THEME}" in error.message


def test_a_hidden_package_is_a_refusal() -> None:
    output = "npm error code E404\nnpm error 404 Not Found - GET https://npm.ecommus.cloud/@ecommus-plugin%2fefactura-ro - not found\n"
    assert diagnose(said(output), token_given=False, licence="", ask=dict).details["cause"] == "token_missing"


def test_answers() -> None:
    assert Answer.of(Result(("npm",), 0, '"1.2.0"\n', "")).kind == "ok"
    assert Answer.of(Result(("npm",), 0, "", "")).kind == "missing"
    assert Answer.of(said(FORBIDDEN)) == Answer("refused", "the token was revoked")
    assert Answer.of(said(REFUSED)).kind == "unreachable"


def test_premium_packages_of_a_lock_file() -> None:
    lock = {
        "packages": {
            "": {"name": "shop"},
            "plugins/reviews": {"name": "@ecommus-plugin/reviews"},
            "node_modules/@ecommus-plugin/reviews": {"resolved": "plugins/reviews", "link": True},
            f"node_modules/{PLUGIN}": {"version": "1.2.0"},
            f"apps/api/node_modules/{THEME}": {"version": "2.0.0"},
            "node_modules/@ecommus/core": {"resolved": "packages/core", "link": True},
            "node_modules/fastify": {"version": "5.0.0"},
        }
    }
    assert premium_packages(lock) == {PLUGIN: "1.2.0", THEME: "2.0.0"}
