# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption of files with the command age (https://age-encryption.org), to the public keys of those who may read them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_CHUNK = 2**20
_ENDING = 10.0  # seconds


def program(path_prefix: t.Sequence[str] = ()) -> str:
    """Where the command age is on this host.

    :raises EcommusError: when it is not.
    """
    found = shutil.which("age", path=clean_environment(path_prefix=path_prefix)["PATH"])
    if found is None:
        raise EcommusError(
            "the command age is not on this host", "install it (Debian: age), or name its directory in path_prefix; or do not encrypt"
        )
    return found


def encrypt(source: str, target: str, recipients: t.Sequence[str], *, path_prefix: t.Sequence[str] = (), timeout: float) -> None:
    """Encrypt the file *source* into the existing file *target*.

    :param recipients: public keys, of age or of SSH.
    :param timeout: seconds.
    :raises EcommusError: when it fails.
    """
    argv = [program(path_prefix), "--encrypt", "--output", target]
    for recipient in recipients:
        argv += ["--recipient", recipient]
    answer = run([*argv, source], timeout=timeout)
    if answer.code != 0:
        raise EcommusError(
            f"age cannot encrypt {source}: {_reason(answer.error)}",
            "correct snapshot_recipients (they begin with age1 or ssh-), or free space",
        )


def check_recipients(recipients: t.Sequence[str], path_prefix: t.Sequence[str] = ()) -> None:
    """See that age takes *recipients*.

    :raises EcommusError: when it does not.
    """
    encrypt(os.devnull, os.devnull, recipients, path_prefix=path_prefix, timeout=_ENDING)


def check_identity(identity_file: str) -> None:
    """See that there is an identity to decrypt with.

    :raises EcommusError: when none was given, or the file cannot be read.
    """
    remedy = "bring the identity to the host for as long as it takes, readable by its user only, and name it in snapshot_identity_file"
    if not identity_file:
        raise EcommusError("the snapshot is encrypted, and no identity was given to decrypt it", remedy)
    if not os.access(identity_file, os.R_OK):
        raise EcommusError(f"the snapshot is encrypted, and its identity {identity_file} cannot be read", remedy)


@contextlib.contextmanager
def decrypted(path: str, identity_file: str, *, path_prefix: t.Sequence[str] = ()) -> t.Iterator[int]:
    """A file descriptor from which the content of *path* can be read, as the standard input of a program.

    :raises EcommusError: when it cannot be decrypted; that goes before an error of the program that could not read on.
    """
    check_identity(identity_file)
    argv = [program(path_prefix), "--decrypt", "--identity", identity_file, path]
    # Not run(), which waits for the end: the other program reads meanwhile.
    with subprocess.Popen(  # pylint: disable=ansible-bad-function
        argv, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        output, errors = t.cast("t.IO[bytes]", process.stdout), t.cast("t.IO[bytes]", process.stderr)
        problem: EcommusError | None = None
        try:
            yield output.fileno()
            while output.read(_CHUNK):  # the end is authenticated as well
                pass
        except EcommusError as error:
            problem = error
        except BaseException:
            process.kill()
            raise
        output.close()
        text = errors.read().decode("utf-8", "replace")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_ENDING)
        if process.poll() is None:
            process.kill()
    # A program that stops to read breaks the pipe; then its own error is the one that counts.
    if process.returncode > 0 and not (problem and "broken pipe" in text):
        raise EcommusError(
            f"age cannot decrypt {path}: {_reason(text)}",
            "give the identity that belongs to one of the recipients (snapshot_identity_file)",
        )
    if problem is not None:
        raise problem


def _reason(text: str) -> str:
    """The first line of what age printed, without what it adds about reporting bugs."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "it says nothing").replace("age: error: ", "")
