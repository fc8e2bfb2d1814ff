# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that a process has the environment that it should have, by its own view. Says names of keys, never values.

pm2 does not know what a service reads from its environment file by itself. So the proof of that is that it started after the
file's last change, and that the file, by the path through its own release, has the keys. What the ecosystem file gives it was put into
its environment by pm2: the kernel shows it.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_TICK = 0.05  # seconds; the kernel counts start times in hundredths of a second
# In cluster mode all that pm2 knows of the process arrives as JSON in one variable (pm2 7.0.4 lib/God/ClusterMode.js).
_OF_PM2 = "pm2_env"
# Our own addition at a cut-over changes it for one start.
_CHANGED = frozenset(["NODE_OPTIONS"])


def problem(
    pid: int, root: str | None, env_file: str | None, env_keys: t.Iterable[str] = (), environment: t.Mapping[str, str] | None = None
) -> str | None:
    """What is wrong with the environment of the process *pid*; None when nothing is.

    :param root: the directory that its release is called by.
    :param env_file: what it reads at boot; when it lies below *root*, then by its place in the release.
    :param env_keys: what that file must have.
    :param environment: what the ecosystem file gives it.
    """
    info = _process.inspect(pid)
    if info is None:
        return "does not live"
    return _of_file(info.started, _seen(root, env_file), env_keys) or _of_kernel(pid, environment or {})


def _seen(root: str | None, env_file: str | None) -> str | None:
    """*env_file* by the path that leads through the release itself."""
    if root and env_file and os.path.normpath(env_file).startswith(os.path.normpath(root) + os.sep):
        return os.path.join(os.path.realpath(root), os.path.relpath(env_file, root))
    return env_file


def _of_file(started: float, path: str | None, keys: t.Iterable[str]) -> str | None:
    if path is None:
        return None
    try:
        changed = os.stat(path).st_ctime  # not st_mtime: one that was put back from elsewhere may keep that
        known = _dotenv.read(path)
    except OSError as error:
        return f"has no {path} that can be read: {error.strerror}"
    except EcommusError as error:
        return f"cannot be judged: {error.message}"
    if changed > started + _TICK:
        return f"was started before {path} was changed, and has not read it again"
    missing = sorted(set(keys) - set(known))
    return f"reads {path}, which has no {', '.join(missing)}" if missing else None


def _of_kernel(pid: int, wanted: t.Mapping[str, str]) -> str | None:
    if not wanted:
        return None
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = (item.partition("=") for item in os.fsdecode(file.read()).split("\0"))
    except OSError as error:
        return f"does not show its environment: {error.strerror}"
    found: dict[str, t.Any] = {key: value for key, _separator, value in pairs}
    of_pm2 = json.loads(found.get(_OF_PM2) or "{}")
    found = {**found, **of_pm2, **of_pm2.get("env", {})}
    wrong = sorted(key for key, value in wanted.items() if key not in _CHANGED and _text(found.get(key)) != value)
    return f"does not have {', '.join(wrong)} as the ecosystem file gives it" if wrong else None


def _text(value: t.Any) -> str | None:
    """As JavaScript writes it."""
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)
