# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option by which a module notes in the journal which phase it works for; documented in the fragment ``journal``.

To note and then to act in one call leaves no moment between the two, and spares each phase a round trip to the host.
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _keeper

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    Main = t.Callable[[AnsibleModule], t.Dict[str, t.Any]]  # noqa: UP006

CONTROLLER: dict[str, t.Any] = {
    "owner": {"type": "str", "default": ""},
    "host": {"type": "str", "default": ""},
    "machine": {"type": "str", "default": ""},
    "pid": {"type": "int", "default": 0},
    "gone": {"type": "str", "default": ""},
}


def journal_options() -> dict[str, t.Any]:
    """The argument spec."""
    options = {
        "directory": {"type": "path", "required": True},
        "run_id": {"type": "str", "required": True},
        "phase": {"type": "str", "required": True},
        "facts": {"type": "dict", "default": {}},
        "controller": {"type": "dict", "required": True, "options": CONTROLLER},
    }
    return {"journal": {"type": "dict", "options": options}}


def noted(main: Main) -> Main:
    """Have a module's *main* note the phase of its option ``journal`` before it does anything; its result then holds the ``run``.

    :raises EcommusError: when the journal cannot be written, or the run has lost its lock. Then *main* does nothing.
    """

    @functools.wraps(main)
    def note_and_act(module: AnsibleModule) -> dict[str, t.Any]:
        step = module.params["journal"]
        if not step or module.check_mode:
            return main(module)
        run = _keeper.Keeper.of({**step, "take_lock": ""}).act("entered")["run"]
        return {**main(module), "run": run}

    return note_and_act
