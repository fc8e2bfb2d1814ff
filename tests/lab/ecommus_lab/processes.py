"""Starting the lab's daemons, and ending exactly those.

A process is remembered as pid plus start time, because a pid alone may by now belong to somebody else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from .config import LabError

# Children of this very Python process; they must be reaped, or they stay behind as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


def start_time(pid: int) -> int | None:
    """Start time of a live process in clock ticks since boot (proc(5), ``stat`` field 22), else ``None``."""
    if pid in _children:
        _children[pid].poll()
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


def spawn(argv: list[str], pid_file: Path, log: Path, env: dict[str, str], cwd: Path | None = None) -> int:
    """Starts a daemon in its own session, its output in ``log``; returns its pid, also kept in ``pid_file``."""
    with log.open("ab") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True)
    _children[process.pid] = process
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    pid_file.write_text(json.dumps({"pid": process.pid, "start": start_time(process.pid)}))
    return process.pid


def running(pid_file: Path) -> int | None:
    """The pid in ``pid_file`` if that very process is alive."""
    try:
        known = json.loads(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    start = start_time(known["pid"])
    return known["pid"] if start is not None and start == known["start"] else None


def stop(pid_file: Path, how: signal.Signals = signal.SIGTERM, patience: float = 15) -> None:
    """Ends the process of ``pid_file`` with a signal, after ``patience`` seconds with SIGKILL."""
    for attempt in (how, signal.SIGKILL):
        pid = running(pid_file)
        if pid is None:
            break
        _signal(pid, attempt)
        wait_until(lambda: running(pid_file) is None, patience)
    pid_file.unlink(missing_ok=True)


def end(pids: list[int], how: signal.Signals = signal.SIGTERM, patience: float = 10) -> None:
    """Ends processes known by pid, each only while it is the same process; after ``patience`` seconds with SIGKILL."""
    known = {pid: start_time(pid) for pid in pids}

    def alive() -> list[int]:
        return [pid for pid, start in known.items() if start is not None and start_time(pid) == start]

    for attempt in (how, signal.SIGKILL):
        for pid in alive():
            _signal(pid, attempt)
        if wait_until(lambda: not alive(), patience):
            return


def wait_until(condition: Callable[[], object], seconds: float, interval: float = 0.05) -> bool:
    """Polls until ``condition`` holds; ``False`` if it did not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def wait_for_port(name: str, port: int, pid_file: Path, log: Path, seconds: float = 30) -> None:
    """Waits until a daemon listens.

    :raises LabError: it ended or did not listen in time; with the end of its log.
    """

    def settled() -> bool:
        return listening(port) or running(pid_file) is None

    if not wait_until(settled, seconds) or running(pid_file) is None:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:])
        raise LabError(f"{name} did not start on port {port}\n  {tail}")


def listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bindable(port: int) -> bool:
    """Whether a loopback port is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
