# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proof that processes live, stay alive, run the right code and answer.

pm2 reports success for a release that crashes or hangs at boot, and shows a crash loop as ``online`` most of the time. So
proof is: every expected id online, ready if it promised to say so, its real directory the expected one, its own answer
good (the connection is followed to the very process), and none of this changed over a window of time.
"""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import json
import os
import socket
import time
import typing as t
import urllib.parse

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process, _proof_environment
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry

_POLL = 0.25  # seconds between looks at the table, some milliseconds each: a bad boot is seen within half a second
_RESTART = 1.0  # seconds that pm2 may take to restart a process which has just ended
_NODE_BOOT = 10.0  # seconds until node runs a line of pm2's on a busy host; some hundredths elsewhere
_BAD_ANSWERS = 3  # of one process that said it is ready, in a row, before it is given up: it is taking real requests meanwhile


class NotProven(EcommusError):
    """A process does not live up to what was expected of it. ``details`` holds ``process``, ``pm_id`` and ``reason``."""


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What a process must fulfil to be believed.

    :param expect_path: the directory that its real working directory and script must lie under.
    :param health_urls: plain http URLs on this host; each process must answer each of them with 200, and not with ``"ok": false``.
    :param stable_seconds: how long its id, pid and restart counter must stand still.
    :param timeout: seconds until it is online and answers.
    :param port: on which each process must take connections; see :func:`_check_taking`.
    :param source_ports: ports to ask from, where the answering process depends on that; see :mod:`_shared_port`.
    :param env_file: what it reads at boot; see :mod:`_proof_environment`, also for ``env_keys`` and ``environment``.
    """

    expect_path: str | None = None
    health_urls: tuple[str, ...] = ()
    stable_seconds: float = 3.0
    timeout: float = 60.0
    port: int | None = None
    source_ports: t.Sequence[int] = ()
    env_file: str | None = None
    env_keys: tuple[str, ...] = ()
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


def prove(pm2: Pm2, ids: t.Collection[int], conditions: Conditions) -> list[Entry]:
    """Watch the processes *ids* until they are proven; their entries.

    :raises NotProven: at the first thing that is not as it should be.
    """
    entries = answer(pm2, ids, conditions)
    watch(pm2, entries, conditions.stable_seconds)
    return entries


def answer(pm2: Pm2, ids: t.Collection[int], conditions: Conditions) -> list[Entry]:
    """Wait until the processes *ids* are online, run the right code and answer; their entries. They are still to be watched.

    :raises NotProven: at the first thing that is not as it should be.
    """
    entries = settle(pm2, ids, conditions.timeout)
    for entry in entries:
        _await_directory(pm2, entry, conditions.expect_path)
        check_identity(entry, conditions)
    if conditions.port is not None:
        _check_taking(pm2, entries, conditions.port, conditions.timeout)
    for url in conditions.health_urls:
        _check_health(pm2, entries, url, conditions.timeout, itertools.cycle(conditions.source_ports or (0,)))
    return entries


def settle(pm2: Pm2, ids: t.Collection[int], timeout: float) -> list[Entry]:
    """Wait until pm2 shows all of *ids* online, at most *timeout* seconds."""
    deadline = time.monotonic() + timeout
    first: dict[int, Entry] = {}
    while True:
        now = {entry.pm_id: entry for entry in pm2.table() if entry.pm_id in ids}
        for pm_id in ids:
            if pm_id not in now:
                raise NotProven(f"process {pm_id} is not in pm2's table any more", "look at pm2.log", pm_id=pm_id, reason="gone")
            _same_life(pm2, first.setdefault(pm_id, now[pm_id]), now[pm_id])
        if all(entry.online and _process.alive(entry.pid) for entry in now.values()):
            return [now[pm_id] for pm_id in sorted(now)]
        if time.monotonic() > deadline:
            late = next(entry for entry in now.values() if not entry.online)
            raise _failure(late, f"is {late.status} instead of online after {timeout:.0f} s")
        time.sleep(_POLL)


def watch(pm2: Pm2, entries: t.Collection[Entry], seconds: float) -> None:
    """See that *entries* go on living as they are for *seconds* seconds; any restart is a failure at once."""
    deadline = time.monotonic() + seconds
    while True:
        now = {entry.pm_id: entry for entry in pm2.table()}
        for entry in entries:
            if entry.pm_id not in now:
                raise _failure(entry, "has vanished from pm2's table")
            _same_life(pm2, entry, now[entry.pm_id])
            if now[entry.pm_id].pid != entry.pid or not now[entry.pm_id].online:
                raise _failure(
                    now[entry.pm_id],
                    f"did not stay alive (pid {entry.pid}, now {now[entry.pm_id].pid or 'none'}, {now[entry.pm_id].status})",
                )
        if time.monotonic() > deadline:
            return
        time.sleep(min(_POLL, max(0.01, deadline - time.monotonic())))


def _await_directory(pm2: Pm2, entry: Entry, expected: str | None) -> None:
    """Give *entry* the time to go where it belongs.

    A worker begins in the directory of the daemon, and leaves it when node has booted (pm2 7.0.4 lib/ProcessContainer.js). One that says
    when it is ready is long past that.
    """
    deadline = time.monotonic() + _NODE_BOOT
    while expected is not None and not entry.wait_ready and time.monotonic() < deadline:
        info = _process.inspect(entry.pid)
        if info is None or (info.cwd is not None and _under(info.cwd, os.path.realpath(expected))):
            return
        watch(pm2, [entry], 0)
        time.sleep(0.02)


def check_identity(entry: Entry, conditions: Conditions) -> None:
    """See that *entry* runs the right code, and began with the environment that is there now."""
    check_path(entry, conditions.expect_path)
    problem = _proof_environment.problem(
        entry.pid, conditions.expect_path, conditions.env_file, conditions.env_keys, conditions.environment
    )
    if problem:
        raise _failure(entry, problem)


def check_directory(entry: Entry, expected: str) -> _process.ProcessInfo:
    """See that *entry* works under the real directory *expected*; what the kernel knows about it."""
    root = os.path.realpath(expected)
    info = _process.inspect(entry.pid)
    if info is None:
        raise _failure(entry, "does not live")
    if info.cwd is None or not _under(info.cwd, root):
        raise _failure(entry, f"works in {info.cwd} and not under {root}")
    return info


def check_path(entry: Entry, expected: str | None) -> None:
    """See that *entry* runs from under the real directory *expected*: where it works, and what it was started from.

    A script's path says where it came from only if no link in it was changed since: then what it resolves to now is what node loaded.
    """
    if expected is None:
        return
    info, root = check_directory(entry, expected), os.path.realpath(expected)
    script = os.path.realpath(entry.script)
    if not _under(script, root):
        raise _failure(entry, f"was started from {script} and not from under {root}")
    link = _newest_link(entry.script)
    if link is not None and link[1] > info.started + 0.05:  # the kernel counts start times in hundredths of a second
        raise _failure(entry, f"was started before the link {link[0]} was switched")


def _check_taking(pm2: Pm2, entries: t.Collection[Entry], port: int, timeout: float) -> None:
    """Wait until each of *entries*, in cluster mode, has taken a connection to *port*.

    For those that do not promise to say when they are ready (``wait_ready``). pm2 calls them online as soon as they exist, and tells
    nobody but its own reload that a worker listens (pm2 7.0.4 lib/God.js executeApp, lib/God/Reload.js). The kernel shows the daemon as
    the one who listens. But the daemon hands connections only to workers that listen on that very port, to each in turn, and who holds
    one the kernel does show. No request is sent: what answers 200 without a proxy in front is not known of every service.
    """
    waiting = {entry.pid: entry for entry in entries}
    deadline = time.monotonic() + max([timeout, *(entry.listen_timeout_ms / 1000 for entry in entries)])
    while True:
        for pid in taking(pm2, port):
            waiting.pop(pid, None)
        watch(pm2, entries, 0)
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise _failure(next(iter(waiting.values())), f"takes no connection on port {port} within {timeout:.0f} s")
        time.sleep(0.02)


def taking(pm2: Pm2, port: int) -> list[int]:
    """Which of pm2's processes takes the next connection to *port* of this host; none when nobody does."""
    try:
        with socket.create_connection(("localhost", port), timeout=2) as connection:
            return _process.peer_pids(connection, timeout=0.3, candidates=[entry.pid for entry in pm2.table()])
    except OSError:
        return []


def _check_health(pm2: Pm2, entries: t.Collection[Entry], url: str, timeout: float, source_ports: t.Iterator[int]) -> None:
    waiting = {entry.pid: entry for entry in entries}
    bad: dict[int, int] = {}
    deadline = time.monotonic() + timeout
    last = "no connection reached it"
    while waiting:
        everyone = [child.pid for child in _process.children(pm2.daemon_pid())]
        pid, problem = ask(url, candidates=everyone, timeout=5, source_port=next(source_ports))
        if pid is not None and pid in waiting:
            if problem is None:
                del waiting[pid]
                continue
            last, bad[pid] = problem, bad.get(pid, 0) + 1
            if waiting[pid].wait_ready and bad[pid] >= _BAD_ANSWERS:
                raise _failure(waiting[pid], f"answers {url} with {problem}")
            time.sleep(0.2)
        elif problem is not None:
            last = problem
            time.sleep(0.1)
        watch(pm2, entries, 0)
        if time.monotonic() > deadline:
            raise _failure(next(iter(waiting.values())), f"gives no good answer to {url} within {timeout:.0f} s ({last})")


def ask(url: str, *, candidates: t.Collection[int], timeout: float, source_port: int = 0) -> tuple[int | None, str | None]:
    """GET *url* once; which of the processes *candidates* answered (None: not known), and what was wrong (None: nothing)."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout, source_address=("", source_port)
    )
    pid: int | None = None
    try:
        connection.connect()
        connection.request("GET", urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, "")))
        owners = _process.peer_pids(connection.sock, timeout=0.3, candidates=candidates)
        pid = owners[0] if owners else None
        response = connection.getresponse()
        body = response.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        return pid, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    finally:
        connection.close()
    if response.status != 200:
        return pid, f"status {response.status}"
    return pid, '"ok": false' if _says_not_ok(body) else None


def _says_not_ok(body: bytes) -> bool:
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("ok") is False


def _same_life(pm2: Pm2, before: Entry, now: Entry) -> None:
    now = _settled(pm2, now)
    if now.restarts != before.restarts or now.unstable_restarts > before.unstable_restarts:
        raise _failure(now, f"crashed and was restarted by pm2 (exit code {now.exit_code})")
    if now.status in ("errored", "stopped", "waiting restart"):
        raise _failure(now, f"ended (exit code {now.exit_code}), pm2 shows it as {now.status}")


def _settled(pm2: Pm2, entry: Entry) -> Entry:
    """*entry*, or what became of it: for a moment pm2 shows a process that it is about to restart as stopped (lib/God.js handleExit)."""
    deadline = time.monotonic() + _RESTART
    while entry.status == "stopped" and entry.autorestart and time.monotonic() < deadline:
        time.sleep(0.05)
        entry = next((line for line in pm2.table() if line.pm_id == entry.pm_id), entry)
    return entry


def _failure(entry: Entry, what: str) -> NotProven:
    return NotProven(
        f"{entry.name} (id {entry.pm_id}) {what}",
        "read the log excerpt, correct the release or its environment, then run this again",
        process=entry.name,
        pm_id=entry.pm_id,
        reason=what,
    )


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _newest_link(path: str) -> tuple[str, float] | None:
    """The link among the components of *path* that changed last, and when."""
    newest: tuple[str, float] | None = None
    current = "/"
    for part in path.strip("/").split("/"):
        current = os.path.join(current, part)
        if os.path.islink(current):
            changed = os.lstat(current).st_ctime
            if newest is None or changed > newest[1]:
                newest = (current, changed)
    return newest
