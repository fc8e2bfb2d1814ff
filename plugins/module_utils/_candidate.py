# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Boots a release beside the live one, on side ports and outside of pm2, and asks it: a bad release shows before anything is touched."""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import (
    _candidate_process,
    _definition,
    _dotenv,
    _package_version,
    _pm2_logs,
    _process,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._candidate_routes import Route, ask
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import scrub
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import quote
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2

HOST = "127.0.0.1"
_POLL = 0.1  # seconds between two looks at a candidate
_LEAST_PATIENCE = 15.0  # seconds
_TRIES = 3  # bad answers in a row that a candidate is forgiven once it is up
_PAUSE = 0.5  # seconds between two requests to the same candidate
_TELLING = re.compile(r"error|refus|fail|cannot|missing|exception", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Service:
    """What to boot. ``port`` is the live one; the side port takes its place where the definition names it. The first route is health."""

    name: str
    process: str
    routes: tuple[Route, ...]
    port: int | None = None


@dataclasses.dataclass(frozen=True)
class Trial:
    """How to boot a release.

    :param directory: the real directory of the release.
    :param root: the live directory, as the ecosystem file names it.
    :param version: tag of the release, and ``from_version`` that of the live one: see :mod:`_package_version`.
    :param env_file: what the services read themselves at boot; here only its secrets matter, so that no error quotes them.
    :param environment: variables that differ from the live ones.
    :param timeout: seconds until a service listens and answers.
    :param stable_seconds: for how long it must go on to do so.
    :param stop_timeout: seconds to end by itself.
    :param overlap: ``all`` keeps each service up until the last is proven; ``one`` boots one at a time, for little memory.
    """

    pm2: Pm2
    directory: str
    root: str
    ecosystem_file: str
    version: str = ""
    from_version: str = ""
    ecosystem_env: str | None = None
    env_file: str | None = None
    port_variable: str = "PORT"
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    timeout: float = 60.0
    stable_seconds: float = 3.0
    stop_timeout: float = 10.0
    overlap: str = "all"


class NotProven(EcommusError):
    """A candidate failed. ``reason`` in the details is one of start, crashed, hung, answer, identity, died."""


@dataclasses.dataclass
class Candidate:
    """One service of the release, to be started or running."""

    service: Service
    definition: _definition.Definition
    port: int
    secrets: tuple[str, ...]
    child: _candidate_process.Child | None = None
    boot_seconds: float = 0.0
    pids: tuple[int, ...] = ()
    answers: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    killed: bool = False

    def shown(self) -> dict[str, t.Any]:
        """What a module returns of it."""
        return {
            "name": self.service.name,
            "process": self.service.process,
            "command": scrub(" ".join(self.definition.command), self.secrets),
            "cwd": self.definition.cwd,
            "port": self.port,
            "pids": list(self.pids),
            "boot_seconds": round(self.boot_seconds, 2),
            "answers": self.answers,
            "killed": self.killed,
        }

    def failure(self, reason: str, what: str, remedy: str = "") -> NotProven:
        """The error that says *what* this candidate did, with the end of its output."""
        log = _pm2_logs.excerpt(self.child.output(), self.secrets) if self.child else []
        lines = [line for line in log if line.strip()]
        telling = next((line for line in lines if _TELLING.search(line)), lines[-1] if lines else "")
        return NotProven(
            f"{self.service.name} of the release {what}" + (f"; its log says {quote(telling)}" if telling else ""),
            remedy or "nothing live was touched; correct the release or its environment (ecommus_env), or report it to the vendor",
            service=self.service.name,
            reason=reason,
            log=log,
        )


def plan(trial: Trial, services: t.Sequence[Service]) -> list[Candidate]:
    """What would be started, on ports that are free now; starts nothing.

    :raises EcommusError: when the ecosystem file does not say how, or what it names is not of the release.
    """
    if not os.path.isdir(trial.directory):
        raise EcommusError(f"the release {trial.directory} is not there", "prepare it first (release, state=built)")
    _package_version.check(trial.directory, trial.version, trial.from_version)
    definitions = _definition.read(trial.pm2, trial.ecosystem_file, trial.root, trial.directory, environment=trial.ecosystem_env)
    found = []
    for service, port in zip(services, _free_ports(len(services))):
        definition = definitions.get(service.process)
        if definition is None:
            raise EcommusError(f"{trial.ecosystem_file} defines no process {service.process}", f"use one of: {', '.join(definitions)}")
        if isinstance(definition, EcommusError):
            raise definition
        candidate = _with_port(trial, service, definition, port)
        _check_below(candidate, trial.directory, "is started from", definition.script)
        _check_below(candidate, trial.directory, "is started in", definition.cwd)
        found.append(candidate)
    return found


def prove(trial: Trial, services: t.Sequence[Service]) -> list[Candidate]:
    """Boot each of *services* in order, and see that it listens, answers, is of the release, and stays so; then end it.

    :raises NotProven: at the first that does not.
    :raises EcommusError: when the daemon of the live shop died meanwhile. Whatever happens, nothing that was started is left.
    """
    candidates = plan(trial, services)
    groups = [candidates] if trial.overlap == "all" else [[candidate] for candidate in candidates]
    daemon = trial.pm2.living()
    try:
        for group in groups:
            _prove_group(trial, group)
    except NotProven:
        if daemon is not None:
            trial.pm2.daemon_pid()  # a release that asks the live shop cannot answer when pm2 has died: that is not its fault
        raise
    return candidates


def _prove_group(trial: Trial, group: list[Candidate]) -> None:
    try:
        for candidate in group:
            definition = candidate.definition
            candidate.child = _candidate_process.Child(definition.command, definition.cwd, definition.environment)
        for candidate in group:
            _await(candidate, t.cast("_candidate_process.Child", candidate.child), trial)
        _watch(group, trial)
        _stop(group, trial.stop_timeout)
    finally:
        for candidate in group:
            if candidate.child is not None:
                candidate.child.kill()


def _await(candidate: Candidate, child: _candidate_process.Child, trial: Trial) -> None:
    """Wait until the candidate is up and has given each answer."""
    patience = _patience(candidate.definition, trial.timeout)
    deadline = child.started + patience
    while True:
        _check_lives(candidate, child, "crashed", "crashed at boot")
        candidate.pids = tuple(_process.listening_pids(candidate.port, child.pids()))
        ready = child.is_ready() or not candidate.definition.wait_ready
        if candidate.pids and ready:
            break
        if time.monotonic() > deadline:
            what = "does not report that it is ready" if candidate.pids else f"does not listen on the side port {candidate.port}"
            raise candidate.failure(
                "hung",
                f"hangs at boot: it {what} within {patience:g} s",
                f"nothing live was touched; report it to the vendor. Does it take its port from {trial.port_variable} (port_variable)?",
            )
        time.sleep(_POLL)
    for pid in candidate.pids:
        info = _process.inspect(pid)
        if info is not None:
            _check_below(candidate, trial.directory, f"answers with process {pid}, which works in", info.cwd or "an unknown directory")
    for number, route in enumerate(candidate.service.routes):
        # One that never says that it is ready may answer its health badly for as long as it boots.
        patient = number == 0 and not candidate.definition.wait_ready
        _answer(candidate, child, route, deadline if patient else 0.0)
    candidate.boot_seconds = time.monotonic() - child.started


def _patience(definition: _definition.Definition, timeout: float) -> float:
    """Seconds to boot. One that needs longer than its ``listen_timeout`` would fail when it is to go live, too."""
    return min(timeout, max(_LEAST_PATIENCE, definition.listen_timeout)) if definition.wait_ready else timeout


def _answer(candidate: Candidate, child: _candidate_process.Child, route: Route, deadline: float) -> None:
    tries = 0
    while True:
        tries += 1
        answer, problem = ask(HOST, candidate.port, route, candidate.secrets)
        if not problem:
            status, latency = (answer.status, answer.latency_ms) if answer else (0, 0.0)
            candidate.answers.append({"path": route.path, "status": status, "latency_ms": latency})
            return
        _check_lives(candidate, child, "crashed", "crashed at boot")
        if tries >= _TRIES and time.monotonic() > deadline:
            raise candidate.failure("answer", f"answers {route.path} badly: {problem}")
        time.sleep(_PAUSE)


def _watch(group: t.Sequence[Candidate], trial: Trial) -> None:
    """See that all of *group* go on to live and to answer; one bad answer is enough, nobody else loads them."""
    deadline = time.monotonic() + trial.stable_seconds
    while True:
        for candidate in group:
            if candidate.child is None:
                continue
            _check_lives(candidate, candidate.child, "died", "did not stay alive")
            for route in candidate.service.routes[:1]:
                problem = ask(HOST, candidate.port, route, candidate.secrets)[1]
                _check_lives(candidate, candidate.child, "died", "did not stay alive")
                if problem:
                    raise candidate.failure("answer", f"no longer answers {route.path} well: {problem}")
        if time.monotonic() > deadline:
            return
        time.sleep(min(_PAUSE, max(0.01, deadline - time.monotonic())))


def _stop(group: t.Sequence[Candidate], timeout: float) -> None:
    running = [(candidate, candidate.child) for candidate in group if candidate.child is not None]
    for _candidate, child in running:
        child.interrupt()
    deadline = time.monotonic() + timeout
    for candidate, child in running:
        left = _process.wait_gone(child.pids(), max(0.0, deadline - time.monotonic()))
        candidate.killed = bool(left)
        child.kill()


def _check_lives(candidate: Candidate, child: _candidate_process.Child, reason: str, what: str) -> None:
    code = child.exit_code()
    if code is not None:
        raise candidate.failure(reason, f"{what} ({f'exit code {code}' if code >= 0 else f'signal {-code}'})")


def _check_below(candidate: Candidate, directory: str, what: str, path: str) -> None:
    real, wanted = os.path.realpath(path), os.path.realpath(directory)
    if real != wanted and not real.startswith(wanted + os.sep):
        raise candidate.failure(
            "identity",
            f"{what} {real} and not under {wanted}",
            "let cwd and script in the ecosystem file go through the root of the shop, not to a directory of their own",
        )


def _with_port(trial: Trial, service: Service, definition: _definition.Definition, port: int) -> Candidate:
    live = str(service.port) if service.port else None
    environment = {key: str(port) if value == live else value for key, value in definition.environment.items()}
    environment.update({"HOST": HOST, "ECOMMUS_WORKERS": "false", trial.port_variable: str(port), **trial.environment})
    args = tuple(re.sub(rf"(?<![\d.]){live}$", str(port), arg) if live else arg for arg in definition.args)
    read = _dotenv.read(trial.env_file) if trial.env_file else {}
    secrets = tuple(_dotenv.secrets({**read, **definition.environment, **trial.environment}))
    secrets += tuple(_dotenv.secrets(read)) + tuple(_dotenv.secrets(definition.environment))
    return Candidate(service, dataclasses.replace(definition, args=args, environment=environment), port, secrets)


def _free_ports(count: int) -> list[int]:
    """Ports of HOST that nobody has now; taken all at once, so that no two are the same."""
    sockets = [socket.socket() for _number in range(count)]
    try:
        for each in sockets:
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
