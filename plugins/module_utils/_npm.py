# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing and building a release with npm."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import tempfile
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result, clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._npm_diagnosis import Answer, diagnose

TOKEN_KEY = "NPM_REGISTRY_TOKEN"  # noqa: S105
LICENCE_KEY = "ECOMMUS_LICENSE_JWT"
# The live shop runs on the same processors: on a loaded machine of two, a build at normal priority made requests wait for seconds.
_NICENESS = 15
PREMIUM = ("@ecommus-plugin/", "@ecommus/theme-")
# In the order of the documented procedure.
WORKSPACES = ("@ecommus/storefront-astro", "@ecommus/admin", "@ecommus/super-admin", "@ecommus/api")
# npm's own defaults are two retries after 10 and 60 s with five minutes each (npm docs: config, fetch-*); an operator
# should not wait that long to learn that the registry is down. What the host's administrator set goes before.
_SETTINGS = {
    "npm_config_fetch_retries": "2",
    "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",
    "npm_config_fetch_timeout": "60000",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_progress": "false",
    "npm_config_update_notifier": "false",
}
_AT_ONCE = 4  # questions to the registry
# tsc: "error TS2304: ..."; esbuild: "file:1:7: ERROR: ..."; webpack and vite: "Module not found", "Could not resolve".
_TELLING = re.compile(r"\berror\b( TS\d+)?[:\]]|\b(module not found|could not resolve|can(no|')t (find|resolve))\b", re.IGNORECASE)


def ci(directory: str, *, token: str = "", env_file: str | None = None, path_prefix: t.Sequence[str] = (), timeout: float = 1800) -> None:
    """Install the packages of the release in *directory* exactly as its lock file says.

    :param token: goes before the one in *env_file*; it is passed in the environment, where ``.npmrc`` expects it.
    :param timeout: seconds.
    :raises EcommusError: with the cause told apart as far as npm, the registry and the licence allow.
    """
    variables = _dotenv.read(env_file) if env_file else {}
    token = token or variables.get(TOKEN_KEY, "")
    result = _npm(["ci"], directory, token, path_prefix, timeout)
    if result.code == 0:
        return
    raise diagnose(
        result,
        token_given=bool(token),
        licence=variables.get(LICENCE_KEY, ""),
        ask=lambda: registry_answers(directory, premium_packages(_lock(directory)), token=token, path_prefix=path_prefix),
    )


def premium_packages(lock: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Name and version of the licensed packages in a ``package-lock.json`` (npm docs: package-lock-json, ``packages``)."""
    found = {}
    for path, entry in lock.get("packages", {}).items():
        name = entry.get("name") or path.rpartition("node_modules/")[2]
        if "node_modules/" in path and name.startswith(PREMIUM) and not entry.get("link"):
            found[name] = str(entry.get("version", ""))
    return found


def registry_answers(
    directory: str, packages: t.Mapping[str, str], *, token: str, path_prefix: t.Sequence[str] = (), timeout: float = 60
) -> dict[str, Answer]:
    """What the registry says about each of *packages* (name to version), asked with *token* and by the ``.npmrc`` in *directory*.

    :param timeout: seconds for each package.
    """

    # With a cache of its own: from the host's, npm would answer for a token that was revoked since, or for a registry that is away.
    with tempfile.TemporaryDirectory(prefix="ecommus-npm-cache-") as cache, concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:

        def ask(name: str) -> Answer:
            question = ["view", f"{name}@{packages[name]}", "version", "--json", "--cache", cache]
            return Answer.of(_npm(question, directory, token, path_prefix, timeout))

        return dict(zip(packages, pool.map(ask, packages)))


def build(
    directory: str,
    workspaces: t.Sequence[str] = WORKSPACES,
    *,
    jobs: int | None = None,
    env_file: str | None = None,
    path_prefix: t.Sequence[str] = (),
    timeout: float = 1800,
    log_directory: str | None = None,
) -> list[dict[str, t.Any]]:
    """Build *workspaces*, at most *jobs* at once (default: the processors, two at most), and say how long each took.

    :param env_file: what the shop's builds may read, for what must not appear in their output.
    :param timeout: seconds for each.
    :param log_directory: keeps the output of each build in a file of its own.
    :raises EcommusError: naming every workspace that failed, with the end of the first one's output.
    """
    if jobs is None:
        jobs = min(os.cpu_count() or 1, 2)
    secrets = _dotenv.secrets(_dotenv.read(env_file)) if env_file else []

    def one(workspace: str) -> tuple[str, Result, float]:
        start = time.monotonic()
        result = run(
            ["npm", "--workspace", workspace, "run", "build"],
            cwd=directory,
            env=clean_environment(_SETTINGS, path_prefix),
            timeout=timeout,
            secrets=secrets,
            niceness=_NICENESS,
        )
        if log_directory is not None:
            name = re.sub(r"[^\w.-]+", "-", workspace).strip("-")
            with open(os.path.join(log_directory, f"build-{name}.log"), "w", encoding="utf-8") as file:
                file.write(result.output + result.error)
        return workspace, result, time.monotonic() - start

    with concurrent.futures.ThreadPoolExecutor(max(jobs, 1)) as pool:
        done = list(pool.map(one, workspaces))
    failed = [(workspace, result) for workspace, result, _seconds in done if result.code != 0]
    if failed:
        _raise_build_error(failed)
    return [{"workspace": workspace, "seconds": round(seconds, 1)} for workspace, _result, seconds in done]


def telling(log: str, most: int = 4) -> list[str]:
    """The lines of a build's *log* that say what is wrong, by the words that compilers and bundlers use; else the last ones."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("npm ")]
    return list(dict.fromkeys(line for line in lines if _TELLING.search(line)))[-most:] or lines[-most:]


def _raise_build_error(failed: t.Sequence[tuple[str, Result]]) -> t.NoReturn:
    names = ", ".join(workspace for workspace, _result in failed)
    first = failed[0][1]
    if "No workspaces found" in first.error:
        raise EcommusError(f"the release has no workspace {failed[0][0]}", "correct the names of the workspaces in the inventory")
    if "ENOSPC" in first.error or "no space left" in f"{first.output}{first.error}".lower():
        raise EcommusError(
            f"the disk is full: building {names} failed", "free space where the releases are, then run again", log=first.tail()
        )
    raise EcommusError(
        f"building {names} failed with exit code {first.code}: {' | '.join(telling(first.tail(30)))}",
        "the live shop is untouched; report the log to the vendor, or try another release",
        workspaces=[workspace for workspace, _result in failed],
        log=first.tail(30),
    )


# Run in npm's own directory tree, so that node finds the semver package that npm brings (Debian keeps it elsewhere, node knows where).
_SATISFIES = (
    "const semver = require('module').createRequire(process.argv[1])('semver'); const [version, range] = process.argv.slice(2);"
    " console.log(semver.validRange(range) === null ? 'invalid' : semver.satisfies(version, range))"
)


def semver_satisfies(version: str, wanted: str, *, path_prefix: t.Sequence[str] = ()) -> bool:
    """Whether *version* lies in the range *wanted* (as in ``engines.node``), by the semver package that npm brings.

    :raises EcommusError: when npm is missing or *wanted* is no range.
    """
    env = clean_environment(path_prefix=path_prefix)
    npm = shutil.which("npm", path=env["PATH"])
    if npm is None:
        raise EcommusError("npm does not exist on this host", "install it, or name its directory in path_prefix")
    result = run(["node", "-e", _SATISFIES, os.path.realpath(npm), version, wanted], env=env, timeout=60)
    if result.code != 0:
        raise EcommusError("npm on this host brings no semver package", "install npm 8 or newer", log=result.tail())
    answer = result.output.strip()
    if answer == "invalid":
        raise EcommusError(f"{wanted!r} is not a range of versions", "correct it in the package.json of the release")
    return bool(answer == "true")


def _npm(arguments: t.Sequence[str], directory: str, token: str, path_prefix: t.Sequence[str], timeout: float) -> Result:
    env = {**_SETTINGS, **clean_environment({TOKEN_KEY: token}, path_prefix, network=True)}
    return run(["npm", *arguments], env=env, cwd=directory, timeout=timeout, secrets=[token], niceness=_NICENESS)


def _lock(directory: str) -> dict[str, t.Any]:
    try:
        with open(os.path.join(directory, "package-lock.json"), encoding="utf-8") as file:
            lock = json.load(file)
    except (OSError, ValueError):
        return {}
    return lock if isinstance(lock, dict) else {}
