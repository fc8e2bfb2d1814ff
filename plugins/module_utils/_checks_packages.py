# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the licence and of the private registry: the refusals that ``npm ci`` would meet, before anything is changed."""

from __future__ import annotations

import datetime
import os
import tempfile

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _license, _npm, _version
from ansible_collections.mdlabs.ecommus.plugins.module_utils._npm_diagnosis import explained, refusal_cause
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import WARNING, Finding, Subject, check


@check("The licence covers the release", "licence")
def licence_covers(subject: Subject) -> Finding:
    token = subject.environment.get(_npm.LICENCE_KEY, "")
    if not token:
        return Finding(False, f"{subject.env_file} has no {_npm.LICENCE_KEY}", "put the licence from the customer portal into it")
    licence = _license.decode(token)
    shown = licence.shown()
    if licence.expired():
        return Finding(False, f"the licence ended at {shown['expires_at']}", "renew it in super-admin or with your account manager")
    if licence.covers(_version.parse_tag(subject.version).major) is False:
        return Finding(
            False, f"the licence does not cover {subject.version}", "order the licence of the new major, or stay on the present one"
        )
    missing = licence.missing(_npm.premium_packages(subject.json("package-lock.json")))
    if missing:
        return Finding(
            False, f"not on the licence: {', '.join(missing)}", "have the licence re-issued with it, or stay on the present release"
        )
    return Finding(True, f"{shown.get('tier', 'licence')}, ends {shown['expires_at'] or 'never'}")


@check("The registry gives every licensed package of the release", "licence", "registry")
def registry_gives(subject: Subject) -> Finding:
    packages = _npm.premium_packages(subject.json("package-lock.json"))
    if not packages:
        return Finding(True, "the release needs no licensed package")
    token = subject.npm_token or subject.environment.get(_npm.TOKEN_KEY, "")
    with tempfile.TemporaryDirectory(prefix="ecommus-npm-") as directory:
        # npm reads the registry of a scope from the .npmrc of the project that it is called in.
        for name, text in ((".npmrc", subject.file(".npmrc") or ""), ("package.json", "{}")):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as stream:
                stream.write(text)
        answers = _npm.registry_answers(directory, packages, token=token, path_prefix=subject.path_prefix)
    bad = {name: answer for name, answer in answers.items() if answer.kind != "ok"}
    refused = [name for name, answer in bad.items() if answer.kind == "refused"]
    if refused:
        others = [name for name in answers if name not in bad]
        licence = subject.environment.get(_npm.LICENCE_KEY, "")
        cause, evidence = refusal_cause("E403", bad[refused[0]].reason, refused, others, bool(token), licence)
        return Finding(False, *explained(cause, refused, evidence))
    if bad:
        found = "; ".join(f"{name}@{packages[name]}: {answer.kind}, {answer.reason}" for name, answer in bad.items())
        return Finding(False, found, "check the registry's address in .npmrc and the network, or ask the vendor about the missing version")
    return Finding(True, ", ".join(f"{name}@{version}" for name, version in packages.items()))


@check("The licence lasts", "licence", severity=WARNING)
def licence_lasts(subject: Subject) -> Finding:
    licence = _license.decode(subject.environment.get(_npm.LICENCE_KEY, ""))
    ends = licence.expires_at
    left = (ends - datetime.datetime.now(datetime.timezone.utc)).days if ends else None
    if left is not None and left < 14:
        return Finding(False, f"the licence ends in {left} days", "renew it in super-admin or with your account manager")
    return Finding(True, "it is perpetual" if left is None else f"{left} days")
