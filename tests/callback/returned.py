# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes down what each module of the collection returned, one JSON object per line, for the comparison with its documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: returned
type: aggregate
short_description: Write results into the file that ECOMMUS_TEST_RETURNED names
description: For tests only.
"""
COLLECTION = "mdlabs.ecommus."


class CallbackModule(CallbackBase):
    """Hears every result, those of loops one by one."""

    CALLBACK_NAME = "returned"
    CALLBACK_TYPE = "aggregate"

    def v2_runner_on_ok(self, result: Any) -> None:
        if not result.task.loop:
            self._keep(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not result.task.loop:
            self._keep(result, failed=True)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._keep(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._keep(result, failed=True)

    def _keep(self, result: Any, **how: bool) -> None:
        action = str(result.task.resolved_action)
        if action.startswith(COLLECTION):
            line = {"module": action.removeprefix(COLLECTION), "task": result.task.name, "result": {**result.result, **how}}
            with Path(os.environ["ECOMMUS_TEST_RETURNED"]).open("a") as file:
                file.write(json.dumps(line, default=str) + "\n")
