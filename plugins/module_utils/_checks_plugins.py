# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the plugins: will the release's host take them, and will they be there at all."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _manifest, _migrations, _npm, _plugins, _version
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import ERROR, WARNING, Finding, Subject, check
from ansible_collections.mdlabs.ecommus.plugins.module_utils._release_tree import PLUGINS, private_plugins, release_tree, stays
from ansible_collections.mdlabs.ecommus.plugins.module_utils._shop_cli import run_script

_LIST_SCRIPT = "apps/api/src/cli/list-plugins.ts"
_CORE = "packages/core/package.json"


@dataclasses.dataclass(frozen=True)
class _Coming:
    """The plugins of the release: manifests by name, and the names whose manifest is known only after ``npm ci``."""

    manifests: dict[str, _manifest.Manifest]
    later: list[str]
    gone: list[str]


@check("Every plugin fits the core of the release", "plugins")
def plugins_fit(subject: Subject) -> Finding:
    core = str(subject.json(_CORE).get("version", ""))
    if not core:
        raise EcommusError(f"{subject.version} has no {_CORE} with a version", "ask the vendor which core it brings")
    coming = _coming(subject)
    present = {*coming.manifests, *coming.later}
    present |= {name.rpartition("/")[2] for name in present}
    bad = []
    for name, manifest in coming.manifests.items():
        wanted = manifest.min_core_version
        if wanted and not _reaches(core, wanted, subject.path_prefix):
            bad.append(f"{name} wants core {wanted} or newer")
        bad += [f"{name} depends on {other}, which is absent" for other in manifest.dependencies if other not in present]
    if bad:
        return Finding(
            False,
            f"{'; '.join(bad)} (the core of {subject.version} is {core})",
            "take a version of the plugin that fits, or another release",
        )
    later = f"; not known before npm ci: {', '.join(coming.later)}" if coming.later else ""
    return Finding(True, f"{len(coming.manifests)} plugins fit core {core}{later}")


@check("Every plugin declares its permissions", "plugins", severity=WARNING)
def plugin_permissions(subject: Subject) -> Finding:
    manifests = _coming(subject).manifests
    silent = [name for name, manifest in manifests.items() if manifest.permissions is None]
    if silent:
        return Finding(
            False,
            f"no permissions in the manifest of {', '.join(silent)}",
            "declare them in its package.json (ecommus.permissions): in production the host refuses what is not declared",
        )
    return Finding(True, f"{len(manifests)} plugins declare theirs")


@check("Every installed plugin comes with the release", "plugins", severity=WARNING)
def plugins_kept(subject: Subject) -> Finding:
    gone = _coming(subject).gone
    if gone:
        return Finding(
            False,
            f"{subject.version} does not bring {', '.join(gone)}",
            "ask the vendor; if it is meant, name them in upgrade_allowed_plugins, or the comparison of the plugins fails the upgrade",
        )
    return Finding(True, "none is missing in its lock file and in plugins/")


@check("No private plugin gets lost", "plugins", severity=WARNING)
def private_plugins_kept(subject: Subject) -> Finding:
    private = private_plugins(subject)
    lost = [name for name in private if not stays(subject, name)]
    if not lost:
        return Finding(True, f"{', '.join(private)} will be there" if private else f"all of {PLUGINS}/ is the vendor's")
    paths = ", ".join(f"{PLUGINS}/{name}" for name in lost)
    enabled = _enabled(subject, lost)
    return Finding(
        False,
        f"the new release would be without {paths}" + (f"; the shop runs {', '.join(enabled)}" if enabled else ""),
        f"add {paths} to ecommus_shared_paths",
        severity=ERROR if enabled else "",
    )


def _coming(subject: Subject) -> _Coming:
    with release_tree(subject) as root:
        manifests = _manifests(root)
    lock = subject.json("package-lock.json").get("packages", {})
    locked = {path.rpartition("node_modules/")[2]: str(entry.get("version", "")) for path, entry in lock.items() if "node_modules/" in path}
    private = {_name(subject, directory) for directory in private_plugins(subject)}
    installed = {name: manifest for name, manifest in _manifests(subject.live).items() if name not in manifests and name not in private}
    manifests.update({name: manifest for name, manifest in installed.items() if locked.get(name) == manifest.version})
    packages = {name for name in locked if name in installed or name.startswith("@ecommus-plugin/")}
    return _Coming(manifests, sorted(packages - set(manifests)), sorted(set(installed) - set(locked)))


def _manifests(root: str) -> dict[str, _manifest.Manifest]:
    found = map(_manifest.read, _migrations.plugin_folders(root, _migrations.Places()).values())
    return {manifest.name: manifest for manifest in found if manifest is not None}


def _name(subject: Subject, directory: str) -> str:
    """What the shop calls the private plugin in *directory*."""
    manifest = _manifest.read(os.path.join(subject.live, PLUGINS, directory))
    return manifest.name if manifest else directory


def _reaches(core: str, wanted: str, path_prefix: t.Sequence[str]) -> bool:
    try:
        return _version.from_package(core) >= _version.from_package(wanted)
    except EcommusError:  # not an exact version: npm's own semver reads it
        return _npm.semver_satisfies(core, wanted if not wanted[0].isdigit() else f">={wanted}", path_prefix=path_prefix)


def _enabled(subject: Subject, names: t.Sequence[str]) -> list[str]:
    """Those of the private plugins *names* that the shop itself lists and does not call disabled."""
    try:
        listed = run_script(
            subject.live,
            _LIST_SCRIPT,
            variables=subject.environment,
            database_url=subject.environment.get(subject.database_url_key, ""),
            database_url_key=subject.database_url_key,
            path_prefix=subject.path_prefix,
            timeout=120,
        ).output
    except EcommusError:  # a shop that cannot list its plugins is told so when they are captured
        return []
    running = {plugin.name for plugin in _plugins.parse(listed).plugins if plugin.enabled is not False}
    return [name for name in names if {name, _name(subject, name)} & running]
