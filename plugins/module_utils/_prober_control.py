# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts, stops and reads the uptime prober of a directory."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import typing as t
import zipfile

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _prober
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._receipt import read_log, summarize

_PACKAGE = "ansible_collections.mdlabs.ecommus.plugins.module_utils"
# The prober and all of the collection that it imports.
_PACKED = ("_command", "_errors", "_expect", "_http", "_http_error", "_prober", "_receipt", "_transport")
_PROGRAM = "prober.pyz"
_START_PATIENCE = 20.0


def running(directory: str) -> int | None:
    """The process id of the prober that lives in *directory*. The lock is the proof, the number in the file is not."""
    try:
        with open(os.path.join(directory, _prober.PID), encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                with contextlib.suppress(ValueError):
                    return int(json.load(file)["pid"])
    except FileNotFoundError:
        pass
    return None


def start(directory: str, plan: _prober.Plan) -> int:
    """Start a prober in *directory* and return its process id once it is at work. A log that is there is continued.

    :raises EcommusError: a target cannot be asked at all, or the prober did not come up.
    """
    for target in plan.targets:
        with target.client():
            pass
    os.makedirs(directory, mode=0o700, exist_ok=True)
    _write(os.path.join(directory, _prober.CONFIG), json.dumps(plan.to_json(), indent=2).encode())
    _write(os.path.join(directory, _PROGRAM), pack())
    python_path = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    errors = os.path.join(directory, _prober.ERRORS)
    with open(errors, "wb") as stderr:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            [sys.executable, os.path.join(directory, _PROGRAM), directory],
            env=clean_environment(python_path),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    ends = time.monotonic() + _START_PATIENCE
    while time.monotonic() < ends:
        pid = running(directory)
        if pid:
            return pid
        if process.poll() is not None:
            break
        time.sleep(0.02)
    else:
        process.kill()
    with open(errors, encoding="utf-8", errors="replace") as file:
        said = file.read().strip().splitlines()[-1:]
    raise EcommusError(f"the prober did not start: {' '.join(said) or 'it said nothing'}", f"look at {errors}")


def stop(directory: str, pid: int, patience: float) -> bool:
    """Have the prober end. Answers False when it had to be killed.

    :param patience: seconds; what it has asked for is still waited for.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        ends = time.monotonic() + patience
        while time.monotonic() < ends:
            if running(directory) != pid:
                return number == signal.SIGTERM
            time.sleep(0.05)
    raise EcommusError(f"the prober, process {pid}, does not end", "end it by hand")


def read(directory: str) -> dict[str, t.Any]:
    """What was found so far: the summary of the log with ``status`` running, ended, died or absent."""
    pid = running(directory)
    try:
        records = read_log(os.path.join(directory, _prober.LOG))
    except FileNotFoundError:
        records = []
    ended = bool(records) and records[-1].get("event") == "ended"
    status = "running" if pid else "ended" if ended else "died" if records else "absent"
    return {"status": status, "pid": pid or 0, "log": os.path.join(directory, _prober.LOG), **summarize(records)}


def same_plan(directory: str, plan: _prober.Plan) -> bool:
    """Whether the prober of *directory* was started with *plan*."""
    try:
        with open(os.path.join(directory, _prober.CONFIG), encoding="utf-8") as file:
            return bool(json.load(file) == plan.to_json())
    except (OSError, ValueError):
        return False


def pack() -> bytes:
    """The prober as one executable zip file: the module that starts it lies in a directory that Ansible removes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = _PACKAGE.split(".")
        for i in range(len(parts)):
            archive.writestr("/".join([*parts[: i + 1], "__init__.py"]), "")
        for name in _PACKED:
            module = importlib.import_module(f"{_PACKAGE}.{name}")
            # Ansible's loaders and zipimport both give the source.
            source = t.cast(t.Any, module.__spec__).loader.get_source(module.__name__)
            archive.writestr(f"{_PACKAGE.replace('.', '/')}/{name}.py", source)
        archive.writestr("__main__.py", f"import sys\nfrom {_PACKAGE}._prober import main\nsys.exit(main(sys.argv[1]))\n")
    return buffer.getvalue()


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
