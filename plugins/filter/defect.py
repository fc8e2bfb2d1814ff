# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed task says about the release, for the journal and the bug report."""

from __future__ import annotations

import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _defect

DOCUMENTATION = r"""
name: defect
short_description: Make facts for a bug report from a task that failed
version_added: 0.1.0
author: MD Labs (@mdlabs)
description:
  - Takes out of the result of a module what M(mdlabs.ecommus.report) puts into a bug report, when the release is to blame.
options:
  _input:
    description: The result of the task, as C(ansible_failed_result) has it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep what the vendor should know
  ansible.builtin.set_fact:
    shop_defect: "{{ ansible_failed_result | mdlabs.ecommus.defect }}"
"""

RETURN = r"""
_value:
  description: C(kind), C(msg), C(log) and what else the kind has; empty when the release is not to blame.
  type: dict
"""


def defect(result: t.Any) -> dict[str, t.Any]:
    """The facts; a task that did not return a dictionary says nothing."""
    return _defect.defect(result) if isinstance(result, t.Mapping) else {}


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"defect": defect}
