# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A journey that does not come to its end stops the rest, and says what a customer would have seen."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._journeys import Journey, walk


def python(code: str, **given: Any) -> Journey:
    return Journey("checkout", [sys.executable, "-c", code], **given)


def test_they_are_walked_in_order_and_timed() -> None:
    walked = walk([Journey("home", [sys.executable, "-c", ""]), python("import time; time.sleep(0.3)")])
    assert [journey["name"] for journey in walked] == ["home", "checkout"]
    assert 0.3 <= walked[1]["seconds"] < 10


def test_it_sees_what_it_was_given_and_not_the_secrets_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", "of the operator")
    walk([python("import os; assert os.environ['SHOP'] == 'a' and 'VAULT_PASSWORD' not in os.environ", environment={"SHOP": "a"})])


def test_the_first_that_fails_is_told_with_what_it_said(tmp_path: Any) -> None:
    code = "import os, sys; print('login as', os.environ['WORD']); sys.exit('no button \\n Pay')"
    never = python(f"open({str(tmp_path / 'walked')!r}, 'w')")
    with pytest.raises(EcommusError) as caught:
        walk([python(code, environment={"WORD": "pass-word-1"}), never])
    assert caught.value.message == f"the journey checkout failed, {sys.executable} ended with 1: login as *** no button Pay"
    assert "ecommus_journeys" in caught.value.remedy
    assert not (tmp_path / "walked").exists()


@pytest.mark.parametrize(
    ("journey", "says"),
    [
        (python("import time; time.sleep(20)", timeout=0.5), r"^the journey checkout: .* did not end within"),
        (Journey("home", ["/no/such/program"]), "^the journey home: /no/such/program does not exist"),
    ],
)
def test_one_that_hangs_or_cannot_be_started(journey: Journey, says: str) -> None:
    with pytest.raises(EcommusError, match=says):
        walk([journey])
