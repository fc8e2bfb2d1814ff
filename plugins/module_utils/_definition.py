# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of a shop would be if a release that is not live yet were: its ecosystem file, with the paths of the release."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _ecosystem, _pm2_table
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2


@dataclasses.dataclass(frozen=True)
class Definition:
    """All that it takes to start a process without pm2. ``environment`` is the whole one, secrets and all.

    ``listen_timeout`` is for how many seconds pm2 waits until the process is ready.
    """

    name: str
    exec_mode: str
    interpreter: str
    node_args: tuple[str, ...]
    script: str
    args: tuple[str, ...]
    cwd: str
    wait_ready: bool
    listen_timeout: float
    environment: t.Mapping[str, str] = dataclasses.field(repr=False)

    @property
    def command(self) -> list[str]:
        """The argument list; pm2 calls a script that needs no interpreter ``none``."""
        start = [] if self.interpreter == "none" else [self.interpreter, *self.node_args]
        return [*start, self.script, *self.args]


def read(pm2: Pm2, file: str, root: str, directory: str, *, environment: str | None = None) -> dict[str, Definition | EcommusError]:
    """What *file* defines for *directory* instead of the live *root*, by name; an error in the place of what could not be started.

    A file below *root* that the release brings itself is the one that counts.

    :param environment: name of the ``env_<name>`` block to merge.
    :raises EcommusError: when the file does not evaluate.
    """
    file = _moved(file, root, directory)
    apps = _ecosystem.Ecosystem(pm2, file, environment).read(moves=_names(root), to=directory)
    return {str(app["name"]): _definition(pm2, app, file) for app in apps}


def _definition(pm2: Pm2, app: t.Mapping[str, t.Any], file: str) -> Definition | EcommusError:
    if app.get("error"):
        return EcommusError(f"{app['name']} of {file} cannot be started: {app['error']}", "correct cwd and script in the ecosystem file")
    cluster = str(app["exec_mode"]).startswith("cluster")
    return Definition(
        name=str(app["name"]),
        exec_mode="cluster" if cluster else "fork",
        interpreter=(_node_of_daemon(pm2) if cluster else None) or str(app["interpreter"]),
        node_args=tuple(map(str, app["node_args"])),
        script=str(app["script"]),
        args=tuple(map(str, app["args"])),
        cwd=str(app["cwd"]),
        wait_ready=app.get("wait_ready") in (True, "true"),
        listen_timeout=float(app.get("listen_timeout") or _pm2_table.DEFAULT_LISTEN_TIMEOUT_MS) / 1000,
        environment=app["env"],
    )


def _node_of_daemon(pm2: Pm2) -> str | None:
    """In cluster mode processes run on the Node.js that the daemon was started with, whatever PATH says by now."""
    try:
        node = os.readlink(f"/proc/{pm2.daemon_pid()}/exe")
    except OSError:
        return None
    return node if os.access(node, os.X_OK) else None  # it is gone when Node.js was upgraded beneath a running daemon


def _names(root: str) -> list[str]:
    """Every name by which the live directory may be called: *root*, and each link on the way to the real one."""
    names = [os.path.normpath(root)]
    while os.path.islink(names[-1]) and len(names) < 10:
        names.append(os.path.normpath(os.path.join(os.path.dirname(names[-1]), os.readlink(names[-1]))))
    real = os.path.realpath(root)
    return names if real in names else [*names, real]


def _moved(file: str, root: str, directory: str) -> str:
    for name in _names(root):
        if file.startswith(name + os.sep):
            there = os.path.join(directory, os.path.relpath(file, name))
            return there if os.path.exists(there) else file
    return file
