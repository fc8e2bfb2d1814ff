# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that say where an install lies."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of the options of ``module_utils/_install_options.py``."""

    DOCUMENTATION = r"""
options:
  root:
    description: The directory of the shop as the rest of the host knows it.
    type: path
    required: true
  base:
    description: Where releases, shared files and the git mirror lie. Defaults to O(root) with C(.d) appended.
    type: path
  path_prefix:
    description: Directories put in front of PATH for the programs that the module starts.
    type: list
    elements: path
    default: []
"""
