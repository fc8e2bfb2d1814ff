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
extends_documentation_fragment: [mdlabs.ecommus.install]
attributes:
  check_mode: {support: full, description: Says whether the layout would change.}
  diff_mode: {support: full, description: Shows the layout before and after.}
options:
  state:
    description: The layout.
    type: str
    choices: [releases, in_place]
    default: releases
  shared_paths:
    description: What belongs to the shop and not to a release, relative to the root.
    type: list
    elements: str
    default: [.env, uploads, keys, ecosystem.config.cjs]
"""

EXAMPLES = r"""
- name: Adopt an install that was set up by hand
  mdlabs.ecommus.layout:
    root: /opt/ecommus
    state: releases
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
    version: {description: Its tag., type: str}
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _layout
from ansible_collections.mdlabs.ecommus.plugins.module_utils._argspec import run_module
from ansible_collections.mdlabs.ecommus.plugins.module_utils._install_options import install_options, paths_of


def main(module: AnsibleModule) -> dict[str, t.Any]:
    paths, wanted = paths_of(module.params), module.params["state"]
    before = _layout.observe(paths)
    if module.check_mode:
        changed = before.layout != wanted
        after = wanted
    else:
        change = _layout.adopt if wanted == "releases" else _layout.restore_in_place
        changed = change(paths, module.params["shared_paths"])
        after = _layout.observe(paths).layout
    return {
        "changed": changed,
        "installed": (before if module.check_mode else _layout.observe(paths)).as_dict(),
        "diff": {"before": f"layout: {before.layout}\n", "after": f"layout: {after}\n"},
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
