# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a snapshot before anything is migrated: it is encrypted, and taken off the host."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _snapshot as snapshot
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._files import fsync_directory
from ansible_collections.mdlabs.ecommus.plugins.module_utils._snapshot import ENCRYPTED, Options


def encrypt(path: str, options: Options) -> bool:
    """Put an encrypted file in the place of the dump; whether anything was left to do. It is whole or plain whenever this is stopped.

    :raises EcommusError: when it fails; the plain one is still there then.
    """
    manifest = snapshot.verify_checksum(path)
    changed = os.path.exists(path)
    if not manifest.get("encrypted"):
        target, partial = path + ENCRYPTED, path + ENCRYPTED + ".partial"
        snapshot.check_space(os.path.dirname(path), manifest["size"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            _age.encrypt(path, partial, options.recipients, path_prefix=options.path_prefix, timeout=options.timeout)
            snapshot.fsync(partial)
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial)
            raise
        fsync_directory(os.path.dirname(path))
        snapshot.write_manifest(path, {**manifest, "encrypted": True, "size": os.path.getsize(target), "sha256": snapshot.sha256(target)})
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return changed


def ship(path: str, options: Options) -> dict[str, t.Any]:
    """Run the command that takes the snapshot off the host; returns the manifest.

    :raises EcommusError: when it fails.
    """
    manifest = snapshot.load(path) or snapshot.verify_checksum(path)
    argv = [part.replace("{path}", manifest["file"]) for part in options.ship]
    answer = run(argv, env=clean_environment(path_prefix=options.path_prefix, network=True), timeout=options.timeout)
    if answer.code != 0:
        text = " ".join(answer.tail(3).split())
        raise EcommusError(
            f"the snapshot was not shipped: {os.path.basename(argv[0])} ended with exit code {answer.code}: {text}",
            "repair what it needs, or correct the command (ecommus_snapshot_ship); the snapshot is still on the host",
        )
    return manifest
