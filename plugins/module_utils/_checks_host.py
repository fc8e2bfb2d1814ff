# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the running shop and of the host that it runs on."""

from __future__ import annotations

import os
import shutil

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _files, _git, _health, _layout, _npm
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._expect import Expectation
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import WARNING, Finding, Need, Subject, check

MIB = 1024 * 1024


@check("The four services are healthy", "health")
def services_healthy(subject: Subject) -> Finding:
    probes = [
        _health.Probe(
            service["name"],
            service["health_url"],
            Expectation(json=service.get("expect_json") or {}, text=service.get("expect_text") or ""),
            resolve=subject.resolve,
            ca_path=subject.ca_path,
            timeout=10,
        )
        for service in subject.services
    ]
    results = _health.check(probes, _health.Patience(retries=2, interval=1, deadline=45))
    bad = [f"{result.name}: {result.error}" for result in results if not result.ok]
    if bad:
        return Finding(False, "; ".join(bad), "bring the shop to health first; an upgrade of a sick shop cannot be judged")
    return Finding(True, ", ".join(f"{result.name} {result.latency_ms:.0f} ms" for result in results))


@check("The processes that the inventory names are known to pm2", "pm2")
def processes_known(subject: Subject) -> Finding:
    table, names = subject.pm2.table(), subject.process_names
    resting = [subject.workers_process] if subject.workers_mode == "process" else []
    missing = [name for name in names if not any(entry.name == name for entry in table)]
    down = sorted({entry.name for entry in table if entry.name in names and not entry.online and entry.name not in resting})
    if missing or down:
        found = "; ".join(
            part
            for part in (f"not in pm2: {', '.join(missing)}" if missing else "", f"not online: {', '.join(down)}" if down else "")
            if part
        )
        return Finding(
            False,
            found,
            f"correct ecommus_services and ecommus_workers_process, or start them; pm2 has {', '.join(sorted({e.name for e in table}))}",
        )
    return Finding(True, f"{len(names)} names, {sum(entry.online for entry in table)} processes online")


@check("Nobody edited the live checkout", "code")
def working_tree_clean(subject: Subject) -> Finding:
    # What the first upgrade will move to the shared directory is the shop's own, whether git ignores it or not.
    own = tuple(f"?? {path.rstrip('/')}" for path in subject.shared_paths)
    changed = [line for line in _git.changed_files(subject.live) if line.rstrip("/") not in own]
    if not changed:
        return Finding(True, "the working tree is clean")
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return Finding(
        False,
        f"local changes in {subject.live}: {', '.join(line.strip() for line in changed[:5])}{more}",
        "commit them to your own plugin, or undo them (git stash); the new release would not have them",
    )


@check("What belongs to the shop can be shared by its releases", "code")
def shared_paths_movable(subject: Subject) -> Finding:
    if subject.layout != "releases":
        return Finding(True, "in place nothing is moved")
    unshared = _layout.unshared(subject.paths, subject.shared_paths)
    obstacles = _layout.obstacles(subject.paths, unshared)
    if obstacles:
        return Finding(False, "; ".join(each.message for each in obstacles), "; ".join(each.remedy for each in obstacles))
    return Finding(True, f"to be shared: {', '.join(unshared)}" if unshared else "all of it is")


@check("Node.js is new enough for the release", "host")
def node_version(subject: Subject) -> Finding:
    have = _program_version(subject, "node")
    wanted = subject.json("package.json").get("engines", {}).get("node", ">=22.6")
    # 22.6 is the first Node.js that knows --experimental-strip-types, which the vendor's command line tools are run with.
    if _npm.semver_satisfies(have, wanted, path_prefix=subject.path_prefix):
        return Finding(True, f"Node.js {have}, wanted {wanted}")
    return Finding(
        False, f"Node.js is {have}, {subject.version} wants {wanted}", "install a Node.js that fits and restart the pm2 daemon with it"
    )


@check("git, npm and pm2 are there", "host")
def programs_there(subject: Subject) -> Finding:
    missing = [name for name in ("git", "npm", "pm2") if subject.program(name) is None]
    if missing:
        return Finding(False, f"not found: {', '.join(missing)}", "install them, or name their directory in ecommus_path_prefix")
    return Finding(True, f"npm {_program_version(subject, 'npm')}")


@check("The disk has room for the new release", "disk")
def room_for_release(subject: Subject) -> Finding:
    place = subject.paths.base if os.path.isdir(subject.paths.base) else os.path.dirname(subject.paths.base)
    free = shutil.disk_usage(place).free
    need = _files.size_below(subject.live)  # in place too: the packages before are kept for the way back
    found = f"{free // MIB} MiB free in {place}, about {need // MIB} MiB needed (the size of the live release)"
    remedy = f"free space in {place}; playbooks/prune.yml removes old releases"
    needs = (Need("the release", place, int(need * 1.1)),)
    return Finding(free > need * 1.1, found, remedy, facts={"release_bytes": need}, needs=needs)


@check("The environment file has every key that the release needs", "configuration")
def environment_keys(subject: Subject) -> Finding:
    example = _dotenv_keys(subject.file(".env.example") or "")
    have = set(subject.environment) | set(subject.env_given)
    # What the live release's example has and the shop has not is left to the product's defaults already.
    before = set(_dotenv_keys(_git.file_at(subject.live, "HEAD", ".env.example") or ""))
    wanted = [*subject.env_required, *(key for key in example if key not in before)]
    missing = list(dict.fromkeys(key for key in wanted if key not in have))
    if missing:
        return Finding(False, f"{subject.version} needs {', '.join(missing)}", "give the values in ecommus_env (keep them in a vault)")
    coming = sorted(key for key in {*example, *subject.env_required} if key in subject.env_given and key not in subject.environment)
    looked_at = f"{len(example)} keys of .env.example and {len(subject.env_required)} of the release notes looked at"
    return Finding(True, looked_at + (f"; to be added: {', '.join(coming)}" if coming else ""))


@check("The installed keys cover the release's example", "configuration", severity=WARNING)
def environment_keys_absent(subject: Subject) -> Finding:
    absent = [
        key for key in _dotenv_keys(subject.file(".env.example") or "") if key not in subject.environment and key not in subject.env_given
    ]
    return Finding(
        not absent,
        f"absent: {', '.join(absent)}" if absent else "none is absent",
        "absent keys take the product's defaults; check that this is meant",
    )


def _dotenv_keys(text: str) -> list[str]:
    return sorted(_dotenv.parse(text))


def _program_version(subject: Subject, program: str) -> str:
    found = subject.program(program)
    if found is None:
        raise EcommusError(f"{program} is not found on this host", "install it, or name its directory in ecommus_path_prefix")
    result = run([found, "--version"], env=clean_environment(path_prefix=subject.path_prefix), timeout=30)
    if result.code != 0:
        raise EcommusError(f"{program} --version fails: {result.tail(2)}", f"repair {program}")
    return result.output.strip().lstrip("v")
