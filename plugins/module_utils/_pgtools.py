# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the pg_dump and pg_restore that fit a server."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import shutil
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

# Where Debian and the PGDG packages keep the programs of each major version, which are not in PATH.
_PACKAGES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")

# pg_restore from 17 on sends "SET transaction_timeout", which older servers refuse: it ends a restore with --exit-on-error.
_NOT_BELOW = 17


@dataclasses.dataclass(frozen=True)
class Tools:
    """One installation of the client programs. ``version`` is (major, minor)."""

    directory: str
    version: tuple[int, int]

    @property
    def dump(self) -> str:
        """Path of pg_dump."""
        return os.path.join(self.directory, "pg_dump")

    @property
    def restore(self) -> str:
        """Path of pg_restore."""
        return os.path.join(self.directory, "pg_restore")

    def fits(self, server_major: int) -> bool:
        """Whether a dump of that server can be made, and be restored into it."""
        own = self.version[0]
        return own == server_major or (own > server_major and not own >= _NOT_BELOW > server_major)

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


def find_tools(server_major: int, bin_dir: str = "", path_prefix: t.Sequence[str] = ()) -> Tools:
    """The client programs to use with a server: of its own major version, else the oldest that fits.

    :param bin_dir: look here only.
    :raises EcommusError: when none fits; the message names what was found.
    """
    found = list(_candidates(bin_dir, path_prefix))
    fitting = [tools for tools in found if tools.fits(server_major)]
    if fitting:
        return min(fitting, key=lambda tools: tools.version[0])
    seen = ", ".join(f"{tools} in {tools.directory}" for tools in found) or "none"
    raise EcommusError(
        f"no pg_dump and pg_restore fit the PostgreSQL {server_major} server; found: {seen}",
        f"install the client programs of PostgreSQL {server_major} (Debian: postgresql-client-{server_major}) or set bin_dir",
    )


def newest_tools(bin_dir: str = "", path_prefix: t.Sequence[str] = ()) -> Tools:
    """The newest client programs: they read every older archive.

    :raises EcommusError: when there are none.
    """
    found = list(_candidates(bin_dir, path_prefix))
    if not found:
        raise EcommusError("pg_restore is not on this host", "install the PostgreSQL client programs, or set bin_dir")
    return max(found, key=lambda tools: tools.version)


def _candidates(bin_dir: str, path_prefix: t.Sequence[str]) -> t.Iterator[Tools]:
    packages = sorted(directory for pattern in _PACKAGES for directory in glob.glob(pattern))
    seen = set()
    for directory in [bin_dir] if bin_dir else [*clean_environment({}, path_prefix)["PATH"].split(os.pathsep), *packages]:
        program = os.path.realpath(os.path.join(directory, "pg_dump"))
        # Debian's /usr/bin/pg_dump picks a version by the cluster that it thinks is meant; the real ones are looked at anyway.
        if program in seen or os.path.basename(program) == "pg_wrapper" or not _complete(directory):
            continue
        seen.add(program)
        answer = run([program, "--version"], timeout=10)
        numbers = [int(number) for number in re.findall(r"\d+", answer.output)[:2]]
        if answer.code == 0 and numbers:
            yield Tools(directory, (numbers[0], numbers[1] if len(numbers) > 1 else 0))


def _complete(directory: str) -> bool:
    return bool(directory) and all(os.access(os.path.join(directory, name), os.X_OK) for name in ("pg_dump", "pg_restore"))


def gently(argv: t.Sequence[str]) -> list[str]:
    """*argv* at the lowest priority for CPU and disk, as far as this host can: the shop is serving meanwhile."""
    prefix: list[str] = []
    if shutil.which("nice"):
        prefix += ["nice", "-n", "19"]
    # Containers may forbid it; util-linux' --ignore goes on then, busybox has no such option.
    if shutil.which("ionice") and run(["ionice", "-c", "3", "true"], timeout=10).code == 0:
        prefix += ["ionice", "-c", "3"]
    return [*prefix, *argv]
