# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's ``.env``, read as Node reads it and changed without touching a character that was not asked for.

The reading follows ``process.loadEnvFile`` of Node 22 (src/node_dotenv.cc ``Dotenv::ParseContent``), odd corners
included, because what counts is the value that the shop sees. The tests compare both on generated files.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
import urllib.parse

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_BLANK = " \t\n"  # what node trims; a no-break space is part of the value
_QUOTES = "\"'`"
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Written without quotes: nothing that node, a shell or systemd's EnvironmentFile would read differently.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]*")
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASS|JWT|KEY|CREDENTIAL|DSN|SALT", re.IGNORECASE)
_NO_SECRET_NAME = re.compile(r"(_FILE|_PATH|_DIR|_ID|_EXPIRY|_URL)$", re.IGNORECASE)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#:]*:(?P<password>[^/?#]*)@", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One assignment. ``start`` and ``end`` bound the value as it is written, quotes included (offsets in characters)."""

    key: str
    value: str
    start: int
    end: int


def read(path: str) -> dict[str, str]:
    """The variables in the file *path*."""
    return parse(load(path))


def load(path: str) -> str:
    """The whole text of the file *path*; bytes that are not UTF-8 and line ends come through unharmed."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        raise EcommusError(f"the environment file {path} does not exist", "correct its path in the inventory") from None
    except OSError as error:
        raise EcommusError(
            f"the environment file {path} cannot be read: {error.strerror}", "correct its path, or run as the user that owns the shop"
        ) from None


def secrets(variables: t.Mapping[str, str]) -> list[str]:
    """The values of *variables* that must not appear in any output: those named like a secret, and passwords inside URLs."""
    found = [value for key, value in variables.items() if _SECRET_NAME.search(key) and not _NO_SECRET_NAME.search(key)]
    for value in variables.values():
        url = _URL_WITH_PASSWORD.match(value)
        if url:
            found += [value, url["password"], urllib.parse.unquote(url["password"])]
    return found


def parse(text: str) -> dict[str, str]:
    """The variables of a ``.env`` as node reads it; of several assignments to a key the last one counts."""
    return {entry.key: entry.value for entry in entries(text)}


def entries(text: str) -> list[Entry]:
    """Every assignment of *text*, in order."""
    # Node drops every carriage return first. Offsets are mapped back, so that an edit keeps the file's line ends.
    origin = [index for index, char in enumerate(text) if char != "\r"]
    origin.append(len(text))
    found = []
    for entry in _scan(text.replace("\r", "")):
        start = origin[entry.start]
        end = origin[entry.end - 1] + 1 if entry.end > entry.start else start
        found.append(dataclasses.replace(entry, start=start, end=end))
    return found


def _scan(text: str) -> t.Iterator[Entry]:
    limit = len(text.rstrip(_BLANK))
    at = _skip_blank(text, 0, limit)
    while at < limit:
        newline = _find(text, "\n", at, limit)
        if text[at] in "\n#":
            at = newline + 1
            continue
        equals = _find(text, "=", at, newline)
        if equals == newline:  # a line without "=" says nothing
            at = _skip_blank(text, newline + 1, limit)
            continue
        key = text[at:equals].strip(_BLANK)
        start = equals + 1
        if start >= limit or text[start] == "\n":  # before "export" is looked at: node names this one "export KEY"
            if key:
                yield Entry(key, "", start, start)
            at = start + 1
            continue
        if not key:  # no variable, and node reads on right behind the "="
            at = _skip_blank(text, start, limit)
            continue
        if key.startswith("export "):
            key = key[len("export ") :].strip(_BLANK)
        # Node skips line ends here as well: "A= " followed by "B=1" makes A "B=1".
        entry, quoted = _value(text, key, _skip_blank(text, start, limit), limit)
        yield entry
        at = _find(text, "\n", entry.end, limit)  # what follows the value on its line is a comment or ignored
        if not quoted:
            at = _skip_blank(text, at, limit)


def _value(text: str, key: str, start: int, limit: int) -> tuple[Entry, bool]:
    """The assignment whose value begins at *start*, and whether the value stands in quotes."""
    quote = text[start] if start < limit and text[start] in _QUOTES else ""
    closing = text.find(quote, start + 1, limit) if quote else -1
    if closing >= 0:
        inner = text[start + 1 : closing]
        return Entry(key, inner.replace("\\n", "\n") if quote == '"' else inner, start, closing + 1), True
    newline = _find(text, "\n", start, limit)
    # An unclosed quote is part of the value, and so is a "#" after it.
    value = text[start:newline] if quote else text[start : _find(text, "#", start, newline)].rstrip(_BLANK)
    return Entry(key, value, start, start + len(value)), False


def _find(text: str, what: str, start: int, limit: int) -> int:
    """Where *what* is, or *limit*."""
    found = text.find(what, start, limit)
    return limit if found < 0 else found


def _skip_blank(text: str, at: int, limit: int) -> int:
    while at < limit and text[at] in _BLANK:
        at += 1
    return at


def with_values(text: str, values: t.Mapping[str, str]) -> str:
    """*text* with *values* set: a key that is there gets its value replaced where it stands, a new one is appended.

    :raises EcommusError: when a key or value cannot be written so that node reads it back, or when the file's own
        quoting is broken so that the change would alter other keys.
    """
    before = {entry.key: entry for entry in entries(text)}
    places = sorted((before[key] for key in values if key in before), key=lambda entry: entry.start, reverse=True)
    result = text
    for entry in places:
        if values[entry.key] != entry.value:
            result = result[: entry.start] + _written(entry.key, values[entry.key]) + result[entry.end :]
    added = [key for key in values if key not in before]
    newline = "\r\n" if "\r\n" in text else "\n"
    if added and result and not result.endswith("\n"):
        result += newline
    result += "".join(f"{key}={_written(key, values[key])}{newline}" for key in added)
    _check(result, {**{key: entry.value for key, entry in before.items()}, **values})
    return result


def without(text: str, keys: t.Collection[str]) -> str:
    """*text* without the lines that assign *keys*.

    :raises EcommusError: when other keys would read differently then.
    """
    found = entries(text)
    result = text
    for entry in reversed([entry for entry in found if entry.key in keys]):
        result = result[: text.rfind("\n", 0, entry.start) + 1] + result[_find(text, "\n", entry.end, len(text)) + 1 :]
    _check(result, {entry.key: entry.value for entry in found if entry.key not in keys})
    return result


def _check(text: str, expected: t.Mapping[str, str]) -> None:
    found = parse(text)
    wrong = sorted(key for key in {*found, *expected} if found.get(key) != expected.get(key))
    if wrong:
        raise EcommusError(
            f"the environment file cannot be changed safely: {', '.join(wrong)} would read differently afterwards",
            "look for an unclosed quote, or an empty value followed by blanks, and correct it by hand",
            variables=wrong,
        )


def _written(key: str, value: str) -> str:
    if not _KEY.fullmatch(key):
        raise EcommusError(f"{key!r} is not the name of an environment variable", "use letters, digits and _, and no digit in front")
    if "\r" in value or "\0" in value:
        raise EcommusError(f"the value of {key} holds a carriage return or a NUL, which node does not read", "remove it from the value")
    if _PLAIN.fullmatch(value):
        return value
    if "\n" in value and '"' not in value and "\\n" not in value:
        return '"' + value.replace("\n", "\\n") + '"'
    for quote in "'`":
        if quote not in value:
            return quote + value + quote
    if '"' not in value and "\\n" not in value:
        return f'"{value}"'
    raise EcommusError(
        f"the value of {key} holds every kind of quote, which a .env file cannot express", "encode it, for example in base64"
    )
