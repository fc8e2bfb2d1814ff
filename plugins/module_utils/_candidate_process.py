# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that runs for a trial: watched, with its output kept, and never outliving this process, however that ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_PR_SET_PDEATHSIG = 1  # linux include/uapi/linux/prctl.h
# Reads until the pipe is closed, which the kernel does for a process that was killed too, then ends the group of the program.
_GUARD = 'read -r _; kill -s KILL -- "-$1"'
_KILL_TIMEOUT = 5.0  # seconds for the kernel to end what was sent SIGKILL
_LOG_LIMIT = 64 * 1024  # bytes of the output that are looked at
_libc = ctypes.CDLL(None)


class Child:
    """A running program in a session of its own.

    Node.js processes get a channel to their parent, as under pm2: ``process.send`` exists, and its message ``ready`` is noticed.

    :raises EcommusError: when the program cannot be started.
    """

    def __init__(self, command: t.Sequence[str], cwd: str, environment: t.Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the program)
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        self._said = b""
        self._guard: subprocess.Popen[bytes] | None = None
        self._ended = False
        self.started = time.monotonic()
        parent = os.getpid()

        def die_with_parent() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
            if os.getppid() != parent:
                os._exit(1)

        try:
            self._program = subprocess.Popen(  # pylint: disable=ansible-bad-function
                list(command),
                cwd=cwd,
                env={**environment, "NODE_CHANNEL_FD": str(theirs.fileno()), "NODE_CHANNEL_SERIALIZATION_MODE": "json"},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
                pass_fds=(theirs.fileno(),),
                preexec_fn=die_with_parent,  # noqa: PLW1509 (no threads here)
            )
        except OSError as error:
            self._close()
            raise EcommusError(
                f"{command[0]} cannot be started in {cwd}: {error.strerror}", "correct interpreter, script and cwd in the ecosystem file"
            ) from None
        finally:
            theirs.close()
        self.pid = self._program.pid
        try:
            # The program dies with us by itself; what it has started does not.
            self._guard = subprocess.Popen(  # pylint: disable=ansible-bad-function
                ["/bin/sh", "-c", _GUARD, "guard", str(self.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self.kill()
            raise

    def pids(self) -> list[int]:
        """The living processes of the program: itself, what it has started, and what is left of that."""
        infos = [info for info in map(_process.inspect, map(int, filter(str.isdigit, os.listdir("/proc")))) if info is not None]
        found = {info.pid for info in infos if _session(info.pid) == self.pid}
        while True:
            more = {info.pid for info in infos if info.parent in found} - found
            if not more:
                return sorted(found)
            found |= more

    def exit_code(self) -> int | None:
        """The exit code of the program, negative for a signal; None while it runs."""
        return self._program.poll()

    def is_ready(self) -> bool:
        """Whether it has said so (``process.send('ready')``)."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while chunk := self._channel.recv(65536):
                self._said = (self._said + chunk)[-65536:]
        return b'"ready"\n' in self._said

    def output(self) -> str:
        """The end of what it printed."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), _LOG_LIMIT, max(0, size - _LOG_LIMIT)).decode("utf-8", "replace")

    def interrupt(self) -> None:
        """Ask it to end, as pm2 does: SIGINT to it and to what it has started."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """End everything that is left of it, at once, and prove that; does nothing the second time.

        :raises EcommusError: when the kernel does not end it.
        """
        if self._ended:
            return
        deadline = time.monotonic() + _KILL_TIMEOUT
        while left := self.pids():
            self._signal(signal.SIGKILL)
            self._program.poll()
            if time.monotonic() > deadline:
                raise EcommusError(f"the processes {left} do not end", "look at them with ps; they may wait for a disk", pids=left)
            time.sleep(0.02)
        self._program.wait()
        if self._guard is not None:
            self._guard.kill()  # before the pipe is closed: the number of the group may be somebody else's by then
            self._guard.communicate()
        self._close()
        self._ended = True

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _close(self) -> None:
        self._channel.close()
        self._log.close()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
