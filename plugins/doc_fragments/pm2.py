# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Documentation of the options of ``module_utils/_pm2_options.py``."""

    DOCUMENTATION = r"""
options:
  pm2_home:
    description: E(PM2_HOME) of the daemon.
    type: path
    default: ~/.pm2
  path_prefix:
    description: Directories to put in front of E(PATH), such as those of the shop's own C(pm2) and C(node).
    type: list
    elements: path
    default: []
"""
