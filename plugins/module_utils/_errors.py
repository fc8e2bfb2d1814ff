# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception that the library raises on purpose: what is wrong, and what to do about it."""

from __future__ import annotations

import typing as t


class EcommusError(Exception):
    """Something that an operator can act on.

    :param message: what is wrong, in one line, without a secret.
    :param remedy: what to do about it, in one line.
    :param details: facts for programs and reports (JSON types only); returned by the module as they are.
    """

    def __init__(self, message: str, remedy: str = "", **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details

    def __str__(self) -> str:
        return f"{self.message}. Remedy: {self.remedy}" if self.remedy else self.message


def told_apart(failure: str) -> tuple[str, str]:
    """What is wrong, and what is to be done, of an error: ``what. Remedy: how``, or several such joined by ``|``."""
    first, *rest = failure.split(" Remedy: ")
    problems, remedies = [first.rstrip(".")], []
    for number, part in enumerate(rest, start=1):
        # The last remedy ends the text, so a bar in it is its own.
        remedy, _bar, problem = part.partition(" | ") if number < len(rest) else (part, "", "")
        remedies.append(remedy)
        problems += [problem.rstrip(".")] if problem else []
    return " | ".join(problems), " | ".join(remedies)
