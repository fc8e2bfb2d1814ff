# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a good answer is: status, text and JSON that a probe expects, and how an answer that falls short is described."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import scrub
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import Answer

_MISSING = object()
# As much of a body as fits in one line of an error.
_EXCERPT = 120


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What an answer must be.

    :param status: the HTTP statuses that are good.
    :param json: what the JSON body must hold at least; keys may be dotted paths, numbers in them index lists.
    :param text: what the body must contain, within its first MiB.
    """

    status: t.Sequence[int] = (200,)
    json: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    text: str = ""


def judge(answer: Answer, expected: Expectation, secrets: t.Sequence[str] = ()) -> str:
    """What is wrong with *answer*, in one line; empty when nothing is.

    :param secrets: what the line must not quote, should the server have echoed it.
    """

    def excerpt(text: str) -> str:
        # Before the cut: half a token would no longer be found.
        return quote(scrub(text, secrets))

    if answer.status not in expected.status:
        wanted = " or ".join(str(status) for status in expected.status)
        location = answer.headers.get("Location")
        detail = f", redirects to {scrub(location, secrets)}" if location else f", body {excerpt(answer.text)}"
        return f"status {answer.status} instead of {wanted}{detail}"
    if expected.text and expected.text not in answer.text:
        return f"the body lacks {excerpt(expected.text)}, it is {excerpt(answer.text)}"
    if expected.json:
        if answer.truncated:
            return "the body is too large to be read as JSON"
        try:
            body = json.loads(answer.text)
        except ValueError:
            return f"the body is not JSON: {excerpt(answer.text)}"
        return mismatch(expected.json, body, secrets=secrets)
    return ""


def mismatch(expected: t.Any, found: t.Any, path: str = "", secrets: t.Sequence[str] = ()) -> str:
    """Where *found* does not hold what *expected* asks for, in one line; empty when it does.

    Dictionaries are compared as subsets, all else exactly: ``1`` is not ``true``, and lists must be equal in length.
    """
    if isinstance(expected, t.Mapping):
        if not isinstance(found, (dict, list)):
            return _differs(path, expected, found, secrets)
        problems = (mismatch(value, _at(found, str(key)), f"{path}.{key}".lstrip("."), secrets) for key, value in expected.items())
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        problems = (mismatch(value, found[i], f"{path}.{i}".lstrip("."), secrets) for i, value in enumerate(expected))
    else:
        same = expected == found and isinstance(expected, bool) == isinstance(found, bool)
        return "" if same else _differs(path, expected, found, secrets)
    return next((problem for problem in problems if problem), "")


def quote(text: str) -> str:
    """The beginning of *text* in one quoted line."""
    line = " ".join(text.split())
    return '"' + (line if len(line) <= _EXCERPT else line[:_EXCERPT] + "…") + '"' if line else "empty"


def _at(found: t.Any, key: str) -> t.Any:
    if isinstance(found, dict) and key in found:
        return found[key]
    if isinstance(found, list) and key.isdigit() and int(key) < len(found):
        return found[int(key)]
    head, dot, rest = key.partition(".")
    return _at(_at(found, head), rest) if dot and found is not _MISSING else _MISSING


def _differs(path: str, expected: t.Any, found: t.Any, secrets: t.Sequence[str]) -> str:
    there = "nothing" if found is _MISSING else _compact(found, secrets)
    return f"JSON at {path or 'the top'}: expected {_compact(expected, secrets)}, found {there}"


def _compact(value: t.Any, secrets: t.Sequence[str]) -> str:
    text: str = scrub(json.dumps(value, ensure_ascii=False, default=str), secrets)
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…"
