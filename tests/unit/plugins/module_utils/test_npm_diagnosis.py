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
from ansible_collections.mdlabs.ecommus.plugins.module_utils._npm_diagnosis import (
    Answer,
    code_of,
    diagnose,
    explained,
    refusal,
    refusal_cause,
)

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


def printed(code: str, *lines: str, word: str = "error") -> str:
    return "".join(f"npm {word} {line}\n" for line in (f"code {code}", *lines))


@pytest.mark.parametrize(
    ("output", "says", "remedy"),
    [
        (EUSAGE, "do not fit each other (Missing: left-pad@1.3.0 from lock file)", "undo local changes"),
        (EUSAGE.replace("error", "ERR!"), "do not fit each other (Missing: left-pad@1.3.0 from lock file)", "undo local changes"),
        (printed("EUSAGE", "`npm ci` can only install packages"), "each other (`npm ci` can only install packages)", "vendor"),
        (printed("EUSAGE", "`npm ci` can only install packages", "Invalid: x@1"), "each other (Invalid: x@1)", "vendor"),
        (REFUSED, "the registry cannot be reached (FetchError: request to http://127.0.0.1:21688/", "proxy"),
        (NOT_FOUND, "the registry cannot be reached (request to http://nohost.invalid:1/left-pad failed", "proxy"),
        *((printed(code, "slow"), "the registry cannot be reached (slow)", "network") for code in ("EAI_AGAIN", "ERR_SOCKET_TIMEOUT")),
        *((printed(code, "busy"), "the registry is in trouble (busy)", "when it answers") for code in ("E500", "E503", "E429")),
        (printed("CERT_HAS_EXPIRED", "certificate"), "certificate is not trusted (certificate)", "NODE_EXTRA_CA_CERTS"),
        (printed("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), "not trusted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)", "NODE_EXTRA_CA_CERTS"),
        (NO_SPACE, "the disk is full", "free space"),
        ("npm error code 1\nnpm error command failed\nnpm error gyp ENOSPC: no space left\n", "the disk is full", "free space"),
        (printed("EINTEGRITY", "sha512-x integrity checksum failed"), "is not what the lock file promises (sha512-x", "republished"),
        (printed("ETARGET", "notarget No matching version"), "does not have what the release asks for (No matching", "stay on"),
        (printed("E404", "404 Not Found - GET https://npm/left-pad - gone"), "asks for (Not Found - GET", "stay on"),
        (printed("EACCES", "syscall open", "path /x", "dest /y", "errno -13", "denied, open '/x'"), "be written (denied, open", "owner"),
        (SCRIPT, "command failed", "the live shop is untouched"),
        (
            "npm error code EBADENGINE\nnpm error engine Unsupported engine\n",
            "node or npm does not fit the release (Unsupported engine)",
            "path_prefix",
        ),
        (printed("EWHATEVER"), "EWHATEVER", "look into the log"),
        ("no word of npm\n", "exit code 7", "look into the log"),
        ("", "exit code 7", "look into the log"),
    ],
)
def test_other_failures(output: str, says: str, remedy: str) -> None:
    result = said(output, 7)
    error = diagnose(result, token_given=True, licence="", ask=never)
    assert error.message.startswith("npm ci failed: ")
    assert says in error.message
    assert remedy in error.remedy
    assert error.details == {"code": code_of(result), "log": result.tail(30)}
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (said(REFUSED), "ECONNREFUSED"),
        (said(FORBIDDEN_TARBALL), "E403"),
        (Result(("npm",), 1, FORBIDDEN, ""), "E403"),
        (said("  npm error code E403"), ""),
        (said(""), ""),
    ],
)
def test_the_code_that_npm_gave(result: Result, code: str) -> None:
    assert code_of(result) == code


def test_refused_package() -> None:
    assert refusal(said(FORBIDDEN)) == (PLUGIN, "the token was revoked")
    assert refusal(said(FORBIDDEN_TARBALL)) == (THEME, "")
    assert refusal(said("npm error 401 Unauthorized - GET https://npm/left-pad?x=/y -  log in ")) == ("left-pad", "log in")
    assert refusal(said("npm error 403 Forbidden - PUT https://npm/")) == ("", "")
    assert refusal(said(REFUSED)) == ("", "")


def licence(**claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJFZERTQSJ9.{payload}.c2ln"


REVOKED, SAYS = "the token was revoked", "the registry says: "
EXPIRED = "the licence of this token expired on 2026-01-01"
NOTHING_ELSE = "the registry refuses every licensed package, and the licence neither ended nor lacks them"


@pytest.mark.parametrize(
    ("code", "reason", "refused", "others", "given", "token", "cause", "evidence"),
    [
        ("E403", REVOKED, [PLUGIN], [], False, "", "token_missing", "none was given"),
        ("E403", REVOKED, [PLUGIN], [THEME], True, "", "token_revoked", SAYS + REVOKED),
        ("E403", EXPIRED, [PLUGIN], [], True, "", "licence_expired", SAYS + EXPIRED),
        ("E403", "not licensed for this token", [PLUGIN], [], True, "", "unlicensed", f"{SAYS}not licensed for this token"),
        ("E401", "", [PLUGIN], [THEME], True, "", "token_revoked", "the registry answered 401"),
        # A registry that gives no reason:
        ("E403", "", [PLUGIN], [THEME, "x"], True, "", "unlicensed", f"the same token may read {THEME}, x"),
        ("E403", "", [PLUGIN, THEME], [], True, "", "token_revoked", NOTHING_ELSE),
        ("E403", "", [PLUGIN], [], True, {"expires_at": 1}, "licence_expired", "ECOMMUS_LICENSE_JWT ended at 1970-01-01T00:00:01Z"),
        ("E403", "", [PLUGIN], [], True, {"licensed_plugins": ["other"]}, "unlicensed", "ECOMMUS_LICENSE_JWT does not list it"),
        ("E403", "", [PLUGIN], [], True, {"expires_at": None, "licensed_plugins": ["efactura-ro"]}, "token_revoked", NOTHING_ELSE),
        ("E403", "", [PLUGIN], [], True, "not a token", "token_revoked", NOTHING_ELSE),
    ],
)
def test_causes_of_a_refusal(
    code: str, reason: str, refused: list[str], others: list[str], given: bool, token: object, cause: str, evidence: str
) -> None:
    text = licence(**token) if isinstance(token, dict) else str(token)
    assert refusal_cause(code, reason, refused, others, given, text) == (cause, evidence)


@pytest.mark.parametrize(
    ("cause", "problem", "remedy"),
    [
        ("token_missing", "no NPM_REGISTRY_TOKEN was given", "put NPM_REGISTRY_TOKEN into the environment file"),
        ("token_revoked", "the NPM_REGISTRY_TOKEN is not valid or was revoked (because)", "fetch a new token"),
        ("licence_expired", "the licence has expired (because)", "renew it"),
        ("unlicensed", "not on the licence any more (because)", "re-issued"),
    ],
)
def test_each_cause_has_its_remedy(cause: str, problem: str, remedy: str) -> None:
    told = explained(cause, [PLUGIN, THEME], "because")
    assert told[0] == f"the registry refused {PLUGIN}, {THEME}: {problem}"
    assert remedy in told[1]
    assert explained(cause, [], "because")[0] == f"the registry refused a licensed package: {problem}"


def test_a_refusal_names_every_package() -> None:
    answers = {"@z/p": Answer("ok"), PLUGIN: Answer("refused"), "@ecommus-plugin/sms": Answer("missing"), THEME: Answer("ok")}
    result = said(FORBIDDEN.replace(" - the token was revoked", ""))
    error = diagnose(result, token_given=True, licence="", ask=lambda: answers)
    refused = [PLUGIN, "@ecommus-plugin/sms"]
    assert error.message == (
        f"npm ci failed: the registry refused {PLUGIN}, @ecommus-plugin/sms: not on the licence any more"
        f" (the same token may read {THEME}, @z/p)"
    )
    assert error.details == {"code": "E403", "cause": "unlicensed", "packages": refused, "log": result.tail(30)}


def test_a_token_that_is_not_known_is_told_by_the_code_alone() -> None:
    answers = {PLUGIN: Answer("refused"), THEME: Answer("ok")}
    error = diagnose(said("".join(f"{n}\n" for n in range(40)) + printed("E401")), token_given=True, licence="", ask=lambda: answers)
    assert (error.details["cause"], error.details["packages"]) == ("token_revoked", [PLUGIN])
    assert len(error.details["log"].splitlines()) == 30


def test_a_hidden_package_is_a_refusal() -> None:
    output = "npm error code E404\nnpm error 404 Not Found - GET https://npm.ecommus.cloud/@ecommus-plugin%2fefactura-ro - not found\n"
    assert diagnose(said(output), token_given=False, licence="", ask=dict).details["cause"] == "token_missing"


def test_a_package_of_others_that_is_not_there_is_no_refusal() -> None:
    output = "npm error code E404\nnpm error 404 Not Found - GET https://npm.ecommus.cloud/left-pad - not found\n"
    assert diagnose(said(output), token_given=False, licence="", ask=never).details["code"] == "E404"


def test_answers() -> None:
    assert Answer.of(Result(("npm",), 0, '"1.2.0"\n', "")) == Answer("ok", "")
    assert Answer.of(Result(("npm",), 0, "\n", "")) == Answer("missing", "the version is not there")
    assert Answer.of(said(FORBIDDEN)) == Answer("refused", "the token was revoked")
    assert Answer.of(said(FORBIDDEN_TARBALL)) == Answer("refused", "E403")
    assert Answer.of(said(printed("E401"))) == Answer("refused", "E401")
    assert Answer.of(said(printed("E404"))) == Answer("missing", "E404")
    assert Answer.of(said(printed("ETARGET"))) == Answer("missing", "ETARGET")
    assert Answer.of(said(REFUSED)) == Answer("unreachable", "ECONNREFUSED")


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
            "node_modules/alias": {"name": "@ecommus-plugin/sms"},
        }
    }
    assert premium_packages(lock) == {PLUGIN: "1.2.0", THEME: "2.0.0", "@ecommus-plugin/sms": ""}
    assert premium_packages({}) == {}
