#!/usr/bin/python
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: layout
short_description: Turn an in-place install into the releases layout, or back
version_added: 0.1.0
description:
  - Makes the checkout of a running shop the first release of the releases layout, without copying, building or stopping anything.
  - The directory and the link to it change places in one system call (renameat2(2)), so that no path is missing at any time.
author: [MD Labs (@mdlabs)]
extends_documentation_fragment: [mdlabs.ecommus.attributes, mdlabs.ecommus.install]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the layout before and after, and which of O(shared_paths) are still to be shared.
  idempotent:
    support: full
  action_group:
    membership: [mdlabs.ecommus.all, mdlabs.ecommus.install]
options:
  state:
    description: The layout that the install is to have.
    type: str
    choices: [releases, in_place]
    default: releases
  shared_paths:
    description:
      - What belongs to the shop and not to a release, relative to the root. It is moved to C(shared) beside the releases, which link to it.
      - A link to another place is taken over as a link. A mount point must be mounted in C(shared) as well.
      - An adoption that was interrupted is gone on with.
    type: list
    elements: str
    default: [.env, uploads, keys, ecosystem.config.cjs]
seealso:
  - module: mdlabs.ecommus.release
"""

EXAMPLES = r"""
- name: See whether the install would be adopted
  mdlabs.ecommus.layout:
    root: /opt/ecommus
  check_mode: true
  register: adoption

- name: Adopt an install that was set up by hand
  mdlabs.ecommus.layout:
    root: /opt/ecommus
    state: releases

- name: Make it a plain checkout again
  mdlabs.ecommus.layout:
    root: /opt/ecommus
    state: in_place
"""

RETURN = r"""
installed:
  description: What is installed and where, afterwards.
  returned: success
  type: dict
  contains:
    layout: {description: V(releases) or V(in_place)., type: str}
    directory: {description: The real directory of the live release., type: str}
    commit: {description: Its commit., type: str}
    version: {description: Its tag; V(null) between two tags., type: str}
remedy:
  description: What to do about the problem that C(msg) names.
  returned: failure
  type: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _layout
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._install_options import install_options, paths_of


def main(module: AnsibleModule) -> dict[str, t.Any]:
    paths, wanted, shared = paths_of(module.params), module.params["state"], module.params["shared_paths"]
    before = _layout.observe(paths)
    unshared = _layout.unshared(paths, shared) if wanted == "releases" else []
    if module.check_mode:
        for obstacle in _layout.obstacles(paths, unshared):
            raise obstacle
        changed = before.layout != wanted or bool(unshared)
        after = wanted
    else:
        change = _layout.adopt if wanted == "releases" else _layout.restore_in_place
        changed = change(paths, shared)
        after = _layout.observe(paths).layout
    return {
        "changed": changed,
        "installed": (before if module.check_mode else _layout.observe(paths)).as_dict(),
        "diff": {
            "before": f"layout: {before.layout}\n" + "".join(f"not shared: {name}\n" for name in unshared),
            "after": f"layout: {after}\n",
        },
    }


if __name__ == "__main__":
    run_module(
        main,
        {
            **install_options(),
            "state": {"type": "str", "choices": ["releases", "in_place"], "default": "releases"},
            "shared_paths": {"type": "list", "elements": "str", "default": [".env", "uploads", "keys", "ecosystem.config.cjs"]},
        },
    )
