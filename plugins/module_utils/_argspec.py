# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How every module of the collection starts and ends, so that errors look the same everywhere."""

from __future__ import annotations

import errno
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# What may go wrong with a disk wherever something is written.
_DISK = {
    errno.ENOSPC: "free space on that file system (playbooks/prune.yml removes what nobody goes back to), then run again",
    errno.EDQUOT: "raise the quota of the user that owns the shop, or free space, then run again",
    errno.EROFS: "look in the kernel's log why that file system is read-only, then run again",
}


def run_module(main: t.Callable[[AnsibleModule], dict[str, t.Any]], argument_spec: dict[str, t.Any], **options: t.Any) -> None:
    """Build the module, call *main* with it and exit with what it returns.

    An :class:`EcommusError` becomes ``failed`` with ``msg`` (problem and remedy in one line), ``remedy`` and the error's details.

    :param options: passed to AnsibleModule (``required_if`` and the like); check mode is supported unless said otherwise.
    """
    options.setdefault("supports_check_mode", True)
    module = AnsibleModule(argument_spec=argument_spec, **options)
    try:
        result = main(module)
    except EcommusError as error:
        module.fail_json(**{**error.details, "msg": str(error), "remedy": error.remedy})
    except OSError as error:
        if error.errno not in _DISK:
            raise
        told = EcommusError(f"{error.strerror}: {error.filename or 'a file could not be written'}", _DISK[error.errno])
        module.fail_json(msg=str(told), remedy=told.remedy)
    else:
        result.setdefault("changed", False)
        module.exit_json(**result)
