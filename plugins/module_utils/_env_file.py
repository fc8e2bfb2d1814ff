# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing the shop's ``.env`` in one step, with a way back. Results name keys, never values."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._files import fsync_directory


@dataclasses.dataclass(frozen=True)
class Change:
    """What was done or, in check mode, would be done."""

    changed: bool
    keys_before: tuple[str, ...]
    keys_after: tuple[str, ...]
    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    backup: str | None = None


def update(path: str, values: t.Mapping[str, str], *, only_missing: bool = False, backup: str | None = None, check: bool = False) -> Change:
    """Set *values* in the file *path*; a link is followed, and mode, owner and every other byte stay.

    :param only_missing: leave a key that is there as it is, whatever its value.
    :param backup: where the former content is kept; the default is a new name beside the file. A backup that is there
        already is not overwritten: it holds what the first of several attempts found.
    """
    text = _dotenv.load(path)
    before = _dotenv.parse(text)
    wanted = {key: value for key, value in values.items() if not (only_missing and key in before)}
    after = _dotenv.with_values(text, wanted)
    change = _difference(before, {**before, **wanted}, changed=after != text)
    if not change.changed:  # what an earlier, interrupted attempt has kept still counts
        return dataclasses.replace(change, backup=backup if backup and os.path.exists(backup) else None)
    backup = backup or f"{os.path.realpath(path)}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.{os.getpid()}~"
    if not check:
        if not os.path.exists(backup):
            _replace(backup, text, like=path)
        _replace(_note_of(backup), json.dumps(_noted(backup, text, after, change.added)), like=path)
        _replace(path, after, like=path)
    return dataclasses.replace(change, backup=backup)


def restore(path: str, backup: str, *, missing_ok: bool = False, check: bool = False) -> Change:
    """Take the update that made *backup* out of the file *path* again; the backup stays.

    Where nothing else was changed since, the content of *backup* comes back whole. Else only what was added goes: a value that
    was rotated since must not come back.

    :param missing_ok: where there is no backup, *path* was never changed and is left alone.
    """
    if missing_ok and not os.path.exists(backup):
        keys = tuple(_dotenv.read(path))
        return Change(changed=False, keys_before=keys, keys_after=keys)
    content = _dotenv.load(backup)
    current = _dotenv.load(path) if os.path.exists(path) else None
    if current is None or _read_note(backup).get("sha256") == _digest(current):
        after = content
    else:
        after = _dotenv.without(current, _added(backup, current))
    change = _difference(_dotenv.parse(current or ""), _dotenv.parse(after), changed=after != current)
    if change.changed and not check:
        _replace(path, after, like=backup if current is None else path)
    return dataclasses.replace(change, backup=backup)


def forget(backup: str) -> None:
    """Remove *backup* and what is known about it."""
    for name in (backup, _note_of(backup)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _note_of(backup: str) -> str:
    return f"{backup}.json"


def _read_note(backup: str) -> dict[str, t.Any]:
    """What was noted beside *backup*; empty where an older version of the collection made it."""
    try:
        note = json.loads(_dotenv.load(_note_of(backup)))
    except (EcommusError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _noted(backup: str, text: str, after: str, added: t.Sequence[str]) -> dict[str, t.Any]:
    """What is noted when *text* becomes *after*: the keys that were added since *backup*, and the file as it was written.

    Somebody else may have changed the file between two attempts: then no content is known that is ours alone.
    """
    ours = text == _dotenv.load(backup) or _digest(text) == _read_note(backup).get("sha256")
    return {"added": list(dict.fromkeys([*_added(backup, text), *added])), "sha256": _digest(after) if ours else None}


def _added(backup: str, text: str) -> list[str]:
    """The keys that the update added; without a note of it, those of *text* that *backup* lacks."""
    note, before = _read_note(backup), _dotenv.read(backup)
    return list(note["added"]) if "added" in note else [key for key in _dotenv.parse(text) if key not in before]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _difference(before: t.Mapping[str, str], after: t.Mapping[str, str], *, changed: bool) -> Change:
    return Change(
        changed=changed,
        keys_before=tuple(before),
        keys_after=tuple(after),
        added=tuple(key for key in after if key not in before),
        updated=tuple(key for key in after if key in before and before[key] != after[key]),
        removed=tuple(key for key in before if key not in after),
    )


def _replace(path: str, text: str, *, like: str) -> None:
    """Write *text* to *path*, with the owner, mode and attributes of *like*: a reader sees the old or the new content."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    model = os.stat(like)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)}.", dir=folder)  # 0600 from the start
    except OSError as error:
        raise EcommusError(f"{folder} cannot be written: {error.strerror}", "run as the user that owns the shop, or free space") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
            file.flush()
            if (model.st_uid, model.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(handle, model.st_uid, model.st_gid)
            os.fchmod(handle, model.st_mode & 0o7777)
            _copy_attributes(like, temporary)
            os.fsync(handle)
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise EcommusError(
                f"{target} cannot be written: {error.strerror}", "run as the user that owns the shop, or free space"
            ) from None
        raise
    fsync_directory(folder)


def _copy_attributes(source: str, target: str) -> None:
    """Carry access lists and security labels over, where the file system has them and they may be set."""
    with contextlib.suppress(OSError, AttributeError):
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))
