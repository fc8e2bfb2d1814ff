# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError, told_apart


def test_an_error_says_problem_and_remedy_in_one_line() -> None:
    error = EcommusError("it broke", "mend it", log="x")
    assert (str(error), error.args, error.message, error.remedy) == ("it broke. Remedy: mend it", ("it broke",), "it broke", "mend it")
    assert error.details == {"log": "x"}
    bare = EcommusError("it broke")
    assert (str(bare), bare.remedy, bare.details) == ("it broke", "", {})


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("it broke", ("it broke", "")),
        ("it broke.", ("it broke", "")),
        ("it broke. Remedy: mend it.", ("it broke", "mend it.")),
        ("it | broke. Remedy: mend it | or not", ("it | broke", "mend it | or not")),
        ("a. Remedy: mend a | b. Remedy: mend b | or not", ("a | b", "mend a | mend b | or not")),
        ("a. Remedy: mend a Remedy: twice", ("a", "mend a | twice")),
        ("", ("", "")),
    ],
)
def test_problem_and_remedy_can_be_told_apart_again(failure: str, told: tuple[str, str]) -> None:
    assert told_apart(failure) == told
