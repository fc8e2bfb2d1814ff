# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shop's maintenance window. How it is opened and closed only the operator knows: a program, or requests to the shop's own API."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _command, _expect, _http
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._http_error import HttpError

OPEN, CLOSED, READ, UNKNOWN = "open", "closed", "read", "unknown"
_REMEDY = "correct ecommus_maintenance, or take it out and do it by hand in the super-admin (settings, maintenance window)"


@dataclasses.dataclass(frozen=True)
class Request:
    """An HTTP request of the hook. ``open_when`` is what the JSON answer holds while the window is open, for the one that reads."""

    url: str
    method: str = "POST"
    headers: t.Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: t.Any = dataclasses.field(default=None, repr=False)
    open_when: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Window:
    """The hook as the inventory has it.

    :param command: a program and its arguments, in which ``{state}`` becomes ``open``, ``closed`` or ``read``.
    :param requests: by ``open``, ``closed`` and ``read``, used where there is no command.
    :param timeout: seconds for one call.
    """

    command: tuple[str, ...] = ()
    requests: t.Mapping[str, Request] = dataclasses.field(default_factory=dict)
    ca_path: str = ""
    resolve: str = ""
    timeout: float = 30.0

    def read(self) -> str:
        """``open``, ``closed`` or ``unknown``, where the hook cannot tell.

        :raises EcommusError: when it fails.
        """
        if self.command:
            words = self._run(READ).split()
            return words[0].lower() if words and words[0].lower() in (OPEN, CLOSED) else UNKNOWN
        if READ not in self.requests:
            return UNKNOWN
        answer = self._send(READ)
        return CLOSED if _expect.mismatch(self.requests[READ].open_when, answer.json()) else OPEN

    def turn(self, state: str) -> None:
        """Open or close it, and see that it is so where the hook can tell.

        :raises EcommusError: when the hook fails.
        """
        if self.command:
            self._run(state)
        else:
            self._send(state)
        found = self.read()
        if found not in (state, UNKNOWN):
            raise EcommusError(f"the maintenance window is {found} although its hook has made it {state}", _REMEDY)

    def _run(self, state: str) -> str:
        argv = [argument.replace("{state}", state) for argument in self.command]
        result = _command.run(argv, timeout=self.timeout)
        if result.code != 0:
            raise EcommusError(
                f"the hook of the maintenance window ({argv[0]}, {state}) ended with {result.code}: {result.tail(3)}", _REMEDY
            )
        return result.output

    def _send(self, state: str) -> _http.Answer:
        request = self.requests[state]
        secrets = [str(value) for value in request.headers.values()]
        try:
            with _http.Client(request.url, resolve=self.resolve, ca_path=self.ca_path) as client:
                answer = client.request(request.method, headers=request.headers, json=request.body, timeout=self.timeout)
        except HttpError as error:
            raise EcommusError(f"the hook of the maintenance window ({state}): {error.message}", _REMEDY) from None
        if not 200 <= answer.status < 300:
            said = _expect.quote(_command.scrub(answer.text, secrets))
            raise EcommusError(f"the hook of the maintenance window ({state}) was answered {answer.status}: {said}", _REMEDY)
        return answer
