# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module says about its manners. The module itself says how far it has each, and where not."""

from __future__ import annotations


class ModuleDocFragment:
    """Meanings of the attributes, and the action group that all modules are in."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: In check mode returns what would change, and changes nothing.
  diff_mode:
    description: With C(--diff) shows what has changed, or in check mode would change.
  idempotent:
    description: A second call with the same arguments changes nothing and says so, as long as nobody else has changed anything meanwhile.
  action_group:
    description: Options can be given for all modules of a group at once, as C(group/<name>) in C(module_defaults).
    support: full
    membership: [mdlabs.ecommus.all]
"""
