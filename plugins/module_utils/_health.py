# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health probes: many at once, each with its own deadline, all of them within one."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation, judge
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http import Answer, Client
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http_error import HttpError

# The product's auth routes take 10 requests a minute and address; half of them are left to people.
MAX_LOGIN_REQUESTS = 5
# Seconds after the first login that the API answered with a fault of its own, twice as many after each further one: an API that
# finds its database again needs some.
LOGIN_PAUSE = 2.0
_MAX_PARALLEL = 32


@dataclasses.dataclass(frozen=True)
class Bearer:
    """Who to be: a token, or an account that gets one. ``token_key`` is the (dotted) key of the token in the login's answer."""

    login_url: str = ""
    email: str = ""
    password: str = dataclasses.field(default="", repr=False)
    token: str = dataclasses.field(default="", repr=False)
    tenant_id: str = ""
    tenant_header: str = "X-Tenant-Id"
    token_key: str = "accessToken"  # noqa: S105
    resolve: str = ""
    ca_path: str = ""

    @property
    def tenant(self) -> dict[str, str]:
        return {self.tenant_header: self.tenant_id} if self.tenant_id else {}


@dataclasses.dataclass(frozen=True)
class Probe:
    """One question to a service and the answer that is good.

    :param timeout: seconds for each attempt, login not included.
    :param secrets: what no error may quote, should the server echo it.
    """

    name: str
    url: str
    expected: Expectation = dataclasses.field(default_factory=Expectation)
    method: str = "GET"
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: t.Any = None
    resolve: str = ""
    ca_path: str = ""
    timeout: float = 5.0
    follow_redirects: bool = False
    bearer: Bearer | None = None
    secrets: t.Sequence[str] = dataclasses.field(default=(), repr=False)


@dataclasses.dataclass
class Result:
    """What a probe found in the end. ``error`` and ``remedy`` are empty when ``ok``; ``status`` is 0 when no answer came."""

    name: str
    url: str
    ok: bool = False
    status: int = 0
    latency_ms: float = 0.0
    error: str = ""
    attempts: int = 0
    certificate_expires: str = ""
    remedy: str = ""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to insist.

    :param retries: bad attempts that are forgiven, per probe.
    :param consecutive: good answers in a row that are needed.
    :param interval: seconds between two attempts.
    :param deadline: seconds for everything; no request outlives it.
    """

    retries: int = 0
    consecutive: int = 1
    interval: float = 2.0
    deadline: float = 60.0


class Denied(EcommusError):
    """The login was answered, and no: asking again would only use up the rate limit."""


class Logins:
    """The tokens of one call. Each account logs in once, however many probes and attempts need its token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[Bearer, str | Denied] = {}
        self._failures: dict[Bearer, tuple[float, HttpError]] = {}
        self._asked = 0

    @property
    def secrets(self) -> list[str]:
        return [token for token in self._tokens.values() if isinstance(token, str)]

    def token(self, account: Bearer, timeout: float, ends: float) -> str:
        """The account's token.

        :param ends: when all must be over, on the monotonic clock.
        :raises Denied: for good.
        :raises HttpError: the login route was not reached; it may be asked again later.
        """
        if account.token:
            return account.token
        came = time.monotonic()
        with self._lock:
            known = self._tokens.get(account)
            failed, failure_then = self._failures.get(account, (0.0, None))
            pause = LOGIN_PAUSE * 2 ** (self._asked - 1) if failure_then and failure_then.kind == "protocol" else 0.0
            if known is None and failure_then and came <= failed + pause:
                raise failure_then  # what the probe before us in the queue has just learned
            if known is None:
                try:
                    known = self._log_in(account, max(0.01, min(timeout, ends - time.monotonic())))
                except HttpError as error:
                    self._failures[account] = (time.monotonic(), error)
                    raise
                self._tokens[account] = known
        if isinstance(known, Denied):
            raise known
        return known

    def _log_in(self, account: Bearer, timeout: float) -> str | Denied:
        if self._asked >= MAX_LOGIN_REQUESTS:
            return Denied(f"the login at {account.login_url} was tried {self._asked} times", "see why the API does not answer it")
        with Client(account.login_url, resolve=account.resolve, ca_path=account.ca_path) as client:
            try:
                answer = client.request(
                    "POST", headers=account.tenant, json={"email": account.email, "password": account.password}, timeout=timeout
                )
            except HttpError as error:
                # Refused, or no such name: the request never left. After a time-out it may have been counted.
                self._asked += error.kind == "timeout"
                raise HttpError(error.kind, f"login: {error.message}", error.remedy) from None
        self._asked += 1
        if answer.status in (502, 503, 504):
            raise HttpError("protocol", f"login: status {answer.status}, the API is not up behind its proxy", "look at the API's log")
        return _token_in(answer, account)


def _token_in(answer: Answer, account: Bearer) -> str | Denied:
    if answer.status == 429:
        return Denied("login: status 429, too many logins from this address", "wait a minute before the next try")
    problem = judge(answer, Expectation(status=(200, 201)), [account.password])
    if answer.status >= 500:
        raise HttpError("protocol", f"login as {account.email}: {problem}", "look at the API's log")
    if problem:
        return Denied(f"login as {account.email}: {problem}", "correct the account, its password or its tenant in the inventory")
    value = answer.json()
    for key in account.token_key.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        return Denied(f"login: the answer has no {account.token_key}", "correct token_key")
    return value


def check(probes: t.Sequence[Probe], patience: Patience) -> list[Result]:
    """Run all *probes* at the same time and return what they found, in their order.

    Ends within ``patience.deadline``, whatever the servers do.
    """
    ends = time.monotonic() + patience.deadline
    results = [Result(probe.name, probe.url, error="not asked before the deadline", remedy="raise the deadline") for probe in probes]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for i in range(len(probes)):
        waiting.put(i)
    logins = Logins()

    def work() -> None:
        while True:
            try:
                i = waiting.get_nowait()
            except queue.Empty:
                return
            _insist(probes[i], results[i], patience, ends, logins)

    # Daemons: a thread that hangs after all must not keep the module from answering.
    threads = [threading.Thread(target=work, daemon=True) for _number in range(min(len(probes), _MAX_PARALLEL))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()) + 0.5)
    for result in results:
        if not result.ok and not result.error:
            result.error = f"no verdict within {patience.deadline:g} s"
    return [dataclasses.replace(result) for result in results]


def _insist(probe: Probe, result: Result, patience: Patience, ends: float, logins: Logins) -> None:
    good = bad = 0
    try:
        with Client(probe.url, resolve=probe.resolve, ca_path=probe.ca_path) as client:
            while time.monotonic() < ends:
                result.attempts += 1
                _ask(client, probe, result, ends, logins)
                # A kept connection would go on to be served by the process that is being replaced.
                client.close()
                good, bad = (good + 1, bad) if not result.error else (0, bad + 1)
                result.ok = good >= patience.consecutive
                if result.ok or bad > patience.retries:
                    return
                time.sleep(max(0.0, min(patience.interval, ends - time.monotonic())))
    except (HttpError, Denied) as error:
        result.error, result.remedy = error.message, error.remedy
        return
    if result.error:
        result.error += f" (given up at the deadline of {patience.deadline:g} s, after {result.attempts} attempts)"
    else:
        result.error = f"only {good} of {patience.consecutive} good answers in a row within {patience.deadline:g} s"
        result.remedy = "raise the deadline, or ask for fewer"


def _ask(client: Client, probe: Probe, result: Result, ends: float, logins: Logins) -> None:
    """One attempt, written into *result*; ``error`` is empty when it was good.

    :raises Denied: further attempts make no sense.
    """
    headers = dict(probe.headers)
    result.status, result.latency_ms, result.error, result.remedy = 0, 0.0, "", ""
    try:
        if probe.bearer:
            headers.update(probe.bearer.tenant)
            headers["Authorization"] = "Bearer " + logins.token(probe.bearer, probe.timeout, ends)
        answer = client.request(
            probe.method,
            headers=headers,
            json=probe.body,
            timeout=max(0.01, min(probe.timeout, ends - time.monotonic())),
            follow_redirects=probe.follow_redirects,
        )
    except HttpError as error:
        result.error, result.remedy = error.message, error.remedy
        if error.kind == "config":
            raise
        return
    result.status, result.latency_ms, result.certificate_expires = answer.status, answer.latency_ms, answer.certificate_expires
    result.error = judge(answer, probe.expected, [*logins.secrets, *probe.secrets])
    result.remedy = "look at the service's log" if result.error else ""


def failure(results: t.Sequence[Result]) -> EcommusError:
    """The error that names each probe that failed, and why."""
    bad = [result for result in results if not result.ok]
    what = "; ".join(f"{result.name} ({result.url}): {result.error}" for result in bad)
    remedies = list(dict.fromkeys(result.remedy for result in bad if result.remedy))
    return EcommusError(f"{len(bad)} of {len(results)} probes failed: {what}", "; ".join(remedies))
