# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that asks a shop's services all through an upgrade, at a constant rate, and writes down every answer.

It runs on its own, after the module that started it is gone: ``_prober_control`` packs it with what it imports into one
file, starts that as a session of its own, and reads its log. The lock on the pid file is the proof that it lives: the
kernel lets go of it when the process ends, however it ends, so a pid that was given to somebody else is never trusted.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import fcntl
import json
import math
import os
import re
import signal
import sys
import threading
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation, judge
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import Answer, Client
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http_error import HttpError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._receipt import read_log, summarize

CONFIG, LOG, PID, SUMMARY, ERRORS = "config.json", "requests.jsonl", "prober.pid", "summary.json", "errors.log"

_MAX_IN_FLIGHT = 128
_NAP = 0.2  # seconds: how soon SIGTERM is obeyed between two requests
_LOCK_PATIENCE = 2.0  # seconds: whoever looks whether a prober lives holds the lock for a moment


@dataclasses.dataclass(frozen=True)
class Target:
    """A service to ask; ``identity_*`` say where its answers tell which release gave them."""

    name: str
    url: str
    resolve: str = ""
    ca_path: str = ""
    expect_status: t.Sequence[int] = (200,)
    expect_json: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    expect_text: str = ""
    identity_header: str = ""
    identity_regex: str = ""

    def client(self) -> Client:
        return Client(self.url, resolve=self.resolve, ca_path=self.ca_path)

    def identity(self, answer: Answer) -> str:
        """Which release answered, as far as the answer tells."""
        if not self.identity_header and not self.identity_regex:
            return ""
        text = answer.headers.get(self.identity_header, "") if self.identity_header else answer.text
        found = re.search(self.identity_regex or ".+", text)
        return str(found.group(1) if found.re.groups else found.group())[:64] if found else ""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to ask and how often. ``rate`` is requests per second over all targets, which take turns.

    :param while_pid: ends with this process of the same machine; 0: with none.
    """

    targets: t.Sequence[Target]
    rate: float = 4.0
    timeout: float = 5.0
    max_seconds: float = 7200.0
    keepalive: bool = False
    while_pid: int = 0

    @classmethod
    def from_json(cls, given: t.Mapping[str, t.Any]) -> Plan:
        return cls(**{**given, "targets": [Target(**target) for target in given["targets"]]})

    def to_json(self) -> dict[str, t.Any]:
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]


class Log:
    """JSON lines, each on disk before the next request. Times are wall clock at the start plus what the monotonic clock says since."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "a", buffering=1, encoding="utf-8")  # noqa: SIM115
        self._lock = threading.Lock()
        self._offset = time.time() - time.monotonic()

    def write(self, begin: float, **facts: t.Any) -> None:
        line = json.dumps({"t": round(begin + self._offset, 3), **facts}, ensure_ascii=False)
        with self._lock:
            self._file.write(line + "\n")


class Prober:
    """Asks the plan's targets until it is told to stop, its time is over, or its directory or the process it works for is gone."""

    def __init__(self, directory: str, plan: Plan, pid_file: t.IO[str]) -> None:
        self._pid_file = pid_file
        self._pid_path = os.path.join(directory, PID)
        self._plan = plan
        self._log = Log(os.path.join(directory, LOG))
        self._idle: dict[str, list[Client]] = {target.name: [] for target in plan.targets}
        self._in_flight = threading.BoundedSemaphore(min(_MAX_IN_FLIGHT, math.ceil(plan.rate * plan.timeout) + 1))
        self._reason = ""
        self._skipped = 0

    def stop(self, reason: str) -> None:
        # Not an Event: setting one in a signal handler can deadlock with the wait that it interrupts.
        self._reason = self._reason or reason

    def run(self) -> None:
        """Ask until the end; all answers that are under way are waited for."""
        self._log.write(time.monotonic(), event="started", pid=os.getpid(), rate=self._plan.rate, targets=list(self._idle))
        with concurrent.futures.ThreadPoolExecutor(_MAX_IN_FLIGHT) as pool:
            for i in self._slots():
                if self._in_flight.acquire(blocking=False):
                    pool.submit(self._ask, self._plan.targets[i % len(self._plan.targets)])
                else:
                    self._skipped += 1
        self._log.write(time.monotonic(), event="ended", reason=self._reason, skipped=self._skipped)

    def _slots(self) -> t.Iterator[int]:
        """The number of each request when it is due. What is late by more than a second (a suspended machine) is left out."""
        begin = looked = time.monotonic()
        i = 0
        while True:
            due = begin + i / self._plan.rate
            while not self._reason and time.monotonic() < due:
                time.sleep(max(0.0, min(_NAP, due - time.monotonic())))
            now = time.monotonic()
            if now - begin > self._plan.max_seconds:
                self.stop("max_seconds")
            if now - looked > 1:
                looked = now
                if not self._at_home():
                    self.stop("directory removed")
                elif not self._wanted():
                    self.stop("controller ended")
            if self._reason:
                return
            late = int(max(0.0, now - due - 1) * self._plan.rate)
            self._skipped += late
            i += late
            yield i
            i += 1

    def _at_home(self) -> bool:
        try:
            return os.stat(self._pid_path).st_ino == os.fstat(self._pid_file.fileno()).st_ino
        except OSError:
            return False

    def _wanted(self) -> bool:
        if not self._plan.while_pid:
            return True
        try:
            os.kill(self._plan.while_pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def _ask(self, target: Target) -> None:
        begin = time.monotonic()
        try:
            answer = self._request(target)
            problem = judge(answer, Expectation(target.expect_status, target.expect_json, target.expect_text))
            facts = {"status": answer.status, "error": problem, "identity": target.identity(answer)}
        except HttpError as error:
            facts = {"error": error.message}
        except Exception as error:  # whatever it was, it is not to look like a good answer
            facts = {"error": repr(error)}
        finally:
            self._in_flight.release()
        took = round((time.monotonic() - begin) * 1000, 1)
        said = {name: value for name, value in facts.items() if value}
        try:
            self._log.write(begin, target=target.name, ok="error" not in said, ms=took, **said)
        except OSError as error:
            self.stop(f"the log cannot be written: {error.strerror}")

    def _request(self, target: Target) -> Answer:
        idle = self._idle[target.name]
        try:
            client = idle.pop()
        except IndexError:
            client = target.client()
        try:
            return client.request(timeout=self._plan.timeout)
        finally:
            if not self._plan.keepalive:
                client.close()
            idle.append(client)


def take_lock(directory: str) -> t.IO[str] | None:
    """The pid file, locked and written; None when another prober holds it."""
    pid_file = open(os.path.join(directory, PID), "a+", encoding="utf-8")  # noqa: SIM115
    ends = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends:
                pid_file.close()
                return None
            time.sleep(0.02)
        else:
            break
    pid_file.truncate(0)
    json.dump({"pid": os.getpid(), "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}, pid_file)
    pid_file.flush()
    return pid_file


def main(directory: str) -> int:
    """Run in *directory*, which holds the plan. Answers 0, or 3 when another one runs there."""
    with open(os.path.join(directory, CONFIG), encoding="utf-8") as file:
        plan = Plan.from_json(json.load(file))
    pid_file = take_lock(directory)
    if pid_file is None:
        return 3
    prober = Prober(directory, plan, pid_file)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: prober.stop("stopped"))
    prober.run()
    if os.path.isdir(directory):
        summary = summarize(read_log(os.path.join(directory, LOG)))
        partial = os.path.join(directory, SUMMARY + ".partial")
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(summary, file, indent=2)
        os.replace(partial, os.path.join(directory, SUMMARY))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
