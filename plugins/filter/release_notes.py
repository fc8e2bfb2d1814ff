# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a release's notes an operator has to act on."""

from __future__ import annotations

import typing as t

import yaml

DOCUMENTATION = r"""
name: release_notes
short_description: What of the notes of a release an operator has to act on
version_added: 0.1.0
author: [MD Labs (@mdlabs)]
description:
  - Reads the front matter of release notes, and leaves out what it does not understand. Notes are for people; no upgrade fails for them.
options:
  _input:
    description: The front matter (YAML), as M(mdlabs.ecommus.release) returned it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what is left to do after the upgrade
  ansible.builtin.debug:
    msg: "{{ (ecommus_release.notes | mdlabs.ecommus.release_notes).manual_steps }}"
"""

RETURN = r"""
_value:
  description: Lists. C(manual_steps) and C(deprecations), a text each, and C(required_env), the names of C(new_env) that are C(required).
  type: dict
"""

_TEXTS = ("manual_steps", "deprecations")


def release_notes(text: str) -> dict[str, list[str]]:
    """``manual_steps`` and ``deprecations`` of the front matter *text*, a line each, and the environment keys that it requires.

    All are empty where it has none or is no YAML.
    """
    try:
        found = yaml.safe_load(str(text))
    except (yaml.YAMLError, ValueError):  # the latter for what looks like a date and is none
        found = None
    notes = found if isinstance(found, dict) else {}
    new = [item for item in _list(notes, "new_env") if isinstance(item, dict)]
    return {
        **{key: [_line(item) for item in _list(notes, key)] for key in _TEXTS},
        "required_env": [str(item["name"]) for item in new if item.get("required") is True and item.get("name")],
    }


def _list(notes: dict[str, t.Any], key: str) -> list[t.Any]:
    found = notes.get(key)
    return found if isinstance(found, list) else []


def _line(item: t.Any) -> str:
    """An entry as a sentence: deprecations have ``what``, ``use`` and ``removed_in``."""
    if not isinstance(item, dict):
        return str(item)
    text = str(item.get("what") or ", ".join(f"{key}: {value}" for key, value in item.items()))
    text += f", use {item['use']}" if item.get("use") else ""
    return text + (f" (removed in {item['removed_in']})" if item.get("removed_in") else "")


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"release_notes": release_notes}
