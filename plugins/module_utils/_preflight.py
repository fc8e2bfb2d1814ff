# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named checks before anything is changed: all run, all are reported at once.

A check is a function of a :class:`Subject` that returns a :class:`Finding`; ``_checks_*.py`` hold them by subject.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
import functools
import json
import os
import shutil
import threading
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _command, _dotenv, _git, _layout, _pm2, _postgres
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

ERROR, WARNING = "error", "warning"


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is checked: the install, the release that is to come, and how to reach both."""

    paths: _layout.Paths
    layout: str
    version: str
    commit: str
    services: t.Sequence[t.Mapping[str, t.Any]] = ()
    workers_process: str = ""
    workers_mode: str = "process"
    workers_stop_timeout: float = 0
    resolve: str = ""
    ca_path: str = ""
    env_file: str = ""
    env_given: t.Sequence[str] = ()
    env_required: t.Sequence[str] = ()
    database_url_key: str = "DATABASE_URL"
    database_admin_url: str = dataclasses.field(default="", repr=False)
    standby: str = "preferred"
    pg_bin_dir: str = ""
    snapshot_dir: str = ""
    snapshot_recipients: t.Sequence[str] = ()
    snapshot_ship: t.Sequence[str] = ()
    pm2_home: str = ""
    path_prefix: t.Sequence[str] = ()
    npm_token: str = dataclasses.field(default="", repr=False)
    shared_paths: t.Sequence[str] = ()
    backup_dir: str = ""
    backup_max_age_hours: float = 24
    backup_cron_file: str = ""
    backup_margin_minutes: int = 10
    _found: dict[Run, _Once] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """The shop's own environment file."""
        return _dotenv.read(self.env_file)

    @functools.cached_property
    def database(self) -> _postgres.Target:
        """The shop's database."""
        url = self.environment.get(self.database_url_key, "")
        if not url:
            raise EcommusError(
                f"{self.env_file} has no {self.database_url_key}", "set ecommus_database_url_key to the key that holds the address"
            )
        return _postgres.Target.from_url(url)

    @property
    def database_admin(self) -> _postgres.Target:
        """The role that creates databases: the one for it where there is one, else the shop's own."""
        return _postgres.Target.from_url(self.database_admin_url) if self.database_admin_url else self.database

    @property
    def pm2(self) -> _pm2.Pm2:
        """The daemon that runs the shop."""
        return _pm2.Pm2(os.path.expanduser(self.pm2_home), tuple(self.path_prefix))

    @property
    def process_names(self) -> list[str]:
        """pm2 names of the services, and of the workers where they are a process of their own."""
        names = [str(service["process"]) for service in self.services]
        return list(dict.fromkeys([*names, self.workers_process] if self.workers_process else names))

    def program(self, name: str) -> str | None:
        """Where the program *name* is on this host, or None."""
        return shutil.which(name, path=_command.clean_environment(path_prefix=self.path_prefix)["PATH"])

    @property
    def live(self) -> str:
        """The real directory of the live release."""
        return os.path.realpath(self.paths.root)

    def file(self, path: str) -> str | None:
        """A file of the release that is to come."""
        return _git.file_at(self.paths.repository, self.commit, path)

    def json(self, path: str) -> dict[str, t.Any]:
        """A JSON file of the release that is to come; empty where there is none."""
        text = self.file(path)
        content = json.loads(text) if text else {}
        return content if isinstance(content, dict) else {}

    def finding(self, run: Run) -> Finding:
        """What the check *run* finds, looked for once, also when several checks that build on it ask at the same time."""
        once = self._found.setdefault(run, _Once())
        with once.lock:
            if once.finding is None:
                once.finding = run(self)
            return once.finding


@dataclasses.dataclass(frozen=True)
class Need:
    """Room that an upgrade takes: what for, below which directory, and how many bytes."""

    what: str
    place: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check found; the remedy counts only when it is not ``ok``.

    ``severity`` is given where what was found weighs more or less than the check in general. ``facts`` are data for the plan.
    ``needs`` are added up by disk with those of the other checks.
    """

    ok: bool
    found: str
    remedy: str = ""
    severity: str = ""
    facts: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    needs: tuple[Need, ...] = ()


@dataclasses.dataclass
class _Once:
    """A finding, and who may look for it."""

    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    finding: Finding | None = None


Run = t.Callable[[Subject], Finding]


@dataclasses.dataclass(frozen=True)
class Check:
    """A named check. ``error`` stops the run, ``warning`` is reported."""

    name: str
    label: str
    severity: str
    tags: tuple[str, ...]
    run: Run


CHECKS: dict[str, Check] = {}


def check(label: str, *tags: str, severity: str = ERROR) -> t.Callable[[Run], Run]:
    """Register a function as the check of its own name."""

    def register(function: Run) -> Run:
        CHECKS[function.__name__] = Check(function.__name__, label, severity, tags, function)
        return function

    return register


@dataclasses.dataclass(frozen=True)
class Waiver:
    """A check that an operator lets fail, why, and until when (a date, inclusive)."""

    check: str
    reason: str
    until: str

    @classmethod
    def read(cls, given: t.Mapping[str, t.Any]) -> Waiver:
        """:raises EcommusError: when a part is missing, the date is none, or there is no such check."""
        name, reason, until = (str(given.get(key) or "") for key in ("check", "reason", "until"))
        if name not in CHECKS:
            raise EcommusError(f"there is no check called {name!r} to waive", f"the checks are: {', '.join(sorted(CHECKS))}")
        try:
            datetime.date.fromisoformat(until)
        except ValueError:
            raise EcommusError(f"the waiver of {name} has no date in until: {until!r}", "give a day such as 2026-12-31") from None
        if not reason.strip():
            raise EcommusError(f"the waiver of {name} has no reason", "say why it may be waived; the report quotes it")
        return cls(name, reason, until)

    @property
    def valid(self) -> bool:
        today = datetime.datetime.now(datetime.timezone.utc).date()
        return today <= datetime.date.fromisoformat(self.until)


def examine(subject: Subject, waivers: t.Sequence[Waiver] = ()) -> list[dict[str, t.Any]]:
    """Run every check and return all results, those that stop the run first."""
    waived = {waiver.check: waiver for waiver in waivers}
    with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
        results = list(pool.map(lambda one: _result(one, subject, waived.get(one.name)), CHECKS.values()))
    return sorted(results, key=lambda result: (result["ok"], result["severity"] != ERROR))


def _result(one: Check, subject: Subject, waiver: Waiver | None) -> dict[str, t.Any]:
    try:
        finding = subject.finding(one.run)
    except EcommusError as error:
        finding = Finding(False, error.message, error.remedy)
    except (OSError, ValueError, KeyError) as error:
        finding = Finding(
            False, f"could not be checked: {type(error).__name__}: {error}", "see the details on the host, or waive this check by name"
        )
    result: dict[str, t.Any] = {
        "check": one.name,
        "label": one.label,
        "severity": finding.severity or one.severity,
        "tags": list(one.tags),
        "ok": finding.ok,
        "found": finding.found,
        "remedy": "" if finding.ok else finding.remedy,
        **({"facts": dict(finding.facts)} if finding.facts else {}),
    }
    if not finding.ok and waiver is not None:
        result["waiver"] = dataclasses.asdict(waiver)
        if waiver.valid:
            result["severity"] = WARNING
        else:
            result["remedy"] = f"{finding.remedy} (its waiver ended on {waiver.until})"
    return result


def stopping(results: t.Iterable[t.Mapping[str, t.Any]]) -> list[t.Mapping[str, t.Any]]:
    """The results that forbid to go on."""
    return [result for result in results if not result["ok"] and result["severity"] == ERROR]


def has_standby(results: t.Iterable[t.Mapping[str, t.Any]]) -> bool:
    """Whether a copy of the database can be made beside the live one, by what the checks found."""
    return all(result.get("facts", {}).get("standby", True) for result in results)


def refusal(results: t.Sequence[t.Mapping[str, t.Any]]) -> EcommusError:
    """The error that names everything that stops the run, each with its remedy."""
    stops = stopping(results)
    lines = [f"{result['label']}: {result['found']}. Remedy: {result['remedy']}" for result in stops]
    return EcommusError(
        f"{len(stops)} of {len(results)} checks stop the upgrade, nothing was changed. " + " | ".join(lines), checks=list(results)
    )
