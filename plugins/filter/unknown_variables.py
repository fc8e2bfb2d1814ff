# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds variables that look like ours and mean nothing to any role: a slip of the pen that Ansible passes over in silence."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import functools
import glob
import os
import re
import typing as t

import yaml
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

DOCUMENTATION = r"""
name: unknown_variables
short_description: Find variables that look like those of this collection and are none
version_added: 0.1.0
author: MD Labs (@mdlabs)
description:
  - Compares names of variables with the argument specs of the roles of this collection. Only names are looked at, never values.
  - A name is ours when it begins with C(ecommus_), C(upgrade_) or C(rollback_); others are passed over.
  - What the roles themselves keep under such a name is known only when they have run already, that is when there is an C(install_run_id).
options:
  _input:
    description: Names of variables, such as of P(ansible.builtin.varnames#lookup).
    type: list
    elements: str
    required: true
  extra:
    description:
      - Names, or patterns as of a shell, that are not looked at.
      - The role P(mdlabs.ecommus.install#role) gives its C(ecommus_extra_variables).
    type: list
    elements: str
    default: []
seealso:
  - plugin: ansible.builtin.varnames
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Refuse what nobody would read
  ansible.builtin.assert:
    that: objections | length == 0
    fail_msg: "{{ objections | join('; ') }}"
  vars:
    objections: "{{ query('ansible.builtin.varnames', '^ecommus_') | mdlabs.ecommus.unknown_variables(['ecommus_shared_*']) }}"
"""

RETURN = r"""
_value:
  description: One sentence for each unknown variable, with its remedy.
  type: list
  elements: str
  sample: ["ecommus_domian is not a variable of this collection. Remedy: did you mean ecommus_domain?"]
"""

_ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "roles")
_OURS = re.compile(r"(?:ecommus|upgrade|rollback)_")
_WORD = re.compile(r"\b(?:ecommus|upgrade|rollback)_\w+")
_BEGUN = "install_run_id"  # the first thing that a run sets
# How alike two names must be without their prefix: `domian` and `domain` are by 0.83.
_ALIKE = 0.7
# How much more so when the prefix is another.
_STRANGE = 0.2


@dataclasses.dataclass(frozen=True)
class Known:
    """``options`` may be set by a user; ``constants`` are the roles' own and always there; ``internal`` is there when a role has run."""

    options: frozenset[str]
    constants: frozenset[str]
    internal: frozenset[str]


@functools.lru_cache(maxsize=1)
def known() -> Known:
    """What the roles say themselves, so that there is no second list to keep."""
    specs = [_load(text)["argument_specs"] for text in _texts("meta/argument_specs.yml")]
    return Known(
        frozenset(name for spec in specs for entry in spec.values() for name in entry["options"]),
        frozenset(name for text in _texts("vars/*.yml") for name in _load(text)),
        frozenset(word for place in ("tasks", "handlers") for text in _texts(f"{place}/*.yml") for word in _WORD.findall(text)),
    )


def _load(text: str) -> t.Any:
    """Ansible's own loader notes where each value stands, which takes ten times as long, for each host anew."""
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (both are safe)


def _texts(pattern: str) -> t.Iterator[str]:
    for path in sorted(glob.glob(os.path.join(glob.escape(_ROLES), "*", pattern))):
        with open(path, encoding="utf-8") as file:
            yield file.read()


def unknown_variables(names: t.Iterable[str], extra: t.Iterable[str] = ()) -> list[str]:
    """One sentence per name that begins as ours do and is none."""
    given, patterns, roles = sorted(names), tuple(extra), known()
    fine = roles.options | roles.constants | (roles.internal if _BEGUN in given else frozenset())
    return [
        str(EcommusError(f"{name} is not a variable of this collection", _remedy(name, roles.options)))
        for name in given
        if _OURS.match(name) and name not in fine and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    ]


def _remedy(name: str, options: t.Iterable[str]) -> str:
    meant = _meant(name, options)
    return f"did you mean {meant}?" if meant else f"remove it; if it is yours, name it in ecommus_extra_variables: [{name}]"


def _meant(name: str, options: t.Iterable[str]) -> str:
    """The option that is most like *name*; the prefix is left out, since all share it, and may itself be the slip."""
    prefix, stem = name.split("_", 1)
    best, most = "", _ALIKE
    for option in sorted(options):
        other, its_stem = option.split("_", 1)
        matcher = difflib.SequenceMatcher(None, stem, its_stem)
        handicap = 0 if other == prefix else _STRANGE
        if matcher.real_quick_ratio() - handicap > most and matcher.ratio() - handicap > most:
            best, most = option, matcher.ratio() - handicap
    return best


class FilterModule:
    """Registers the filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unknown_variables": unknown_variables}
