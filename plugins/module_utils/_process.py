# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel knows about processes and sockets (Linux /proc). Unlike pm2's table it cannot be out of date."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_ESTABLISHED = "01"  # states of /proc/net/tcp: linux include/net/tcp_states.h
_LISTEN = "0A"


@dataclasses.dataclass(frozen=True)
class ProcessInfo:
    """One living process. ``started`` is seconds since the epoch; ``cwd`` is the real directory, or None when it may not be read."""

    pid: int
    parent: int
    started: float
    cwd: str | None
    command: str


def inspect(pid: int) -> ProcessInfo | None:
    """The process *pid*, or None when it does not live (a zombie has ended, it only was not buried yet)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # the second field is the name in brackets, which may itself hold blanks and brackets
            fields = file.read().rpartition(")")[2].split()
        with open(f"/proc/{pid}/cmdline", "rb") as raw:
            command = raw.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in ("Z", "X"):
        return None
    started = _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return ProcessInfo(pid, int(fields[1]), started, _link(f"/proc/{pid}/cwd"), command)


def environment(pid: int) -> dict[str, str]:
    """What the process *pid* was started with; empty when it has ended. What it has set itself since then is not in it."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            pairs = (item.partition(b"=") for item in file.read().split(b"\0") if item)
            return {key.decode("utf-8", "replace"): value.decode("utf-8", "replace") for key, _separator, value in pairs}
    except OSError:
        return {}


def alive(pid: int) -> bool:
    """Whether a process *pid* lives."""
    return pid > 0 and inspect(pid) is not None


def children(parent: int) -> list[ProcessInfo]:
    """The living processes that *parent* has started itself."""
    found = (inspect(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return sorted((info for info in found if info is not None and info.parent == parent), key=lambda info: info.pid)


def running_below(directory: str) -> list[int]:
    """The living processes whose working directory or script lies in *directory*."""
    inside = os.path.realpath(directory) + os.sep
    found = (inspect(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return sorted(info.pid for info in found if info is not None and (f"{info.cwd}{os.sep}".startswith(inside) or inside in info.command))


def wait_gone(pids: t.Iterable[int], timeout: float) -> list[int]:
    """Wait until none of *pids* lives, at most *timeout* seconds; the ones that still do."""
    left = [pid for pid in pids if alive(pid)]
    deadline = time.monotonic() + timeout
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [pid for pid in left if alive(pid)]
    return left


def listening_pids(port: int, candidates: t.Iterable[int] | None = None) -> list[int]:
    """The processes that hold a listening TCP socket on *port*, out of *candidates* or of all whose files may be read.

    For pm2's cluster mode that is the pm2 daemon, not the process that answers: see :func:`serving_pids`.
    """
    inodes = {entry.inode for entry in _sockets() if entry.local_port == port and entry.state == _LISTEN}
    return sorted(_owners(inodes, candidates))


def serving_pids(
    port: int, host: str = "127.0.0.1", *, connections: int = 8, timeout: float = 2.0, candidates: t.Iterable[int] | None = None
) -> list[int]:
    """The processes that take connections to *port*: connect, and look which process holds the other end.

    In cluster mode the daemon listens and hands each connection to a worker in turn, so the connections are opened one after
    the other and kept until the end; with at least as many as there are workers every one of them is seen on a quiet port.

    :raises EcommusError: when nothing listens.
    """
    found: set[int] = set()
    opened: list[socket.socket] = []
    known = list(candidates) if candidates is not None else None
    try:
        for _number in range(connections):
            try:
                opened.append(socket.create_connection((host, port), timeout=timeout))
            except OSError as error:
                raise EcommusError(
                    f"nothing answers on {host} port {port} ({error.strerror or error})",
                    "look at `pm2 ls` and the error log of the process",
                ) from None
            found.update(peer_pids(opened[-1], timeout=timeout, candidates=known))
    finally:
        for connection in opened:
            connection.close()
    return sorted(found)


def identity(port: int, host: str = "127.0.0.1", *, connections: int = 8) -> list[ProcessInfo]:
    """The processes that answer on *port*: their ``cwd`` is the real directory of the release that serves.

    :raises EcommusError: when nothing listens.
    """
    found = (inspect(pid) for pid in serving_pids(port, host, connections=connections))
    return [info for info in found if info is not None]


def peer_pids(connection: socket.socket, *, timeout: float = 2.0, candidates: t.Iterable[int] | None = None) -> list[int]:
    """The processes on this host that hold the other end of *connection*; none when it was not accepted within *timeout* seconds."""
    mine, theirs = connection.getsockname()[1], connection.getpeername()[1]
    known = list(candidates) if candidates is not None else None
    deadline = time.monotonic() + timeout
    while True:
        inodes = {
            e.inode for e in _sockets() if e.local_port == theirs and e.remote_port == mine and e.state == _ESTABLISHED and e.inode != "0"
        }
        owners = _owners(inodes, known) if inodes else set()
        if owners or time.monotonic() > deadline:
            return sorted(owners)
        time.sleep(0.01)


def listening_descriptors(pid: int, port: int) -> list[int]:
    """The file descriptors with which *pid* itself listens on *port*."""
    inodes = {f"socket:[{entry.inode}]" for entry in _sockets() if entry.local_port == port and entry.state == _LISTEN}
    try:
        numbers = sorted(int(number) for number in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return []
    return [number for number in numbers if _link(f"/proc/{pid}/fd/{number}") in inodes]


@dataclasses.dataclass(frozen=True)
class _Socket:
    local_port: int
    remote_port: int
    state: str
    inode: str


def _sockets() -> t.Iterator[_Socket]:
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                file.readline()  # the headings
                for line in file:
                    fields = line.split()
                    yield _Socket(int(fields[1].rpartition(":")[2], 16), int(fields[2].rpartition(":")[2], 16), fields[3], fields[9])
        except FileNotFoundError:  # a host without IPv6
            continue


def _owners(inodes: set[str], candidates: t.Iterable[int] | None) -> set[int]:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    pids = candidates if candidates is not None else [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return {pid for pid in pids if wanted.intersection(_descriptors(pid))}


def _descriptors(pid: int) -> t.Iterator[str]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:  # it ended, or belongs to somebody else
        return
    for name in names:
        target = _link(f"/proc/{pid}/fd/{name}")
        if target is not None:
            yield target


def _link(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _boot_time() -> float:
    # /proc/stat has it too, but cut to whole seconds
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
