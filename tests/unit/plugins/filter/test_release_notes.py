"""What is taken from release notes, whatever they look like."""

from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.filter.release_notes import release_notes


def test_lists_are_told_a_line_each() -> None:
    text = "manual_steps:\n  - Rotate JWT_KEY_ID.\ndeprecations:\n  - {what: JWT_SECRET, use: JWT_KEY_ID, removed_in: 2.0.0}\n  - on()\n"
    assert release_notes(text) == {
        "manual_steps": ["Rotate JWT_KEY_ID."],
        "deprecations": ["JWT_SECRET, use JWT_KEY_ID (removed in 2.0.0)", "on()"],
        "required_env": [],
    }


def test_only_keys_that_the_release_cannot_do_without_are_required() -> None:
    keys = ["{name: SECRET, required: true}", "{name: COLOUR, required: false}", "{name: SIZE}", "{required: true}", "WORD"]
    assert release_notes("new_env:\n" + "".join(f"  - {key}\n" for key in keys))["required_env"] == ["SECRET"]


@pytest.mark.parametrize(
    "text",
    ["", "summary: none", "manual_steps: null", "manual_steps: text", "- a list", "a: [b", "new_env: {name: X}", "on: 2026-13-40"],
)
def test_notes_that_say_nothing_of_that_or_cannot_be_read(text: str) -> None:
    assert release_notes(text) == {"manual_steps": [], "deprecations": [], "required_env": []}
