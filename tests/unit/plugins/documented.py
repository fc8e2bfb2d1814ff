# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares what a module returned with what its RETURN promises, so that the documentation stays true by itself.

Two conventions of ours go beyond Ansible's: a value may be null only if its description says ``V(null)``, and a single
key ``each_...`` below ``contains`` describes every value of a dictionary whose keys are names (``each_table``).
"""

from __future__ import annotations

import functools
import importlib
import typing as t

import yaml

PACKAGE = "ansible_collections.mdlabs.ecommus.plugins.modules"
# What Ansible itself returns or adds.
COMMON = {
    "ansible_facts", "ansible_loop_var", "attempts", "changed", "changed_when_result", "censored", "deprecations", "diff", "exception",
    "failed", "failed_when_result", "invocation", "msg", "retries", "skip_reason", "skipped", "warnings",
}  # fmt: skip
# What AnsibleModule adds to a result that has a path or a dest (ansible.module_utils.basic, add_path_info).
OF_A_PATH = {"gid", "group", "mode", "owner", "secontext", "size", "state", "uid"}
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "path": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "list": (list,), "dict": (dict,),
    "raw": (object,),
}  # fmt: skip
Field = t.Dict[str, t.Any]  # noqa: UP006  (evaluated at run time, on Python 3.9 too)


@functools.cache
def returned(module: str) -> dict[str, Field]:
    """RETURN of the module called *module* (without the collection's name)."""
    return t.cast("dict[str, Field]", yaml.safe_load(importlib.import_module(f"{PACKAGE}.{module}").RETURN))


def problems(module: str, result: t.Mapping[str, t.Any]) -> list[str]:
    """What *result* has that is not documented, lacks that is promised, or has of another kind."""
    if result.get("skipped") or "censored" in result:
        return []
    fields = returned(module)
    known = COMMON | {result.get("ansible_loop_var")} | (OF_A_PATH if {"path", "dest"} & set(result) else set())
    found = []
    for key, value in result.items():
        if key == "attempts" and isinstance(value, int):
            continue  # Ansible's own, of `until`; it takes the place of what a module returns under that name
        if key in fields:
            found += _value(value, fields[key], key)
        elif key not in known and not key.startswith("_ansible_"):
            found.append(f"{key} is not documented")
    if not result.get("failed"):
        promised = [key for key, field in fields.items() if field["returned"] in ("always", "success")]
        found += [f"{key} is promised and missing" for key in promised if key not in result]
    return [f"{module}: {problem}" for problem in found]


def check(module: str, result: t.Mapping[str, t.Any]) -> None:
    """Fail the test when *result* is not what the documentation of *module* says."""
    found = problems(module, result)
    assert not found, "\n".join(found)


def _value(value: t.Any, field: Field, where: str) -> list[str]:
    kind = field["type"]
    if value is None:
        return [] if "V(null)" in str(field["description"]) else [f"{where} is null, which its description does not say"]
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind in ("int", "float")):
        return [f"{where} is a {type(value).__name__} and not a {kind}"]
    contains: dict[str, Field] = field.get("contains", {})
    if kind == "list":
        element = {"type": field.get("elements", "raw"), "description": field["description"], "contains": contains}
        return [problem for item in value for problem in _value(item, element, f"{where}[]")]
    if kind == "dict" and contains:
        return [problem for key, item in value.items() for problem in _item(key, item, contains, where)]
    return []


def _item(key: str, item: t.Any, contains: dict[str, Field], where: str) -> list[str]:
    (first, *others) = contains
    if not others and first.startswith("each_"):
        return _value(item, contains[first], f"{where}.{first}")
    return _value(item, contains[key], f"{where}.{key}") if key in contains else [f"{where}.{key} is not documented"]
