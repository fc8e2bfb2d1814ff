#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: plugin_inventory
short_description: List the plugins of a shop, and judge whether two lists differ in more than version bumps
version_added: 0.1.0
description:
  - With O(state=captured) runs the shop's own C(list-plugins.ts) and returns what it lists.
  - With O(state=compared) compares two lists. Only version bumps pass; a plugin that is missing, older, disabled or otherwise
    different does not, and a new one passes only if it is allowed. Then the module fails, unless O(strict) is V(false).
  - The product does not document the format of its list. Lines of C(name@version ...), JSON and tables are understood;
    any other line is kept and must be the same in both lists.
author:
  - MD Labs (@mdlabs)
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.program]
attributes:
  check_mode:
    support: full
    details: Reads as usual and does not write O(dest).
  diff_mode:
    support: full
    details: Shows both lists with O(state=compared).
  idempotent:
    support: full
    details: What is written to O(dest) is evidence and does not count as a change.
options:
  state:
    description: V(captured) lists the plugins of O(root); V(compared) compares O(before) with O(after), or with those of O(root).
    type: str
    choices: [captured, compared]
    default: captured
  root:
    description: The checkout whose plugins are listed; required with O(state=captured), and with O(state=compared) in place of O(after).
    type: path
  script:
    description: The program that lists the plugins, below O(root).
    type: str
    default: apps/api/src/cli/list-plugins.ts
  timeout:
    description: Seconds that the program may take.
    type: int
    default: 120
  dest:
    description: File that the program's output is written to as it is, with mode 0600.
    type: path
  before:
    description: The earlier list, for O(state=compared). The text that the program printed, or a path that begins with a slash.
    type: str
  after:
    description:
      - The later list, for O(state=compared). The text that the program printed, or a path that begins with a slash.
      - Where it is not given, the plugins of O(root) are listed.
    type: str
  allow:
    description: Names of plugins whose differences are reported and pass.
    type: list
    elements: str
    default: []
  allow_added:
    description: Whether new plugins pass.
    type: bool
    default: false
  allow_bumps:
    description: Whether plugins whose version went up pass. After a rollback they should be as before.
    type: bool
    default: true
  strict:
    description: Whether to fail when more than versions went up. Otherwise RV(verdict) tells.
    type: bool
    default: true
seealso:
  - module: mdlabs.ecommus.migration_runner
"""

EXAMPLES = r"""
- name: Capture the plugins before the upgrade
  mdlabs.ecommus.plugin_inventory:
    root: /opt/ecommus
    dest: /var/lib/ecommus-upgrade/plugins-before.txt

- name: Fail when the live release lacks one of them, or has another one
  mdlabs.ecommus.plugin_inventory:
    state: compared
    before: /var/lib/ecommus-upgrade/plugins-before.txt
    root: /opt/ecommus
    allow: ["@acme/erp"]
"""

RETURN = r"""
plugins:
  description: What is listed, by name; with O(state=compared) the later list.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the package., type: str, sample: "@ecommus-plugin/efactura-ro"}
    version: {description: Its version as listed., type: str, sample: 1.2.0}
    origin: {description: "V(built-in), V(premium), V(private), another word of the list, or empty.", type: str, sample: premium}
    enabled: {description: V(null) where the list does not say., type: bool, sample: true}
    notes: {description: What else the list says about it., type: list, elements: str, sample: []}
unknown:
  description: Lines that were not understood; with O(state=compared) those of the later list.
  returned: success
  type: list
  elements: str
  sample: []
raw:
  description: What the program printed, with secrets replaced.
  returned: when the plugins of O(root) were listed
  type: str
dest:
  description: Where the output was written; V(null) when it was not.
  returned: with O(state=captured)
  type: str
verdict:
  description: V(ok) if only versions went up, else V(changed).
  returned: with O(state=compared)
  type: str
  sample: ok
problems:
  description: What is more than a version bump, one sentence each.
  returned: with O(state=compared)
  type: list
  elements: str
  sample: ["@acme/erp 0.9.0 is missing"]
bumps:
  description: Plugins whose version went up, with C(name), C(from), C(to) and C(kind) (V(patch), V(minor) or V(major)).
  returned: with O(state=compared)
  type: list
  elements: dict
  sample: [{name: "@ecommus-plugin/efactura-ro", from: 1.2.0, to: 1.3.0, kind: minor}]
downgraded:
  description: Plugins whose version went down, with C(name), C(from) and C(to).
  returned: with O(state=compared)
  type: list
  elements: dict
  sample: []
altered:
  description: Other differences of plugins in both lists, with C(name), C(field), C(from) and C(to).
  returned: with O(state=compared)
  type: list
  elements: dict
  sample: []
missing:
  description: Plugins that only the earlier list has.
  returned: with O(state=compared)
  type: list
  elements: str
  sample: []
added:
  description: Plugins that only the later list has.
  returned: with O(state=compared)
  type: list
  elements: str
  sample: []
disabled:
  description: Plugins that are disabled now and were not.
  returned: with O(state=compared)
  type: list
  elements: str
  sample: []
log:
  description: The end of what the program said, secrets removed.
  returned: on failure of a program
  type: str
command:
  description: The program that did not end in time, secrets removed.
  returned: on that failure
  type: str
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import dataclasses
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _dotenv, _plugins
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._files import write_atomic
from ansible_collections.mdlabs.ecommus.plugins.module_utils._program_options import program_options
from ansible_collections.mdlabs.ecommus.plugins.module_utils._shop_cli import LIST_PLUGINS, list_plugins

ARGUMENTS: dict[str, t.Any] = {
    "state": {"type": "str", "choices": ["captured", "compared"], "default": "captured"},
    "root": {"type": "path"},
    **program_options(),
    "script": {"type": "str", "default": LIST_PLUGINS},
    "timeout": {"type": "int", "default": 120},
    "dest": {"type": "path"},
    "before": {"type": "str"},
    "after": {"type": "str"},
    "allow": {"type": "list", "elements": "str", "default": []},
    "allow_added": {"type": "bool", "default": False},
    "allow_bumps": {"type": "bool", "default": True},
    "strict": {"type": "bool", "default": True},
}


def main(module: AnsibleModule) -> dict[str, t.Any]:
    return _capture(module) if module.params["state"] == "captured" else _compare(module.params)


def _capture(module: AnsibleModule) -> dict[str, t.Any]:
    options = module.params
    raw = _listed(options)
    if options["dest"] and not module.check_mode:
        write_atomic(options["dest"], raw)
    return {**_described(_plugins.parse(raw)), "raw": raw, "dest": options["dest"]}


def _listed(options: t.Mapping[str, t.Any]) -> str:
    """What the shop's own program prints."""
    return list_plugins(
        options["root"],
        options["script"],
        variables=_dotenv.read(options["env_file"] or os.path.join(options["root"], ".env")),
        database_url=options["database_url"] or "",
        database_url_key=options["database_url_key"],
        path_prefix=options["path_prefix"],
        timeout=options["timeout"],
    )


def _compare(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    raw = _text(options["after"]) if options["after"] else _listed(options)
    before, after = _plugins.parse(_text(options["before"])), _plugins.parse(raw)
    allowed = {key: options[key] for key in ("allow", "allow_added", "allow_bumps")}
    found = _plugins.compare(before, after, **allowed)
    if options["strict"] and found.verdict != "ok":
        what = "more than the versions of the plugins would change" if options["allow_bumps"] else "the plugins differ"
        raise EcommusError(
            f"{what}: {'; '.join(found.problems)}",
            "have the vendor license or mend what is missing; allow what is meant by name (upgrade_allowed_plugins)",
            problems=list(found.problems),
        )
    return {
        **_described(after),
        **({} if options["after"] else {"raw": raw}),
        **dataclasses.asdict(found),
        "verdict": found.verdict,
        "diff": {"before_header": "plugins before", "after_header": "plugins after", "before": _lines(before), "after": _lines(after)},
    }


def _text(source: str) -> str:
    if not source.startswith("/"):
        return source
    try:
        with open(source, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        raise EcommusError(f"the plugin list {source} cannot be read: {error.strerror}", "capture it first") from None


def _described(listing: _plugins.Listing) -> dict[str, t.Any]:
    return {"plugins": [dataclasses.asdict(plugin) for plugin in listing.plugins], "unknown": list(listing.unknown)}


def _lines(listing: _plugins.Listing) -> str:
    """The list in one form, so that a diff shows what matters."""
    state = {True: "enabled", False: "disabled", None: ""}
    lines = [" ".join((f"{p.name}@{p.version}", p.origin, state[p.enabled], *p.notes)).strip() for p in listing.plugins]
    return "".join(f"{line}\n" for line in [*lines, *listing.unknown])


if __name__ == "__main__":
    run_module(
        main,
        ARGUMENTS,
        required_if=[("state", "captured", ["root"]), ("state", "compared", ["before"]), ("state", "compared", ["root", "after"], True)],
    )
