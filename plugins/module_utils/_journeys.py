# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Walks through a shop as its customers do: by programs of the operator's own, such as a browser test, judged by their exit code."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _command
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


@dataclasses.dataclass(frozen=True)
class Journey:
    """A program that ends with 0 when the shop served it well.

    :param timeout: seconds.
    :param environment: variables beside PATH and the few others that every program needs. Their values are secrets.
    """

    name: str
    command: t.Sequence[str]
    timeout: float = 120.0
    environment: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)


def walk(journeys: t.Iterable[Journey]) -> list[dict[str, t.Any]]:
    """Run them one after the other; ``name`` and ``seconds`` of each.

    :raises EcommusError: at the first that ends with another code than 0, or not in time.
    """
    return [{"name": journey.name, "seconds": _walk(journey)} for journey in journeys]


def _walk(journey: Journey) -> float:
    began = time.monotonic()
    secrets = list(journey.environment.values())
    try:
        result = _command.run(
            journey.command,
            env=_command.clean_environment(journey.environment, network=True),
            timeout=journey.timeout,
            secrets=secrets,
        )
    except EcommusError as error:
        raise EcommusError(f"the journey {journey.name}: {error.message}", error.remedy, **error.details) from None
    if result.code != 0:
        said = " ".join(result.tail(5).split())
        raise EcommusError(
            f"the journey {journey.name} failed, {journey.command[0]} ended with {result.code}: {said}",
            "walk it by hand to see what a customer sees; correct ecommus_journeys if the journey itself is wrong",
        )
    return round(time.monotonic() - began, 1)
