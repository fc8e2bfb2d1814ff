# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which step is asked for, and whether the vendor's policy allows it.

The policy is the vendor's: a patch at any time, a minor after a look at its notes, a major only after its migration
guide was read and it was rehearsed in staging. A downgrade is a rollback, which is another procedure.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _version
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


@dataclasses.dataclass(frozen=True)
class Step:
    """A step from the installed release to another one."""

    source: str
    target: str
    commit: str
    bump: str

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


def newest(tags: t.Iterable[str], count: int = 5) -> list[str]:
    """The newest release tags, newest first; tags that are no releases are left out."""
    versions = []
    for tag in tags:
        try:
            versions.append(_version.parse_tag(tag))
        except EcommusError:
            continue
    return [str(version) for version in sorted(versions, reverse=True)[:count]]


def decide(source: str | None, target: str, tags: t.Mapping[str, str]) -> Step:
    """Judge the step from *source* (None: a commit without a release tag) to *target*.

    :param tags: tag to commit, as the remote has them.
    :raises EcommusError: when the step may not be made; the remedy says what may.
    """
    wanted = _version.parse_tag(target)
    if target not in tags:
        raise EcommusError(f"the remote has no release {target}", f"its newest are: {', '.join(newest(tags)) or 'none'}")
    if source is None:
        raise EcommusError(
            "the install is at a commit that carries no release tag, so the step cannot be judged",
            "check out the release that it is meant to be (git checkout v<x.y.z>), then run again",
        )
    bump = _version.bump(_version.parse_tag(source), wanted)
    if bump == "downgrade":
        raise EcommusError(
            f"{target} is older than {source}, which is installed",
            "an upgrade never goes back; playbooks/rollback.yml returns to the release before, with its data",
        )
    if bump == "major":
        raise EcommusError(
            f"{source} to {target} is a major step, which needs its migration guide read and a rehearsal in staging",
            "take the newest release of the same major, or upgrade a staging install by hand; this collection does not do majors yet",
        )
    return Step(source, target, tags[target], bump)
