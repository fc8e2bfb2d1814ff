#!/usr/bin/env python3
# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Inventory script: the shops of the running lab (see tests/lab/README.md).
#
# No docstring, and an import as first line: when this script fails, Ansible reads its text as an INI inventory,
# and must stumble at once instead of taking a sentence for a host.

import json
import os
import sys
from pathlib import Path

HOME = Path(os.environ.get("ECOMMUS_LAB_HOME") or Path(__file__).resolve().parents[2] / ".lab").expanduser()


def main() -> int:
    try:
        facts = json.loads((HOME / "run/lab.json").read_text())
    except FileNotFoundError:
        facts = {}
    if facts.get("status") != "up":
        print(f"the lab is down ({HOME}): start it with `make lab`", file=sys.stderr)
        return 1
    hosts = facts["inventory"]
    groups = {"all": {"vars": facts.get("inventory_of_all", {})}, "ecommus": {"hosts": list(hosts)}}
    print(json.dumps({**groups, "_meta": {"hostvars": hosts}}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
