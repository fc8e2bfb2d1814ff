# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of how pm2 was told to run the shop's processes."""

from __future__ import annotations

import os

from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import (
    DEFAULT_KILL_TIMEOUT_MS,
    DEFAULT_LISTEN_TIMEOUT_MS,
    Entry,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import ERROR, WARNING, Finding, Subject, check


@check("The processes follow the link to the live release", "pm2", severity=WARNING)
def processes_follow(subject: Subject) -> Finding:
    # pm2 keeps a path as it was given: one that runs through the link leads to the new release at the next start, this one never does.
    releases = tuple({f"{path}/" for path in (subject.paths.releases, os.path.realpath(subject.paths.releases))})
    table = [entry for entry in subject.pm2.table() if entry.name in subject.process_names]
    pinned = sorted({entry.name for entry in table if f"{entry.cwd}/".startswith(releases) or entry.script.startswith(releases)})
    if pinned:
        return Finding(
            False,
            f"pinned to a release directory: {', '.join(pinned)}",
            f"let the paths in ecommus_ecosystem_file run through {subject.paths.root}; the cut-over starts these processes anew from it",
        )
    return Finding(True, f"none of {len(table)} is pinned to a release directory")


@check("The pm2 command is of the version that runs", "pm2")
def pm2_version(subject: Subject) -> Finding:
    daemon, command = subject.pm2.daemon_version, subject.pm2.command_version
    if daemon != command:
        return Finding(
            False,
            f"the pm2 daemon is version {daemon}, the pm2 command {command}",
            "put the daemon's version in ecommus_path_prefix, or run `pm2 update` in a maintenance window (it restarts everything)",
        )
    return Finding(True, f"pm2 {daemon}")


@check("The services can be replaced without a lost request", "pm2", severity=WARNING)
def processes_ready(subject: Subject) -> Finding:
    services = {service["process"] for service in subject.services}
    found: dict[str, list[str]] = {}
    for entry in subject.pm2.table():
        if entry.name in services:
            found[entry.name] = _obstacles(entry)
    bad = [f"{name}: {', '.join(obstacles)}" for name, obstacles in found.items() if obstacles]
    if bad:
        return Finding(
            False,
            "; ".join(bad),
            "in the ecosystem file: exec_mode cluster, wait_ready with process.send('ready'), a listen_timeout of three times the boot, "
            "a kill_timeout above the longest request",
        )
    return Finding(True, f"{len(found)} services in cluster mode say when they are ready")


@check("The workers have the time that their job needs to end", "pm2", "workers", severity=WARNING)
def workers_have_time(subject: Subject) -> Finding:
    entries = [entry for entry in subject.pm2.table() if entry.name == subject.workers_process]
    shortest = min((entry.kill_timeout_ms for entry in entries), default=None)
    if subject.workers_mode == "none" or shortest is None:
        return Finding(True, "there are none here")
    remedy = f"set kill_timeout of {subject.workers_process} in the ecosystem file above the longest job, and restart it from there"
    if shortest < subject.workers_stop_timeout * 1000:
        wanted = f"ecommus_workers_stop_timeout is {subject.workers_stop_timeout:g} s"
        return Finding(False, f"pm2 would kill {subject.workers_process} after {shortest} ms, {wanted}", remedy, severity=ERROR)
    if shortest <= DEFAULT_KILL_TIMEOUT_MS and not subject.workers_stop_timeout:
        return Finding(False, f"pm2 kills {subject.workers_process} after {shortest} ms, whatever job it is at", remedy)
    return Finding(True, f"{subject.workers_process} has {shortest / 1000:g} s")


def _obstacles(entry: Entry) -> list[str]:
    """What keeps a process of a service from being replaced unnoticed."""
    return [
        text
        for text, is_so in (
            ("fork mode", entry.exec_mode == "fork"),
            ("no wait_ready", entry.exec_mode == "cluster" and not entry.wait_ready),
            (f"listen_timeout {entry.listen_timeout_ms} ms", entry.listen_timeout_ms < DEFAULT_LISTEN_TIMEOUT_MS),
            (f"kill_timeout {entry.kill_timeout_ms} ms", entry.kill_timeout_ms <= DEFAULT_KILL_TIMEOUT_MS),
        )
        if is_so
    ]
