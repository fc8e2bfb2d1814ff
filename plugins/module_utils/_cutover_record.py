# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Remembers a cut-over while it is under way, so that the run after a killed one knows what was there before it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._pm2_table import Entry


@dataclasses.dataclass(frozen=True)
class Past:
    """A cut-over that never ended: how many processes there were, and which (id and pid)."""

    count: int
    old: frozenset[tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Record:
    """The file in PM2_HOME that holds the cut-overs under way, by process name."""

    path: str

    @classmethod
    def of(cls, home: str) -> Record:
        return cls(os.path.join(home, "ecommus-cutover.json"))

    def begin(self, name: str, count: int, old: t.Iterable[Entry]) -> None:
        """Note, before the first change, what runs as *name*."""
        self._write({**self._read(), name: {"count": count, "old": [[entry.pm_id, entry.pid] for entry in old]}})

    def end(self, name: str) -> None:
        """Forget *name*: it is as it should be."""
        left = {key: value for key, value in self._read().items() if key != name}
        if left:
            self._write(left)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)

    def past(self, name: str) -> Past | None:
        """What was noted of *name* by a run that did not come to its end."""
        noted = self._read().get(name)
        try:
            return Past(int(noted["count"]), frozenset((int(i), int(p)) for i, p in noted["old"])) if noted else None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None  # as for a file that cannot be read at all

    def _read(self) -> dict[str, t.Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                content = json.load(file)
        except (FileNotFoundError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, data: dict[str, t.Any]) -> None:
        partial = f"{self.path}.partial"
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path)
