# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that run a program of the shop itself."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of the options of ``module_utils/_program_options.py``."""

    DOCUMENTATION = r"""
options:
  env_file:
    description: The shop's environment file. Defaults to C(.env) in O(root).
    type: path
  database_url:
    description: Goes before the one in O(env_file), and is given to the programs in their environment.
    type: str
  database_url_key:
    description: Name of the variable in O(env_file) that holds the database URL.
    type: str
    default: DATABASE_URL
  path_prefix:
    description: Directories put in front of PATH, such as the one of the shop's own node.
    type: list
    elements: path
    default: []
requirements:
  - Node.js 22.6 or newer
"""
