# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Excerpts of the logs that pm2 keeps: only what was written since a moment, and without secrets."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import scrub
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

_IN_URL = re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]*(?=@)")
_TOKEN = re.compile(r"\beyJ[\w-]{10,}\.[\w.-]+")  # a JSON web token
_LIMIT = 256 * 1024  # bytes of a log that are looked at

# Sizes in bytes of log files at some moment; a file that is not in it was not there yet.
Mark = t.Mapping[str, int]


def mark(entries: t.Iterable[Entry]) -> Mark:
    """The state of the logs of *entries* now, for a later :func:`note`."""
    return {path: size(path) for entry in entries for path in (entry.error_log, entry.out_log) if path}


def note(pm2: Pm2, error: EcommusError, entries: t.Iterable[Entry], since: Mark, lines: int = 20) -> None:
    """Put into ``log`` of *error*'s details what the first of *entries* that wrote anything after *since* has written.

    pm2 writes logs late: of a process that ends in its first milliseconds there is nothing in them, and the remedy says what to do then.
    """
    if "log" in error.details:
        return
    entries = list(entries)
    texts = (read_from(path, since.get(path or "", 0)) for entry in entries for path in (entry.error_log, entry.out_log))
    text = next((text for text in texts if text.strip()), "")
    if text:
        with contextlib.suppress(EcommusError):  # what cannot be cleaned of secrets is not quoted
            error.details["log"] = excerpt(text, pm2.secrets(), lines)
    elif entries:
        error.remedy += f". It left nothing in its log; see what `node {entries[0].script}` says in {entries[0].cwd}"


def excerpt(text: str, secrets: t.Iterable[str], lines: int = 20) -> list[str]:
    """The last *lines* lines of *text* without *secrets*, and without what looks like a token or a password in a URL."""
    return _TOKEN.sub("***", _IN_URL.sub("***", scrub(text, secrets))).splitlines()[-lines:]


def size(path: str | None) -> int:
    """Bytes in the file *path*; 0 when there is none."""
    try:
        return os.path.getsize(path) if path else 0
    except OSError:
        return 0


def read_from(path: str | None, offset: int) -> str:
    """What was appended to the file *path* after *offset* bytes, as far as it is not too much; all of a file that shrank."""
    if not path:
        return ""
    try:
        with open(path, "rb") as file:
            total = os.fstat(file.fileno()).st_size
            file.seek(max(offset if total >= offset else 0, total - _LIMIT))
            return file.read(_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""
