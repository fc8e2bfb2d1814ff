# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``list-plugins.ts`` prints, and whether two such lists differ in more than version bumps.

The product documents the command and that its output is diffed, but not the format of a line. So several plausible
forms are understood (``name@version ...`` lines, JSON, tables), and a line that is not is kept and compared as it is.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._version import bump, from_package

_ON = {"enabled", "active", "on", "true", "yes", "✓", "✔"}
_OFF = {"disabled", "inactive", "off", "false", "no", "✗", "✘"}
_ORIGINS = {"built-in": "built-in", "builtin": "built-in", "core": "built-in", "premium": "premium", "private": "private"}
_COLUMNS = {
    "name": ("name", "plugin", "package", "id"),
    "version": ("version", "installed"),
    "origin": ("origin", "source", "type"),
    "enabled": ("enabled", "status", "state", "active"),
}
_LINE = re.compile(
    r"^[\s*•+├└│─-]*(?P<name>(?:@[\w.-]+/)?[A-Za-z0-9][\w.-]*)(?:\s*[@:,|]\s*|\s+)v?(?P<version>[0-9]+\.[0-9]+[0-9A-Za-z.+-]*)(?P<rest>(?:[\s,;|(\[].*)?)$"
)
_FRAME = re.compile(r"^[\s|+=\-─━│┌┬┐├┼┤└┴┘]*$")
_CELLS = re.compile(r"\s*[|│]\s*|\t+|\s{2,}")


@dataclasses.dataclass(frozen=True)
class Plugin:
    """One plugin. ``origin`` is empty and ``enabled`` is None where the list does not say; ``notes`` is what else it says."""

    name: str
    version: str
    origin: str = ""
    enabled: bool | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a list says: its plugins by name, and the lines that were not understood."""

    plugins: tuple[Plugin, ...]
    unknown: tuple[str, ...] = ()

    def by_name(self) -> dict[str, Plugin]:
        """The plugins; one that is listed more than once (by tenant, say) is numbered."""
        found: dict[str, Plugin] = {}
        for plugin in self.plugins:
            name, number = plugin.name, 2
            while name in found:
                name, number = f"{plugin.name} #{number}", number + 1
            found[name] = plugin
        return found


def parse(raw: str) -> Listing:
    """Read a list in any of the forms."""
    records = _json_records(raw)
    if records is not None:
        return Listing(tuple(sorted((_from_record(record) for record in records), key=lambda plugin: plugin.name)))
    plugins: list[Plugin] = []
    unknown: list[str] = []
    header: list[str] | None = None
    for line in raw.splitlines():
        if _FRAME.match(line) or _is_log_record(line):
            continue
        found_header = _header(line)
        if found_header:
            header = found_header
            continue
        plugin = (_from_row(line, header) if header else None) or _from_line(line)
        if plugin:
            plugins.append(plugin)
        else:
            unknown.append(line.strip())
    return Listing(tuple(sorted(plugins, key=lambda plugin: plugin.name)), tuple(unknown))


def _json_records(raw: str) -> list[dict[str, t.Any]] | None:
    """The plugins of a JSON document or of JSON lines; None when *raw* is neither."""
    try:
        document = json.loads(raw)
    except ValueError:
        try:
            document = [json.loads(line) for line in raw.splitlines() if line.strip()]
        except ValueError:
            return None
    for listed in _lists(document):
        records = [item for item in listed if isinstance(item, dict) and not ("level" in item and "msg" in item)]
        if records and all(_field(item, "name") and _field(item, "version") for item in records):
            return records
    return None


def _lists(document: t.Any) -> t.Iterator[list[t.Any]]:
    """What in a JSON document may be the list of plugins: itself, one of its values, a single plugin, or records by name."""
    if isinstance(document, list):
        yield document
    elif isinstance(document, dict):
        yield from (value for value in document.values() if isinstance(value, list))
        yield [document]
        if all(isinstance(value, dict) for value in document.values()):
            yield [{"name": name, **value} for name, value in document.items()]


def _is_log_record(line: str) -> bool:
    """Whether *line* is a record of the product's logger (pino: level, time, msg), which a program may mix in."""
    if not line.lstrip().startswith("{"):
        return False
    try:
        record = json.loads(line)
    except ValueError:
        return False
    return isinstance(record, dict) and "level" in record and "msg" in record


def _field(record: t.Mapping[str, t.Any], field: str) -> t.Any:
    return next((record[key] for key in _COLUMNS[field] if record.get(key) is not None), None)


def _from_record(record: t.Mapping[str, t.Any]) -> Plugin:
    used = {key for keys in _COLUMNS.values() for key in keys}
    scope = record.get("scope")
    name = str(_field(record, "name"))
    return Plugin(
        name=f"{scope}/{name}" if isinstance(scope, str) and scope.startswith("@") and not name.startswith("@") else name,
        version=str(_field(record, "version")),
        origin=_origin(str(_field(record, "origin") or "")),
        enabled=_enabled(str(_field(record, "enabled"))),
        notes=tuple(f"{key}={value}" for key, value in sorted(record.items()) if key not in used and isinstance(value, (str, int, float))),
    )


def _header(line: str) -> list[str] | None:
    """The columns of a table, when *line* heads one."""
    cells = [cell.lower() for cell in _cells(line)]
    has = {field for field, names in _COLUMNS.items() for cell in cells if cell in names}
    return cells if {"name", "version"} <= has else None


def _cells(line: str) -> list[str]:
    return [cell.strip("'\"") for cell in _CELLS.split(line.strip().strip("|│").strip())]


def _from_row(line: str, header: t.Sequence[str]) -> Plugin | None:
    cells = _cells(line)
    if len(cells) != len(header):
        return None
    record = {key: value for key, value in zip(header, cells) if value and key != "(index)"}
    return _from_record(record) if _field(record, "name") and _field(record, "version") else None


def _from_line(line: str) -> Plugin | None:
    match = _LINE.match(line)
    if not match:
        return None
    words = [word for word in re.split(r"[\s,;|()\[\]]+", match["rest"]) if word]
    enabled = next((word for word in words if _enabled(word) is not None), "")
    origin = next((word for word in words if word.lower() in _ORIGINS), "")
    return Plugin(
        match["name"], match["version"], _origin(origin), _enabled(enabled), tuple(word for word in words if word not in (enabled, origin))
    )


def _enabled(word: str) -> bool | None:
    return True if word.lower() in _ON else False if word.lower() in _OFF else None


def _origin(word: str) -> str:
    return _ORIGINS.get(word.lower(), word)


@dataclasses.dataclass
class Comparison:
    """How a list differs from an earlier one. ``problems`` says in words what is more than a version bump."""

    bumps: list[dict[str, str]] = dataclasses.field(default_factory=list)
    downgraded: list[dict[str, str]] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)
    added: list[str] = dataclasses.field(default_factory=list)
    disabled: list[str] = dataclasses.field(default_factory=list)
    altered: list[dict[str, str]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "changed" if self.problems else "ok"


def compare(
    before: Listing, after: Listing, *, allow: t.Collection[str] = (), allow_added: bool = False, allow_bumps: bool = True
) -> Comparison:
    """Judge the step from *before* to *after*: only version bumps pass.

    :param allow: names whose differences are reported and pass.
    :param allow_added: whether plugins that are new pass.
    :param allow_bumps: whether those of which the version went up pass; after a rollback they should not have.
    """
    found = Comparison()
    old, new = before.by_name(), after.by_name()

    def note(name: str, problem: str) -> None:
        if not {name, name.partition(" #")[0]} & set(allow):
            found.problems.append(f"{name} {problem}")

    for name, plugin in old.items():
        if name not in new:
            found.missing.append(name)
            note(name, f"{plugin.version} is missing")
        else:
            _compare_one(name, plugin, new[name], found, note)
    for name in new:
        if name not in old:
            found.added.append(name)
            if not allow_added:
                note(name, f"{new[name].version} is new")
    if not allow_bumps:
        for step in found.bumps:
            note(step["name"], f"went up from {step['from']} to {step['to']}")
    for mark, lines, others in (("-", before.unknown, after.unknown), ("+", after.unknown, before.unknown)):
        found.problems.extend(f"line not understood: {mark} {line}" for line in lines if line not in others)
    return found


def _compare_one(name: str, old: Plugin, new: Plugin, found: Comparison, note: t.Callable[[str, str], None]) -> None:
    if old.version != new.version:
        step = {"name": name, "from": old.version, "to": new.version}
        kind = _step(old.version, new.version)
        if kind == "downgrade":
            found.downgraded.append(step)
            note(name, f"went down from {old.version} to {new.version}")
        elif kind == "unknown":
            found.altered.append({"field": "version", **step})
            note(name, f"changed from {old.version} to {new.version}, which cannot be ordered")
        else:
            found.bumps.append({**step, "kind": kind})
    if old.enabled is not False and new.enabled is False:
        found.disabled.append(name)
        note(name, "is disabled")
    elif old.enabled != new.enabled:
        found.altered.append({"field": "enabled", "name": name, "from": str(old.enabled), "to": str(new.enabled)})
        note(name, f"was {_state(old)} and is {_state(new)}")
    for field, was, now in (("origin", old.origin, new.origin), ("notes", " ".join(old.notes), " ".join(new.notes))):
        if was != now:
            found.altered.append({"field": field, "name": name, "from": was, "to": now})
            note(name, f"has another {field}: {was or '-'}, now {now or '-'}")


def _state(plugin: Plugin) -> str:
    return {True: "enabled", False: "disabled", None: "not said to be enabled"}[plugin.enabled]


def _step(old: str, new: str) -> str:
    try:
        kind = bump(from_package(old.lstrip("v")), from_package(new.lstrip("v")))
    except EcommusError:
        return "unknown"
    # Equal precedence and different text: another build of the same version.
    return "patch" if kind == "same" else kind
