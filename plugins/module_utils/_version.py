# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release tags: ``vX.Y.Z[-pre][+build]`` by Semantic Versioning 2.0.0, nothing looser."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# The regular expression that semver.org suggests (FAQ: "Is there a suggested regular expression"), with the tag's "v"
# in front and \d written out, since Python's \d also takes the digits of other scripts.
_TAG = re.compile(
    r"v(?P<major>0|[1-9][0-9]*)\.(?P<minor>0|[1-9][0-9]*)\.(?P<patch>0|[1-9][0-9]*)"
    r"(?:-(?P<pre>(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+(?P<build>[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?"
)
# node-semver's limit (internal/constants.js MAX_LENGTH); also keeps int() away from numbers that Python refuses.
_MAX_LENGTH = 256
_EXAMPLE = "give one exact release tag, for example v1.4.0"

# patch, minor, major; same; downgrade
Bump = str


@functools.total_ordering
@dataclasses.dataclass(frozen=True, eq=False)
class Version:
    """One release. Comparison is precedence (semver.org items 10 and 11), so ``v1.0.0+a == v1.0.0+b``."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()
    build: str = ""

    @property
    def core(self) -> tuple[int, int, int]:
        """The three numbers."""
        return (self.major, self.minor, self.patch)

    @property
    def _key(self) -> tuple[t.Any, ...]:
        # Numeric identifiers sort before the others, a longer list after its own beginning, and none at all last.
        identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return (*self.core, not self.pre, identifiers)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: Version) -> bool:
        return bool(self._key < other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        pre = "-" + ".".join(self.pre) if self.pre else ""
        build = "+" + self.build if self.build else ""
        return f"v{self.major}.{self.minor}.{self.patch}{pre}{build}"


def parse_tag(text: str) -> Version:
    """Read a release tag.

    :raises EcommusError: when *text* is anything but one strict tag; the remedy names the tag that was probably meant.
    """
    if not text.strip():
        raise EcommusError("no version was given", _EXAMPLE)
    match = _TAG.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        meant = _probably_meant(text)
        raise EcommusError(f"{_quoted(text)} is not a release tag (vX.Y.Z)", f"did you mean {meant}?" if meant else _EXAMPLE)
    pre = match["pre"]
    return Version(
        int(match["major"]), int(match["minor"]), int(match["patch"]), tuple(pre.split(".")) if pre else (), match["build"] or ""
    )


def from_package(text: str) -> Version:
    """Read the ``version`` of a package.json, which has no ``v``."""
    return parse_tag("v" + text)


def bump(current: Version, target: Version) -> Bump:
    """What the step from *current* to *target* is: ``patch``, ``minor``, ``major``, ``same`` or ``downgrade``.

    Leaving a pre-release counts as the release that it prepares (``v2.0.0-rc.1`` to ``v2.0.0`` is ``major``), as in
    node-semver's ``diff``; below 1.0.0 a minor step may break anything (semver.org item 4) and counts as ``major``.
    """
    if target == current:
        return "same"
    if target < current:
        return "downgrade"
    if target.core == current.core:
        kind = "patch" if target.patch else "minor" if target.minor else "major"
    else:
        kind = "major" if target.major > current.major else "minor" if target.minor > current.minor else "patch"
    return "major" if kind == "minor" and current.major == 0 else kind


def _probably_meant(text: str) -> str | None:
    """The strict tag next to *text*, if only its "v", its case or blanks around it are wrong."""
    candidate = "v" + text.strip().lstrip("vV=")
    return candidate if len(candidate) <= _MAX_LENGTH and _TAG.fullmatch(candidate) else None


def _quoted(text: str) -> str:
    """*text* fit for one line of an error: escaped and short."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
