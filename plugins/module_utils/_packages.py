# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed packages of a checkout that is upgraded in place, kept while another release lies there.

``npm ci`` removes them first. The way back must not need a registry that has just refused, so they are moved aside and back:
renamed within the checkout's own ``.git``, where neither git nor npm looks. Each function can be killed anywhere and is
then finished by the next call.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil

_PLACES = ("node_modules", "*/node_modules", "*/*/node_modules")  # of the root and of its workspaces
_WHOLE = ".whole"  # in what is kept: everything was moved there
_REPLACED = "replaced"


def keep(root: str, commit: str, wanted: str = "") -> None:
    """Move the packages that *commit* runs with aside; those of other releases, except *wanted*, are removed.

    Where they cannot be moved they stay where they are.
    """
    store = _store(root)
    if not os.path.isdir(os.path.join(root, ".git")):
        return
    for other in os.listdir(store) if os.path.isdir(store) else ():
        if other not in (commit, wanted):
            shutil.rmtree(os.path.join(store, other))
    kept = os.path.join(store, commit)
    os.makedirs(kept, exist_ok=True)
    if os.path.exists(os.path.join(kept, _WHOLE)):
        return
    try:
        _move(root, kept)
    except OSError:  # on a disk of their own, for one
        _move(kept, root)
        shutil.rmtree(kept)
        return
    open(os.path.join(kept, _WHOLE), "w", encoding="utf-8").close()


def began(root: str, commit: str) -> bool:
    """Whether packages of *commit* lie aside, all of them or as many as a killed :func:`keep` came to."""
    return os.path.isdir(os.path.join(_store(root), commit))


def restore(root: str, commit: str) -> bool:
    """Move the packages that were kept for *commit* back, in the place of those that are there; true when there were some.

    Once that is noted where it is looked up, :func:`forget` is to be called.

    :raises OSError: when they cannot be moved.
    """
    kept = os.path.join(_store(root), commit)
    if not os.path.isdir(kept):
        return False
    if os.path.exists(os.path.join(kept, _WHOLE)):
        _move(root, os.path.join(_store(root), _REPLACED))
        os.unlink(os.path.join(kept, _WHOLE))  # from here on what is in place belongs to `commit`
    _move(kept, root)
    return True


def forget(root: str, commit: str) -> None:
    """Remove what the return of the packages of *commit* has left over."""
    for name in (_REPLACED, commit):
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(os.path.join(_store(root), name))


def _store(root: str) -> str:
    return os.path.join(root, ".git", "ecommus-packages")


def _move(source: str, target: str) -> None:
    for pattern in _PLACES:
        for path in glob.glob(os.path.join(glob.escape(source), pattern)):
            there = os.path.join(target, os.path.relpath(path, source))
            if os.path.lexists(there):
                shutil.rmtree(there)
            os.makedirs(os.path.dirname(there), exist_ok=True)
            os.rename(path, there)
