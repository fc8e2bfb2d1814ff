# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of an install: one run at a time, and everybody can read whose it is.

``<state_dir>/lock`` names the holder and is there from the begin of a run to its end. The host cannot see whether the
controller that holds it still lives, so nothing is guessed: each step of the journal touches the file, and the lock
is given to somebody else only for a reason that :func:`judge` can say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# The longest step between two entries of the journal that is allowed for: `npm ci` or a build may take 1800 s each.
STALE_AFTER = 3600.0  # seconds
_GUARD_TIMEOUT = 10.0  # seconds; the guard is held for the time that it takes to write two small files


@dataclasses.dataclass(frozen=True)
class Controller:
    """The process that runs the playbook. ``machine`` tells apart hosts and containers that have the same name."""

    owner: str = ""
    host: str = ""
    machine: str = ""
    pid: int = 0

    def __str__(self) -> str:
        return f"{self.owner}@{self.host} (pid {self.pid})"

    def same_place(self, other: Controller) -> bool:
        """Whether *other* is a process of the same user on the same machine, so that one can see whether the other lives."""
        return (self.owner, self.host, self.machine) == (other.owner, other.host, other.machine) and bool(self.machine)


@dataclasses.dataclass(frozen=True)
class Holder:
    """What the file says: whose the lock is, for which run, since when (UTC), and in which boot of the host it was taken."""

    run_id: str
    controller: Controller
    boot_id: str
    since: str

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, given: t.Mapping[str, t.Any]) -> Holder:
        return cls(given["run_id"], Controller(**given["controller"]), given["boot_id"], given["since"])


@dataclasses.dataclass(frozen=True)
class Claim:
    """Who asks, and which run the asker says may lose the lock.

    :param take: the run that the operator named for it.
    :param gone: the run whose controller process has ended, which only its own machine can know.
    """

    controller: Controller
    boot_id: str
    take: str = ""
    gone: str = ""


def judge(holder: Holder, claim: Claim, *, age: float, finished: bool, stale_after: float = STALE_AFTER) -> str | None:
    """Why *claim* may have the lock of *holder*; None when it may not. Empty: it is the claimant's own.

    :param age: seconds since the holder's last step.
    :param finished: whether the journal says that the holder's run has ended.
    """
    reasons = {
        "": holder.controller == claim.controller,
        "its run has ended": finished,
        "the host was restarted since": holder.boot_id != claim.boot_id,
        "its process on the controller has ended": claim.gone == holder.run_id,
        "it was asked for by ecommus_take_lock": claim.take == holder.run_id,
        f"it gave no sign of life for {age / 60:.0f} minutes": age > stale_after,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def refusal(holder: Holder, age: float, stale_after: float) -> EcommusError:
    """The error for who may not have the lock."""
    return EcommusError(
        f"{holder.controller} holds the lock of this install since {holder.since} for the run {holder.run_id};"
        f" its last step was {age:.0f} s ago",
        f"wait until it has ended, then run again; if you know that it is gone, add -e ecommus_take_lock={holder.run_id}"
        f" (without that the lock is free when it is {stale_after / 60:.0f} minutes old)",
        holder=holder.as_dict(),
    )


def boot_id() -> str:
    """What tells this boot of the host from every other one (Linux Documentation/admin-guide/sysctl/kernel.rst, ``random``)."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


class Lock:
    """The lock file in *directory*."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, "lock")

    @contextlib.contextmanager
    def guard(self) -> t.Iterator[None]:
        """Keep every other process from reading, judging and writing lock and journal at the same time.
        """
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            busy = EcommusError(f"another process keeps {self.directory} busy", "see who with fuser, then run again")
            _files.hold(descriptor, _GUARD_TIMEOUT, busy)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> Holder | None:
        try:
            with open(self.path, encoding="utf-8") as file:
                return Holder.from_dict(json.load(file))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise EcommusError(f"{self.path} is damaged", "see that no run is at work on this install, then remove the file") from None

    def age(self) -> float:
        """Seconds since the holder's last step."""
        return max(0.0, time.time() - os.stat(self.path).st_mtime)

    def write(self, holder: Holder) -> None:
        _files.write_json(self.path, holder.as_dict())

    def check(self, run_id: str, controller: Controller) -> None:
        """See that the lock is still that of *run_id* and of this very controller, and show that it lives.

        A controller that slept while another one took its run over must not touch the shop when it wakes up.

        :raises EcommusError: otherwise, with ``lock_lost`` in its details.
        """
        holder = self.read()
        if holder is None or holder.run_id != run_id or holder.controller != controller:
            now = f"{holder.controller} has it since {holder.since} for the run {holder.run_id}" if holder else "nobody has it"
            raise EcommusError(
                f"the run {run_id} has lost the lock of this install: {now}",
                "nothing more was done here; see the journal for how the other run ended, then run again",
                lock_lost=True,
            )
        os.utime(self.path)

    def release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        _files.fsync_directory(self.directory)
