#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Prepare a release of a shop and make it the live one
version_added: 0.1.0
description:
  - Resolves a release tag against the vendor's remote and judges the step by the semver policy.
  - Fetches, checks out, installs and builds it in a directory of its own while the live release is untouched.
  - Switches the link C(current) to it in one step, and back.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.install, mdlabs.ecommus.journal]
attributes:
  check_mode:
    support: full
    details: Contacts the remote, and writes nothing.
  diff_mode:
    support: partial
    details: With O(state=active) shows which release the link leads to.
  idempotent:
    support: full
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.install]
options:
  state:
    description:
      - V(resolved) reads what is installed and what O(version) is, and refuses a step that the policy does not allow.
      - V(fetched) brings the tag into the mirror of the host, and checks its signature where O(allowed_signers) is set.
      - V(checked_out) makes the release directory, with the shared files linked in. In place, checks the tag out in the root itself.
      - V(installed) does that and runs C(npm ci) in it.
      - V(built) does both and runs the build of each of O(workspaces). What is done already is not done again.
      - V(active) points C(current) at it.
      - V(absent) removes it, unless it is live or a process runs from it.
    type: str
    choices: [resolved, fetched, checked_out, installed, built, active, absent]
    default: resolved
  version:
    description: The release tag, such as V(v1.4.0).
    type: str
    required: true
  commit:
    description: The commit of O(version) as V(resolved) returned it; required for every later state.
    type: str
  policy:
    description: Whether O(state=resolved) judges the step from the installed release. A rollback goes back on purpose.
    type: bool
    default: true
  layout:
    description: Where the release is prepared.
    type: str
    choices: [releases, in_place]
    default: releases
  remote:
    description: The vendor's repository. Defaults to C(origin) of the install.
    type: str
    default: ""
  allowed_signers:
    description: SSH allowed signers file on the host (ssh-keygen(1)). Empty means that signatures are not checked.
    type: path
    default: ""
  shared_paths:
    description: What belongs to the shop, relative to the root.
    type: list
    elements: str
    default: []
  build_caches:
    description: Caches of builds to copy from the live release, relative to its directory, as shell patterns.
    type: list
    elements: str
    default: []
  env_file:
    description: The environment file, for C(NPM_REGISTRY_TOKEN) when O(npm_token) is empty.
    type: path
  npm_token:
    description: Token of the private npm registry; handed to npm by its environment.
    type: str
    default: ""
  workspaces:
    description: The npm workspaces to build.
    type: list
    elements: str
    default: []
  jobs:
    description: How many workspaces are built at once.
    type: int
    default: 2
  timeout:
    description: Seconds that C(npm ci), and each build, may take.
    type: int
    default: 1800
seealso:
  - module: mdlabs.ecommus.layout
  - module: mdlabs.ecommus.preflight
  - module: mdlabs.ecommus.candidate
"""

EXAMPLES = r"""
- name: Ask what the step to v1.4.0 is
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: v1.4.0
  register: resolved

- name: Prepare it in a directory of its own, while the live release is untouched
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: v1.4.0
    commit: "{{ resolved.step.commit }}"
    shared_paths: [.env, uploads]
    env_file: /opt/ecommus/.env
    workspaces: ["@ecommus/api", "@ecommus/storefront-astro"]
    state: "{{ item }}"
  loop: [fetched, checked_out, installed, built]

- name: Make it the live one
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: v1.4.0
    commit: "{{ resolved.step.commit }}"
    state: active
  register: activated

- name: Go back
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: "{{ resolved.installed.version }}"
    commit: "{{ resolved.installed.commit }}"
    state: active

- name: Remove it
  mdlabs.ecommus.release:
    root: /opt/ecommus
    version: v1.4.0
    commit: "{{ resolved.step.commit }}"
    state: absent
"""

RETURN = r"""
run:
  description: The run as it was written into the journal.
  returned: success, when O(journal) is given and not in check mode
  type: dict
installed:
  description: What is installed.
  returned: O(state=resolved)
  type: dict
  contains:
    layout: {description: V(releases) or V(in_place)., type: str}
    directory: {description: The real directory of the live release., type: str}
    commit: {description: Its commit., type: str}
    version: {description: Its tag; V(null) between two tags., type: str}
unshared:
  description: Those of O(shared_paths) that an adoption has still to share; see M(mdlabs.ecommus.layout).
  returned: O(state=resolved)
  type: list
  elements: str
step:
  description: The step that was asked for.
  returned: O(state=resolved)
  type: dict
  contains:
    source: {description: Installed release; V(null) between two tags., type: str}
    target: {description: Wanted release., type: str}
    commit: {description: Commit of the wanted release., type: str}
    bump: {description: "V(patch), V(minor), V(major) or V(same); V(unjudged) without O(policy).", type: str}
remote:
  description: The repository that was asked, without credentials.
  returned: O(state=resolved)
  type: str
directory:
  description: The directory of the release.
  returned: every state but V(resolved)
  type: str
previous:
  description: The directory that was live before.
  returned: O(state=active)
  type: str
notes:
  description: The front matter (YAML) of the release's notes.
  returned: O(state=fetched)
  type: str
env_keys:
  description: The keys of the release's C(.env.example).
  returned: O(state=fetched)
  type: list
  elements: str
log:
  description: The end of what the program said, secrets removed.
  returned: on failure of C(npm ci) or of a build
  type: str
code:
  description: The code that npm gave its failure; empty when it gave none.
  returned: on failure of C(npm ci)
  type: str
cause:
  description: Why the registry refused packages.
  returned: when it did
  type: str
packages:
  description: The packages that it refused.
  returned: when it did
  type: list
  elements: str
workspaces:
  description: The workspaces whose build failed.
  returned: on failure of a build
  type: list
  elements: str
moved_tags:
  description: Tags that name another commit than when they were first fetched.
  returned: when there are any, which is an error
  type: list
  elements: str
pids:
  description: Processes that use the directory.
  returned: when it cannot be removed, or prepared, for that
  type: list
  elements: int
command:
  description: The program that did not end in time, secrets removed.
  returned: on that failure
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import os
import re
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _git, _layout, _npm, _policy, _release
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._install_options import install_options, paths_of
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted

Given = dict[str, t.Any]


@noted
def main(module: AnsibleModule) -> Given:
    given = module.params
    paths = paths_of(given)
    if given["state"] == "resolved":
        return _resolve(paths, given)
    directory = paths.root if given["layout"] == "in_place" else paths.release(given["version"], given["commit"])
    action: t.Callable[[_layout.Paths, str, Given, bool], Given] = _ACTIONS[given["state"]]
    return {"directory": directory, **action(paths, directory, given, module.check_mode)}


def _remote(paths: _layout.Paths, given: Given) -> str:
    remote = given["remote"] or _git.remote_of(os.path.realpath(paths.root))
    if not remote:
        raise EcommusError(f"the checkout at {paths.root} has no remote called origin", "set ecommus_git_remote")
    return remote


def _resolve(paths: _layout.Paths, given: Given) -> Given:
    installed = _layout.observe(paths)
    remote = _remote(paths, given)
    if given["policy"]:
        step = _policy.decide(installed.version, given["version"], _git.remote_tags(remote)).as_dict()
    else:
        step = {"source": installed.version, "target": given["version"], "commit": given["commit"], "bump": "unjudged"}
    unshared = _layout.unshared(paths, given["shared_paths"])
    return {"installed": installed.as_dict(), "unshared": unshared, "step": step, "remote": re.sub(r"(?<=://)[^/@]+@", "", remote)}


def _fetch(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
    if check:
        known = os.path.isdir(paths.repository) and _git.commit_of(paths.repository, f"refs/tags/{given['version']}")
        return {"changed": known != given["commit"]}
    changed = _release.fetch(paths, _remote(paths, given), given["version"], given["commit"], given["allowed_signers"])
    notes = _git.file_at(paths.repository, given["commit"], _release.notes_path(given["version"])) or ""
    example = _git.file_at(paths.repository, given["commit"], ".env.example") or ""
    return {"changed": changed, "notes": _release.front_matter(notes), "env_keys": sorted(_dotenv.parse(example))}


def _check_out(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
    if check:
        return {"changed": not _release.reached(directory, given["commit"], "checked_out")}
    remote = _remote(paths, given)
    if given["layout"] == "in_place":
        changed = _release.check_out_in_place(paths, remote, given["version"], given["commit"])
    else:
        changed = _release.check_out(paths, directory, remote, given["version"], given["commit"], given["shared_paths"])
        _release.take_caches(os.path.realpath(paths.root), directory, given["build_caches"])
    return {"changed": changed}


def _install(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
    return _prepare(
        directory,
        given,
        check,
        "installed",
        lambda: _npm.ci(
            directory, token=given["npm_token"], env_file=given["env_file"], path_prefix=given["path_prefix"], timeout=given["timeout"]
        ),
    )


def _build(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
    return _prepare(
        directory,
        given,
        check,
        "built",
        lambda: _npm.build(
            directory,
            given["workspaces"],
            jobs=given["jobs"],
            env_file=given["env_file"],
            path_prefix=given["path_prefix"],
            timeout=given["timeout"],
        ),
    )


def _prepare(directory: str, given: Given, check: bool, stage: str, work: t.Callable[[], t.Any]) -> Given:
    """Do *work* unless the release is that far already, and write down that it is."""
    if _release.reached(directory, given["commit"], stage):
        return {"changed": False}
    if not check:
        if given["layout"] == "releases":  # in place the shop itself runs there
            _release.wait_for_earlier(directory, given["timeout"])
            if _release.reached(directory, given["commit"], stage):
                return {"changed": True}
        work()
        _layout.write_marker(directory, prepared=stage)
    return {"changed": True}


def _reach(stage: str) -> t.Callable[[_layout.Paths, str, Given, bool], Given]:
    """What brings a release as far as *stage*, from wherever it is."""
    work = dict(zip(_release.STAGES, (_check_out, _install, _build)))

    def reach(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
        changed = False
        for name in _release.STAGES[: _release.STAGES.index(stage) + 1]:
            changed |= work[name](paths, directory, given, check)["changed"]
        return {"changed": changed}

    return reach


def _activate(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
    previous = os.path.realpath(paths.current)
    if not check:
        _layout.activate(paths, directory)
    return {
        "changed": previous != os.path.realpath(directory),
        "previous": previous,
        "diff": {"before": f"current -> {previous}\n", "after": f"current -> {directory}\n"},
    }


def _remove(paths: _layout.Paths, directory: str, given: Given, check: bool) -> Given:
    return {"changed": os.path.lexists(directory) if check else _release.remove(paths, directory)}


_ACTIONS = {
    "fetched": _fetch,
    **{stage: _reach(stage) for stage in _release.STAGES},
    "active": _activate,
    "absent": _remove,
}


if __name__ == "__main__":
    run_module(
        main,
        {
            **install_options(),
            **journal_options(),
            "state": {
                "type": "str",
                "choices": ["resolved", "fetched", "checked_out", "installed", "built", "active", "absent"],
                "default": "resolved",
            },
            "version": {"type": "str", "required": True},
            "commit": {"type": "str"},
            "policy": {"type": "bool", "default": True},
            "layout": {"type": "str", "choices": ["releases", "in_place"], "default": "releases"},
            "remote": {"type": "str", "default": ""},
            "allowed_signers": {"type": "path", "default": ""},
            "shared_paths": {"type": "list", "elements": "str", "default": []},
            "build_caches": {"type": "list", "elements": "str", "default": []},
            "env_file": {"type": "path"},
            "npm_token": {"type": "str", "default": "", "no_log": True},
            "workspaces": {"type": "list", "elements": "str", "default": []},
            "jobs": {"type": "int", "default": 2},
            "timeout": {"type": "int", "default": 1800},
        },
        required_if=[("state", state, ["commit"]) for state in _ACTIONS],
    )
