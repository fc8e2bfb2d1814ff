# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a second process listen on a port that a running one holds alone, and decides which of the two gets the connections.

How: SO_REUSEPORT is set on the listening socket of the running process after the fact, through a copy of it (pidfd_getfd(2),
Linux 5.6; allowed for processes of one's own user unless kernel.yama.ptrace_scope forbids it, for root always). Sockets that
share a port form a group in which a small filter program chooses (SO_ATTACH_REUSEPORT_CBPF, socket(7)): first the running process for
everybody and the new one for our probes only, known by their source ports; once it is proven, the new one for everybody. Where
the filter's choice does not exist the kernel spreads by hash, which with one process left is that one.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import os
import socket
import threading
import typing as t
import urllib.parse

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# Source ports of our probes: above the range that Linux gives to ordinary clients (net.ipv4.ip_local_port_range, 32768 to 60999).
PROBE_PORTS = range(64000, 64256)

_SYS_PIDFD_GETFD = 438  # the same on every architecture: linux include/uapi/asm-generic/unistd.h
_SO_ATTACH_REUSEPORT_CBPF = 51  # linux include/uapi/asm-generic/socket.h
SETTLE = 0.3  # seconds for handshakes that began before a switch; a round trip of a far client

# Makes `listen` of one port in a Node.js program (22.12 or newer) share it. A data URL, so that no file must outlive the process.
_PRELOAD = """
import n from 'node:net'
const l = n.Server.prototype.listen
n.Server.prototype.listen = function (...a) {
  const o = a[0]
  if (o !== null && typeof o === 'object' && +o.port === PORT) a[0] = { ...o, reusePort: true }
  else if (typeof o !== 'object' && +o === PORT) {
    const p = { port: +o, reusePort: true }
    a.shift()
    if (typeof a[0] === 'string') p.host = a.shift()
    if (typeof a[0] === 'number') p.backlog = a.shift()
    a = [p, a.find((x) => typeof x === 'function')]
  }
  return l.apply(this, a)
}
"""
NODE_MINIMUM = (22, 12)  # first Node.js with `reusePort` (also 23.1): nodejs.org/api/net.html


class CannotShare(EcommusError):
    """The port cannot be shared here; nothing was changed."""


def node_options(port: int) -> str:
    """What to add to NODE_OPTIONS of a process that is to share *port*."""
    return "--import=data:text/javascript," + urllib.parse.quote(_PRELOAD.replace("PORT", str(port)).strip(), safe="")


@dataclasses.dataclass(frozen=True)
class _Listener:
    family: socket.AddressFamily
    address: str


class SharedPort:
    """The port *port* of the process *pid*, opened for a second process. Use as a context manager.

    :raises CannotShare: when *pid* does not listen on it itself, or the kernel or its settings do not allow it.
    """

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._pid = pid
        self._relays: list[threading.Thread] = []

    def __enter__(self) -> SharedPort:
        self._listeners = self._find()
        try:
            self.keep_old()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotShare(f"port {self.port} cannot be shared: {error}", "") from None
            self._allow()
            try:
                self.keep_old()
            except OSError as again:
                raise CannotShare(f"port {self.port} cannot be shared: {again}", "") from None
        return self

    def __exit__(self, *_: object) -> None:
        for relay in self._relays:
            relay.join(5)

    def keep_old(self) -> None:
        """The process that was there first gets every connection, the second one only those of our probes."""
        self._attach(_probes_to_second())

    def use_new(self) -> None:
        """The second process gets every new connection; the first one has taken those that were under way after :data:`SETTLE`."""
        self._attach([(0x06, 0, 0, 1)])  # return 1: the second socket of the group

    def _attach(self, program: t.Sequence[tuple[int, int, int, int]]) -> None:
        for listener in self._listeners:
            # The filter belongs to the group, and any member may set it: join, set, leave.
            with socket.socket(listener.family, socket.SOCK_STREAM) as member:
                if listener.family == socket.AF_INET6:
                    member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if listener.address == "::" else 1)
                member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                member.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                member.bind((listener.address, self.port))
                attributes = _program(program)
                member.listen(64)
                _attach(member, attributes)
                self._hand_over(member)

    def _hand_over(self, member: socket.socket) -> None:
        """Pass on connections that reached *member* in the microseconds before its group had a filter."""
        member.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                client, _address = member.accept()
                client.setblocking(True)
                server = socket.create_connection((member.getsockname()[0], self.port), timeout=5)
                for pair in ((client, server), (server, client)):
                    self._relays.append(threading.Thread(target=_copy, args=pair, daemon=True))
                    self._relays[-1].start()

    def _find(self) -> list[_Listener]:
        found = [_Listener(*_address(s)) for s in self._copies()]
        if not found:
            raise CannotShare(f"process {self._pid} does not listen on port {self.port} itself", "")
        return found

    def _allow(self) -> None:
        for copy in self._copies():
            copy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def _copies(self) -> t.Iterator[socket.socket]:
        """Copies of the sockets with which the process listens on the port, each closed after use."""
        try:
            pidfd = os.pidfd_open(self._pid)
        except OSError as error:
            raise CannotShare(f"process {self._pid} cannot be opened: {error.strerror}", "") from None
        try:
            for number in _process.listening_descriptors(self._pid, self.port):
                descriptor = _libc().syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
                if descriptor < 0:
                    raise CannotShare(f"the socket of process {self._pid} may not be copied: {os.strerror(ctypes.get_errno())}", "")
                with socket.socket(fileno=descriptor) as copy:
                    yield copy
        finally:
            os.close(pidfd)


class _Instruction(ctypes.Structure):  # struct sock_filter, linux include/uapi/linux/filter.h
    _fields_: t.ClassVar = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_: t.ClassVar = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(_Instruction))]


def _probes_to_second() -> list[tuple[int, int, int, int]]:
    network = 0xFFF00000  # SKF_NET_OFF: offsets from the IP header
    return [
        (0x30, 0, 0, network),  # load the first byte of the IP header
        (0x54, 0, 0, 0xF0),  # its version
        (0x15, 0, 2, 0x40),  # IPv4?
        (0x28, 0, 0, network + 20),  # yes: source port behind a plain IPv4 header
        (0x05, 0, 0, 1),
        (0x28, 0, 0, network + 40),  # no: behind an IPv6 header
        (0x35, 0, 2, PROBE_PORTS.start),
        (0x25, 1, 0, PROBE_PORTS.stop - 1),
        (0x06, 0, 0, 1),  # a probe: the second socket of the group
        (0x06, 0, 0, 0),  # everybody else: the first
    ]


def _program(instructions: t.Sequence[tuple[int, int, int, int]]) -> _Program:
    array = (_Instruction * len(instructions))(*(_Instruction(*instruction) for instruction in instructions))
    return _Program(len(instructions), array)


def _attach(member: socket.socket, program: _Program) -> None:
    if _libc().setsockopt(member.fileno(), socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, ctypes.byref(program), ctypes.sizeof(program)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _address(copy: socket.socket) -> tuple[socket.AddressFamily, str]:
    return socket.AddressFamily(copy.family), str(copy.getsockname()[0])


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(1 << 16)
            if not data:
                break
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
