# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a shop is like before a run: what has to be brought back, or is compared with what there is afterwards."""

from __future__ import annotations

import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _plugins, _pm2_states, _shop_cli, _workers

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Subject


def observe(subject: Subject) -> dict[str, t.Any]:
    """``processes``, ``pm2_version``, ``workers``, ``plugin_count`` and the list of ``plugins`` as the shop's own program prints it.

    :raises EcommusError: when one of them cannot be read.
    """
    table = _pm2_states.described(subject.pm2, None)
    plugins = _shop_cli.list_plugins(
        subject.paths.root, variables=subject.environment, database_url_key=subject.database_url_key, path_prefix=subject.path_prefix
    )
    return {
        "processes": table["processes"],
        "pm2_version": table["daemon"]["version"],
        "workers": _workers.observe(subject.pm2, subject.workers_mode, subject.workers_process, subject.env_file),
        "plugins": plugins,
        "plugin_count": len(_plugins.parse(plugins).plugins),
    }
