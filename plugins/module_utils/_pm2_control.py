# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module pm2_control without the module: one call acts on several names in order and tells what is where."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _ecosystem, _pm2_states, _process, _proof
from ansible_collections.mdlabs.ecommus.plugins.module_utils._cutover_record import Record
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2 import Pm2
from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_options import pm2_of


def control(params: t.Mapping[str, t.Any], *, check_mode: bool) -> dict[str, t.Any]:
    """Do what *params* (the module's options) ask for; the module's result.

    :raises EcommusError: with ``done``, ``failed_name``, ``untouched``, ``before`` and the table afterwards in its details.
    """
    pm2 = pm2_of(params)
    revived = params["state"] == "alive" and not check_mode and pm2.resurrect()
    pm2.daemon_pid()
    state, names = params["state"], list(dict.fromkeys(params["name"]))
    for name in names:
        _check_name(name)
    request = _request(pm2, params)
    if state == "alive":
        return {"changed": revived, "done": [], "before": [], **_pm2_states.described(pm2, None)}
    if state == "described":
        _check_directories(pm2, names, params["expect_path"])
        serving = {str(port): _serving(port) for port in params["ports"]}
        return {"changed": False, **_pm2_states.described(pm2, request.ecosystem, names), "serving": serving}
    before = _pm2_states.described(pm2, None)
    if state == "saved":
        return _saved(pm2, before, check_mode)
    if state not in ("stopped", "deleted") and not params["allow_version_mismatch"]:
        _check_versions(before["daemon"])
    # every name is looked at before the first is touched
    plans = {name: _pm2_states.plan(pm2, state, name, request) for name in names}
    wanting = [name for name in names if plans[name] != []]
    done = [name for name in names if name not in wanting]
    result: dict[str, t.Any] = {"changed": bool(wanting), "done": names, "before": before["processes"]}
    with contextlib.nullcontext() if check_mode else pm2.lock():
        for name in done if state == "replaced" and not check_mode else ():
            Record.of(pm2.home).end(name)  # noted by a cut-over that was killed before its turn came
        try:
            for name, outcome in () if check_mode else _pm2_states.act(pm2, state, wanting, request):
                done.append(name)
                if isinstance(outcome, list):
                    result["killed"] = result.get("killed", []) + outcome
                elif outcome is not None:
                    result.setdefault("replaced", []).append(dataclasses.asdict(outcome))
        except EcommusError as error:
            failed = error.details.get("process", next((name for name in wanting if name not in done), None))
            reached = {"done": [name for name in names if name in done and name != failed]}
            untouched = [name for name in wanting if name not in done and name != failed]
            error.details.update({**result, **reached, "failed_name": failed, "untouched": untouched, **_after(pm2)})
            raise
        if params["save"] and result["changed"] and not check_mode:
            result["saved"] = pm2.save()
    after = before if check_mode else _pm2_states.described(pm2, None)
    predicted = _predict(before["processes"], plans, state) if check_mode else _lines(after["processes"])
    return {**after, **result, "diff": {"before": _lines(before["processes"]), "after": predicted}}


def _request(pm2: Pm2, params: t.Mapping[str, t.Any]) -> _pm2_states.Request:
    file = params["ecosystem_file"]
    urls = {name: [value] if isinstance(value, str) else list(value) for name, value in params["health_urls"].items()}
    for name, listed in urls.items():
        for url in listed:
            if not url.startswith("http://"):
                raise EcommusError(
                    f"{url} of health_urls ({name}) is not a plain http URL",
                    "give the address that the process listens on, such as http://127.0.0.1:4000/health",
                )
    if params["parallel"] < 1:
        raise EcommusError(f"parallel is {params['parallel']}", "give the number of processes that come up at the same time, at least 1")
    return _pm2_states.Request(
        conditions=_proof.Conditions(
            params["expect_path"],
            stable_seconds=params["stable_seconds"],
            timeout=params["timeout"],
            env_file=params["env_file"],
            env_keys=tuple(params["env_keys"]),
        ),
        ecosystem=_ecosystem.Ecosystem(pm2, os.path.abspath(file), params["ecosystem_env"]) if file else None,
        health_urls=urls,
        service_ports=params["service_ports"],
        stop_timeout=params["stop_timeout"],
        allow_killed=params["allow_killed"],
        overlap=params["overlap"],
        parallel=params["parallel"],
        fork_strategy=params["fork_strategy"],
        include_stopped=params["include_stopped"],
        instances=params["instances"],
        environment=params["environment"],
        newer_than=params["newer_than"],
    )


def _saved(pm2: Pm2, before: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    result: dict[str, t.Any] = {"changed": True, "done": [], "before": before["processes"], **before}
    if not check_mode:
        with pm2.lock():
            result["saved"] = pm2.save()
    return result


def _serving(port: int) -> list[dict[str, t.Any]]:
    try:
        return [{"pid": info.pid, "cwd": info.cwd, "command": info.command} for info in _process.identity(port)]
    except EcommusError:
        return []


def _check_directories(pm2: Pm2, names: t.Sequence[str], expected: str | None) -> None:
    """See that all processes of *names* work under *expected*, if it is given."""
    table = pm2.table() if expected else []
    missing = [name for name in names if name not in {entry.name for entry in table}] if expected else []
    if missing:
        raise EcommusError(f"pm2 knows no process {', '.join(missing)}", "correct the name, or start it from an ecosystem file")
    for entry in table:
        if entry.name in names:
            _proof.check_directory(entry, str(expected))


def _check_name(name: str) -> None:
    # pm2 takes these for ids, for every process, for a pattern and for an option
    if name.isdigit() or name == "all" or not name or name[0] in "/-":
        raise EcommusError(f"{name!r} does not name a process", "give the names that `pm2 ls` shows, never ids, patterns or `all`")


def _check_versions(daemon: t.Mapping[str, t.Any]) -> None:
    if daemon["mismatch"]:
        raise EcommusError(
            f"the pm2 daemon is version {daemon['version']}, the pm2 command {daemon['command_version']}",
            "put the daemon's version in path_prefix, or run `pm2 update` in a maintenance window (it restarts everything)",
        )


def _after(pm2: Pm2) -> dict[str, t.Any]:
    try:
        return _pm2_states.described(pm2, None)
    except EcommusError as error:  # the daemon itself died: that belongs into the report, not in place of it
        return {"processes": [], "daemon": {"error": error.message}}


def _lines(processes: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    return "".join(f"{p['name']} {p['pm_id']} {p['status']} pid {p['pid']} {p['real_cwd'] or p['cwd']}\n" for p in processes)


def _predict(processes: t.Iterable[t.Mapping[str, t.Any]], plans: t.Mapping[str, t.Any], state: str) -> str:
    touched = {entry.pm_id for entries in plans.values() for entry in entries or ()}
    lines = [
        f"{p['name']} {p['pm_id']} ({state})\n" if p["pm_id"] in touched else _lines([p])
        for p in processes
        if not (state == "deleted" and p["pm_id"] in touched)
    ]
    return "".join(lines + [f"{name} (started from the ecosystem file)\n" for name, entries in plans.items() if entries is None])
