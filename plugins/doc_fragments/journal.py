# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option that says which phase of a run a module works for."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation of the option of ``module_utils/_journal_options.py``."""

    DOCUMENTATION = r"""
options:
  journal:
    description:
      - The phase of a run that this call works for. It is noted in the journal of the host before anything is done, unless the run is in
        that phase already. When it cannot be noted, nothing is done.
      - The result then has C(run), the run as it was written. In check mode nothing is noted.
    type: dict
    suboptions:
      directory:
        description: The state directory of the install.
        type: path
        required: true
      run_id:
        description: The run, begun by M(mdlabs.ecommus.journal).
        type: str
        required: true
      phase:
        description: Name of the phase.
        type: str
        required: true
      facts:
        description: Facts to keep with the run. Never put a secret here.
        type: dict
        default: {}
      controller:
        description: Whose the run is, as M(mdlabs.ecommus.journal) returned it.
        type: dict
        required: true
        suboptions:
          owner: {description: User on the controller., type: str, default: ""}
          host: {description: Name of the controller., type: str, default: ""}
          machine: {description: What tells it from another machine or container of that name., type: str, default: ""}
          pid: {description: Process id of ansible-playbook., type: int, default: 0}
          gone: {description: The run whose process is known to have ended., type: str, default: ""}
"""
