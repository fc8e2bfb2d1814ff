# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is told its phase notes it before it acts, and does not act when it cannot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal import Journal
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journal_options import journal_options, noted
from ansible_collections.mdlabs.ecommus.plugins.module_utils._keeper import Keeper

CONTROLLER = {"owner": "ann", "host": "ctl", "machine": "m", "pid": 100, "gone": ""}


@pytest.fixture
def step(tmp_path: Path) -> dict[str, Any]:
    """What a phase of a run that is open passes on."""
    given = {"directory": str(tmp_path), "run_id": "r", "controller": CONTROLLER, "facts": {}, "take_lock": "", "acknowledged": ""}
    begin = {"state": "begun", "operation": "upgrade", "source": {}, "target": {}, "lock_stale_seconds": 3600}
    Keeper.of({**given, **begin}).act("begun")
    return {"directory": str(tmp_path), "run_id": "r", "phase": "migrate", "facts": {"schema_touched": True}, "controller": CONTROLLER}


def call(step: dict[str, Any] | None, check: bool = False) -> tuple[list[str], dict[str, Any]]:
    """The phases that the journal had when the module acted, and its result."""
    seen: list[str] = []

    @noted
    def main(module: Any) -> dict[str, Any]:
        directory = (module.params["journal"] or {}).get("directory", "/nowhere")
        seen.extend(phase["name"] for run in Journal.load(directory).runs for phase in run["phases"])
        return {"changed": True}

    result = main(SimpleNamespace(params={"journal": step}, check_mode=check))  # type: ignore[arg-type]
    return seen, result


def test_the_phase_is_in_the_journal_before_the_module_acts(step: dict[str, Any]) -> None:
    seen, result = call(step)
    assert seen == ["migrate"]
    assert result["changed"]
    assert result["run"]["facts"] == {"schema_touched": True}


def test_the_second_module_of_a_phase_does_not_enter_it_again(step: dict[str, Any]) -> None:
    call(step)
    assert call(step)[0] == ["migrate"]
    assert call({**step, "phase": "activate"})[0] == ["migrate", "activate"]


def test_nothing_is_done_for_a_run_that_lost_its_lock(step: dict[str, Any]) -> None:
    with pytest.raises(EcommusError, match="has lost the lock") as caught:
        call({**step, "controller": {**CONTROLLER, "pid": 101}})
    assert caught.value.details["lock_lost"]
    assert Journal.load(step["directory"]).run("r")["phases"] == []


def test_nothing_is_noted_in_check_mode_or_without_a_run(step: dict[str, Any]) -> None:
    assert call(step, check=True) == ([], {"changed": True})
    assert call(None) == ([], {"changed": True})


def test_a_step_is_whole_or_refused(step: dict[str, Any]) -> None:
    validator = ArgumentSpecValidator(journal_options())
    required = ("directory", "run_id", "phase", "controller")
    for name in required:
        found = validator.validate({"journal": {key: value for key, value in step.items() if key != name}})
        assert found.error_messages == [f"missing required arguments: {name} found in journal"]
    assert validator.validate({}).error_messages == []
    found = validator.validate({"journal": {**{name: step[name] for name in required}, "controller": {"owner": "ann", "pid": "7"}}})
    nobody = {"owner": "ann", "host": "", "machine": "", "pid": 7, "gone": ""}
    assert found.validated_parameters == {"journal": {**step, "facts": {}, "controller": nobody}}
