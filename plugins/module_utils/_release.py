# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Preparing a release beside the live one: source, shared files, packages, builds."""

from __future__ import annotations

import glob
import os
import shutil
import time
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files, _git, _layout, _packages, _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._layout import Paths

# How far a release directory is prepared, in order; kept in its marker so that an interrupted run goes on there.
STAGES = ("checked_out", "installed", "built")

REMOVED = ".removed"  # the end of the name of a release that is being removed


def notes_path(version: str) -> str:
    """Where a tag keeps the notes of its release."""
    return f"docs/08-changelog/{version}.md"


def front_matter(text: str) -> str:
    """The YAML block at the head of a release's notes, without its fences; empty where there is none."""
    if not text.startswith("---\n"):
        return ""
    block, fence, _rest = text[4:].partition("\n---")
    return block if fence else ""


def fetch(paths: Paths, remote: str, version: str, commit: str, allowed_signers: str = "") -> bool:
    """Bring *version* into the host's mirror and check that it is what the remote said; true when something came."""
    changed = _git.update_mirror(paths.repository, remote)
    here = _git.commit_of(paths.repository, f"refs/tags/{version}")
    if here != commit:
        raise EcommusError(
            f"the tag {version} names {here or 'nothing'} here and {commit} in the remote",
            "run again; if it stays so, the tag was moved: ask the vendor why",
        )
    if allowed_signers:
        _git.verify_tag(paths.repository, version, allowed_signers)
    return changed


def reached(directory: str, commit: str, stage: str) -> bool:
    """Whether *directory* holds *commit* and is prepared as far as *stage* (one of :data:`STAGES`)."""
    marker = _layout.read_marker(directory)
    have = str(marker.get("prepared"))
    return bool(marker.get("commit") == commit and have in STAGES and STAGES.index(have) >= STAGES.index(stage))


def wait_for_earlier(directory: str, timeout: float) -> None:
    """Wait until what an interrupted run has left at work in *directory* has ended: it lives on when only its controller was killed.

    :param timeout: seconds.
    :raises EcommusError: when it still works then.
    """

    def at_work() -> list[int]:
        found = (_process.inspect(pid) for pid in _process.running_below(directory))
        return [info.pid for info in found if info and os.path.basename(info.command.split(" ")[0]).startswith(("npm", "node", "git"))]

    left = at_work()
    if not left:
        return
    deadline = time.monotonic() + timeout
    while left:
        if time.monotonic() > deadline:
            raise EcommusError(
                f"the processes {', '.join(map(str, left))} of an earlier run are still at work in {directory}",
                "wait until they end, or end them; then run again",
                pids=left,
            )
        time.sleep(0.5)
        left = at_work()
    time.sleep(1)  # for the one that waited for them to write down how far it came


def check_out(paths: Paths, directory: str, remote: str, version: str, commit: str, shared_paths: t.Sequence[str]) -> bool:
    """Make *directory* a checkout of *commit* with the shop's own files linked in; true when something was done."""
    if reached(directory, commit, "checked_out"):
        return bool(_layout.share(paths, directory, shared_paths))
    if os.path.lexists(directory):
        _remove(paths, directory)  # a part of an interrupted clone: nothing can run from it
    os.makedirs(paths.releases, exist_ok=True)
    _git.clone_release(paths.repository, commit, directory, remote)
    _layout.share(paths, directory, shared_paths)
    _layout.write_marker(directory, version=version, commit=commit, prepared="checked_out")
    return True


def take_caches(live: str, directory: str, patterns: t.Sequence[str]) -> list[str]:
    """Copy the build caches of the *live* release into *directory*; returns the relative paths that were copied.

    Copied and not linked: a build writes into its cache, and the live release must be able to be built again.
    """
    taken = []
    for pattern in patterns:
        for source in sorted(glob.glob(os.path.join(glob.escape(live), pattern))):
            name = os.path.relpath(source, live)
            target = os.path.join(directory, name)
            if os.path.isdir(source) and not os.path.lexists(target):
                shutil.copytree(source, target, symlinks=True)
                taken.append(name)
    return taken


def check_out_in_place(paths: Paths, remote: str, version: str, commit: str) -> bool:
    """Put *commit* into the live checkout itself, as the documented procedure does; true when it was another one.

    The packages of the release that was there are kept, and those of *commit* put back if they were: then it counts as installed.
    """
    here = _git.commit_of(paths.root, "HEAD") or ""
    changed = here != commit or not reached(paths.root, commit, "checked_out")
    if here != commit:
        if _git.commit_of(paths.root, f"refs/tags/{version}") != commit:  # else it was here before, and a way back needs no remote
            _git.update_tags(paths.root, remote)
        _keep_packages(paths.root, here, commit)
        _git.check_out(paths.root, commit)
    if changed:
        _layout.write_marker(paths.root, version=version, commit=commit, prepared="checked_out")
    restored = _packages.restore(paths.root, commit)
    if restored:
        if not reached(paths.root, commit, "installed"):
            _layout.write_marker(paths.root, prepared="installed")
        _packages.forget(paths.root, commit)
    return changed or restored


def _keep_packages(root: str, here: str, wanted: str) -> None:
    marker = _layout.read_marker(root)
    half = marker.get("commit") == here and marker.get("prepared") == "checked_out"  # npm ci did not come to its end
    if not half or _packages.began(root, here):
        _packages.keep(root, here, wanted)


def remove(paths: Paths, directory: str) -> bool:
    """Remove a release that nothing uses; true when there was one."""
    if not os.path.lexists(directory):
        return False
    _remove(paths, directory)
    return True


def _remove(paths: Paths, directory: str) -> None:
    shutil.rmtree(set_aside(paths, directory))


def set_aside(paths: Paths, directory: str) -> str:
    """Rename a release that nothing uses, so that a removal which is stopped leaves no half release that counts as prepared.

    :returns: the name that it has then.
    :raises EcommusError: when it is live or in use, or when something is mounted in it.
    """
    if os.path.dirname(os.path.normpath(directory)) != os.path.normpath(paths.releases):
        raise EcommusError(f"{directory} is not a release in {paths.releases}", "name the directory of a release")
    if os.path.realpath(paths.current) == os.path.realpath(directory):
        raise EcommusError(f"{directory} is the live release and stays", "activate another release first")
    users = _process.running_below(directory)
    if users:
        raise EcommusError(
            f"{directory} is used by the processes {', '.join(map(str, users))} and stays", "stop or replace them first", pids=users
        )
    mounted = _files.mounts_below(directory)
    if mounted:
        raise EcommusError(f"{mounted[0]} is mounted, so {directory} stays", f"umount {mounted[0]}; what is on it would be removed as well")
    aside = directory.removesuffix(REMOVED) + REMOVED
    if directory != aside:
        if os.path.lexists(aside):
            shutil.rmtree(aside)
        os.rename(directory, aside)
    return aside
