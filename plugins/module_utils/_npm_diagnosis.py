# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what npm printed to a cause and a remedy."""

from __future__ import annotations

import dataclasses
import re
import typing as t
import urllib.parse

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _license
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# npm before 10 says "ERR!" where later ones say "error".
_CODE = re.compile(r"^npm (?:error|ERR!) code (\S+)", re.MULTILINE)
_LINE = re.compile(r"^npm (?:error|ERR!) ?", re.MULTILINE)
# The word that npm sets before the lines about one kind of error.
_KIND = re.compile(r"^(?:notarget|network|engine|nospc|40[134]) +")
_REFUSED = re.compile(r"(?P<status>40[134])\b.*? - (?:GET|HEAD|PUT) (?P<url>\S+)(?: - (?P<reason>.+))?")
_REFUSALS = ("E401", "E403")
# Codes, problem, remedy of whatever is no refusal; the first row that has the code counts.
_OTHER: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("EUSAGE",),
        "package.json and package-lock.json of the release do not fit each other ({detail})",
        "report it to the vendor, or undo local changes of either file",
    ),
    (
        ("ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "ERR_SOCKET_TIMEOUT"),
        "the registry cannot be reached ({detail})",
        "check network, proxy and the registry's address; run again when it answers",
    ),
    (("E500", "E502", "E503", "E504", "E429"), "the registry is in trouble ({detail})", "run again when it answers"),
    (
        (
            "SELF_SIGNED_CERT_IN_CHAIN",
            "DEPTH_ZERO_SELF_SIGNED_CERT",
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
            "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
            "CERT_HAS_EXPIRED",
        ),
        "the registry's certificate is not trusted ({detail})",
        "set NODE_EXTRA_CA_CERTS, or npm's cafile, on the host",
    ),
    (("ENOSPC",), "the disk is full", "free space where the releases and npm's cache are, then run again"),
    (
        ("EBADENGINE",),
        "node or npm does not fit the release ({detail})",
        "install the version that the release asks for, or name its directory in path_prefix",
    ),
    (
        ("EINTEGRITY",),
        "a package is not what the lock file promises ({detail})",
        "do not go on: ask the vendor whether it was republished",
    ),
    (
        ("E404", "ETARGET"),
        "the registry does not have what the release asks for ({detail})",
        "stay on the present release and ask the vendor for it",
    ),
    (
        ("EACCES", "EPERM", "EROFS"),
        "a file may not be written ({detail})",
        "run as the user that owns the shop, and check the owner of npm's cache directory",
    ),
)
# What a registry may say in a refusal, by what it means.
_SAID = {
    "token": re.compile(r"revoked|token|credential|log ?in|unauthori[sz]ed|authenticat", re.IGNORECASE),
    "expired": re.compile(r"licen[cs]e.*expired|expired.*licen[cs]e|subscription.*(expired|ended)", re.IGNORECASE),
    "unlicensed": re.compile(
        r"not (licen[cs]ed|include|entitled)|does not (include|cover)|no longer (licen[cs]ed|included)", re.IGNORECASE
    ),
}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a registry says about a package: ``ok``, ``refused``, ``missing`` or ``unreachable``, and its words."""

    kind: str
    reason: str = ""

    @classmethod
    def of(cls, result: Result) -> Answer:
        if result.code == 0:
            return cls("ok") if result.output.strip() else cls("missing", "the version is not there")
        code = code_of(result)
        kind = "refused" if code in _REFUSALS else "missing" if code in ("E404", "ETARGET") else "unreachable"
        return cls(kind, refusal(result)[1] or code)


def code_of(result: Result) -> str:
    """npm's error code, such as E403; empty when it gave none."""
    match = _CODE.search(f"{result.error}\n{result.output}")
    return match[1] if match else ""


def refusal(result: Result) -> tuple[str, str]:
    """The package whose download was refused, and the registry's reason; empty where npm does not say."""
    match = _REFUSED.search(result.error)
    if not match:
        return "", ""
    path = urllib.parse.unquote(urllib.parse.urlsplit(match["url"]).path).partition("/-/")[0]
    name = re.search(r"(@[^/]+/)?[^/]+$", path)
    return name[0] if name else "", (match["reason"] or "").strip()


def diagnose(result: Result, *, token_given: bool, licence: str, ask: t.Callable[[], t.Mapping[str, Answer]]) -> EcommusError:
    """The error for an ``npm ci`` that failed.

    :param licence: the shop's licence token, or empty.
    :param ask: asks the registry about every licensed package of the lock file; called only after a refusal.
    """
    code = code_of(result)
    package, _reason = refusal(result)
    premium = package.startswith((_license.PLUGIN_SCOPE, _license.THEME_PREFIX))
    # Some registries hide what one may not read behind a 404.
    if code in _REFUSALS or (code == "E404" and premium):
        return _refused(result, token_given, licence, ask())
    message, remedy = _other(result, code)
    return EcommusError(f"npm ci failed: {message}", remedy, code=code, log=result.tail(30))


def _refused(result: Result, token_given: bool, licence: str, answers: t.Mapping[str, Answer]) -> EcommusError:
    package, reason = refusal(result)
    refused = sorted({name for name, answer in answers.items() if answer.kind != "ok"} | ({package} if package else set()))
    others = sorted(name for name, answer in answers.items() if answer.kind == "ok")
    cause, evidence = refusal_cause(code_of(result), reason, refused, others, token_given, licence)
    problem, remedy = explained(cause, refused, evidence)
    return EcommusError(f"npm ci failed: {problem}", remedy, code=code_of(result), cause=cause, packages=refused, log=result.tail(30))


def explained(cause: str, refused: t.Sequence[str], evidence: str) -> tuple[str, str]:
    """Problem and remedy in words for a cause of :func:`refusal_cause`."""
    names = ", ".join(refused) or "a licensed package"
    return {
        "token_missing": (
            f"the registry refused {names}: no NPM_REGISTRY_TOKEN was given",
            "fetch the token from the customer portal and put NPM_REGISTRY_TOKEN into the environment file or the inventory",
        ),
        "token_revoked": (
            f"the registry refused {names}: the NPM_REGISTRY_TOKEN is not valid or was revoked ({evidence})",
            "fetch a new token from the customer portal and put it into the environment file or the inventory",
        ),
        "licence_expired": (
            f"the registry refused {names}: the licence has expired ({evidence})",
            "renew it in super-admin or with your account manager, or stay on the present release",
        ),
        "unlicensed": (
            f"the registry refused {names}: not on the licence any more ({evidence})",
            "have the licence re-issued with it, or stay on the present release",
        ),
    }[cause]


def refusal_cause(
    code: str, reason: str, refused: t.Sequence[str], others: t.Sequence[str], token_given: bool, licence: str
) -> tuple[str, str]:
    """Which of the documented causes a refusal has, and what says so; the most telling evidence first."""
    known = _claims(licence)
    said = f"the registry says: {reason}"
    ended = known.shown()["expires_at"] if known else None
    # A reason that says why may name the token as well, so that sign comes last of the three.
    signs: tuple[tuple[object, str, str], ...] = (
        (not token_given, "token_missing", "none was given"),
        (_SAID["expired"].search(reason), "licence_expired", said),
        (_SAID["unlicensed"].search(reason), "unlicensed", said),
        (_SAID["token"].search(reason), "token_revoked", said),
        (code == "E401", "token_revoked", "the registry answered 401"),
        (known and known.expired(), "licence_expired", f"ECOMMUS_LICENSE_JWT ended at {ended}"),
        (others, "unlicensed", f"the same token may read {', '.join(others)}"),
        (known and known.missing(refused), "unlicensed", "ECOMMUS_LICENSE_JWT does not list it"),
        (True, "token_revoked", "the registry refuses every licensed package, and the licence neither ended nor lacks them"),
    )
    return next((cause, evidence) for sign, cause, evidence in signs if sign)


def _claims(licence: str) -> _license.License | None:
    try:
        return _license.decode(licence)
    except EcommusError:
        return None


def _other(result: Result, code: str) -> tuple[str, str]:
    """Problem and remedy for whatever is no refusal."""
    detail = _first_detail(result) or code or f"exit code {result.code}"
    # npm gives a number as the code when a package's install script fails.
    known = code if any(code in codes for codes, _problem, _remedy in _OTHER) else "ENOSPC" if "ENOSPC" in result.error else ""
    for codes, problem, remedy in _OTHER:
        if known in codes:
            return problem.format(detail=detail), remedy
    return detail, "look into the log; the live shop is untouched"


def _first_detail(result: Result) -> str:
    """The first line of npm's error that is more than a code."""
    for line in result.error.splitlines():
        text = _KIND.sub("", _LINE.sub("", line, count=1).strip())
        if not _LINE.match(line) or not text or re.match(r"(code|errno|syscall|path|dest|type) ?\S*$", text):
            continue
        if text.startswith("`npm ci` can only install"):
            missing = re.search(r"^npm (?:error|ERR!) ((?:Missing|Invalid): .*)$", result.error, re.MULTILINE)
            return missing[1] if missing else text
        return text
    return ""
