# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an install lies: one checkout, or releases beside each other with a link to the live one.

::

    <root>           what the rest of the host knows (/opt/ecommus); in the releases layout a link to <base>/current
    <base>/repo.git  bare mirror of the vendor's repository
    <base>/releases/<tag>-<commit>/
    <base>/shared/   what belongs to the shop and not to a release: .env, uploads, keys, ecosystem.config.cjs
    <base>/current   link to the live release
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files, _git, _version
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

MARKER = ".ecommus-release.json"  # inside a release: what it is and how far it was prepared
COMMIT_DIGITS = 8


@dataclasses.dataclass(frozen=True)
class Paths:
    """The places of one install; all absolute."""

    root: str
    base: str

    @property
    def repository(self) -> str:
        return os.path.join(self.base, "repo.git")

    @property
    def releases(self) -> str:
        return os.path.join(self.base, "releases")

    @property
    def shared(self) -> str:
        return os.path.join(self.base, "shared")

    @property
    def current(self) -> str:
        return os.path.join(self.base, "current")

    def release(self, tag: str, commit: str) -> str:
        return os.path.join(self.releases, f"{tag}-{commit[:COMMIT_DIGITS]}")


@dataclasses.dataclass(frozen=True)
class Installed:
    """What is installed: the real directory that the root leads to, and the release in it."""

    layout: str  # "releases" or "in_place"
    directory: str
    commit: str
    version: str | None  # the semver tag at the commit; None for a checkout between tags

    def as_dict(self) -> dict[str, t.Any]:
        return dataclasses.asdict(self)


def observe(paths: Paths) -> Installed:
    """Read what is there; changes nothing.

    :raises EcommusError: when there is no install at the root, or one that this collection does not understand.
    """
    if not os.path.lexists(paths.root):
        raise EcommusError(f"there is no install at {paths.root}", "set ecommus_root to the directory of the shop")
    directory = os.path.realpath(paths.root)
    if not os.path.isdir(directory):
        raise EcommusError(
            f"{paths.root} leads to {directory}, which does not exist", f"point {paths.current} at a release in {paths.releases}"
        )
    if not os.path.exists(os.path.join(directory, ".git")):
        raise EcommusError(f"{directory} is not a git checkout", "set ecommus_root to the checkout of the shop")
    layout = "in_place"
    if os.path.islink(paths.root):
        if os.path.dirname(directory) != os.path.realpath(paths.releases):
            raise EcommusError(
                f"{paths.root} is a link to {directory}, which is not a release in {paths.releases}",
                "set ecommus_base to the directory that holds releases/ and current",
            )
        layout = "releases"
    commit = _git.commit_of(directory, "HEAD")
    if commit is None:
        _git.changed_files(directory)  # says why git cannot read it, such as another owner
        raise EcommusError(f"{directory} has no commit", "set ecommus_root to the checkout of the shop")
    return Installed(layout, directory, commit, _version_at(directory, commit))


def _version_at(directory: str, commit: str) -> str | None:
    versions = []
    for tag in _git.tags_at(directory, commit):
        with contextlib.suppress(EcommusError):  # the vendor may use other tags for other things
            versions.append(_version.parse_tag(tag))
    return str(max(versions)) if versions else None


def read_marker(directory: str) -> dict[str, t.Any]:
    """What the preparation of a release wrote about it; empty for a directory that was not prepared by us."""
    try:
        with open(os.path.join(directory, MARKER), encoding="utf-8") as stream:
            content = json.load(stream)
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_marker(directory: str, **facts: t.Any) -> None:
    """Add *facts* to the marker of a release."""
    _hide_from_git(directory, MARKER)
    _files.write_json(os.path.join(directory, MARKER), {**read_marker(directory), **facts}, 0o644)


def _hide_from_git(directory: str, name: str) -> None:
    """Keep git from calling *name* a change. The vendor's ``uploads/`` matches the directory, but not the link to one."""
    line = f"/{name}\n"
    information = os.path.join(directory, ".git", "info")
    os.makedirs(information, exist_ok=True)
    with open(os.path.join(information, "exclude"), "a+", encoding="utf-8") as stream:
        stream.seek(0)
        if line not in stream.readlines():
            stream.write(line)


def share(paths: Paths, release: str, shared_paths: t.Sequence[str]) -> list[str]:
    """Link each of *shared_paths* that the shop has into *release*; returns the links that were made.

    A directory or file that the release brings itself under such a name gives way: the shop's own one counts.
    """
    made = []
    for name in shared_paths:
        original = os.path.join(paths.shared, name)
        link = os.path.join(release, name)
        if not os.path.lexists(original):
            continue
        target = os.path.relpath(original, os.path.dirname(link))
        if os.path.islink(link) and os.readlink(link) == target:
            continue
        if os.path.isdir(link) and not os.path.islink(link):
            shutil.rmtree(link)
        elif os.path.lexists(link):
            os.unlink(link)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        os.symlink(target, link)
        _hide_from_git(release, name)
        made.append(name)
    return made


def _is_shared(here: str, there: str) -> bool:
    """Whether *here* leads to *there*, or both to the same: by links, or because it is mounted at both."""
    if os.path.islink(here) and os.readlink(here) == os.path.relpath(there, os.path.dirname(here)):
        return True
    return os.path.exists(here) and os.path.exists(there) and os.path.samefile(here, there)


def _target(link: str) -> str:
    """Where *link* leads, as it is written, but true from everywhere."""
    target = os.path.join(os.path.dirname(link), os.readlink(link))
    return target if os.path.isabs(os.readlink(link)) else os.path.join(os.path.realpath(os.path.dirname(target)), os.path.basename(target))


def unshared(paths: Paths, shared_paths: t.Sequence[str]) -> list[str]:
    """Those of *shared_paths* that the live checkout still has for itself, and that an adoption shares.

    What a release that was prepared by us brought itself is its own; the next one brings it as well.
    """
    live = os.path.realpath(paths.root)
    prepared = os.path.islink(paths.root) and not read_marker(live).get("adopted")
    places = {name: (os.path.join(live, name), os.path.join(paths.shared, name)) for name in shared_paths}
    own = [name for name, (here, there) in places.items() if os.path.lexists(here) and not _is_shared(here, there)]
    return [name for name in own if not (prepared and _git.tracks(live, name))]


def obstacles(paths: Paths, names: t.Sequence[str]) -> list[EcommusError]:
    """Why some of *names*, of :func:`unshared`, cannot be moved to the shared directory; empty when all can."""
    live = os.path.realpath(paths.root)
    found = []
    for name in names:
        here, there = os.path.join(live, name), os.path.join(paths.shared, name)
        if os.path.exists(there):  # a link that leads nowhere was left by an interrupted attempt
            problem, remedy = (
                f"{there} exists already, and so does {here}",
                "decide which of the two is right and remove the other, then run again",
            )
        elif os.path.islink(here) and _is_below(os.path.realpath(here), live):
            problem, remedy = (
                f"{here} is a link to {os.path.realpath(here)}, which stays behind with its release",
                "put that in the place of the link, or name it in ecommus_shared_paths instead of the link",
            )
        elif not os.path.islink(here) and here in _files.mounts_below(here):
            problem, remedy = (
                f"{here} is a mount point, which cannot be moved to {paths.shared}",
                f"mount it there too, and at each boot (/etc/fstab): mkdir -p {there} && mount --bind {here} {there}; then run again",
            )
        else:
            continue
        found.append(EcommusError(problem, remedy))
    return found


def _is_below(path: str, directory: str) -> bool:
    return os.path.commonpath([path, directory]) == directory


def _move_to_shared(paths: Paths, directory: str, name: str) -> None:
    """Move ``directory/name`` to the shared directory and leave a link, in one step for a reader.

    A link to another place stays what it is, in the shared directory: there each release will find it.
    """
    here, there = os.path.join(directory, name), os.path.join(paths.shared, name)
    if os.path.islink(there):  # left by an interrupted attempt
        os.unlink(there)
    os.makedirs(os.path.dirname(there), exist_ok=True)
    _hide_from_git(directory, name)
    link = os.path.relpath(there, os.path.dirname(here))
    if os.path.islink(here):
        os.symlink(_target(here), there)
        _files.link_atomic(link, here)
        return
    # The link is written for its place in the release, and then changes places with the original.
    os.symlink(link, there)
    try:
        _files.exchange(here, there)
    except EcommusError:
        os.unlink(there)
        raise


def adopt(paths: Paths, shared_paths: t.Sequence[str]) -> bool:
    """Turn an in-place install into the releases layout while it runs; true when something was done.

    The checkout itself becomes the first release: nothing is copied, built or stopped. The decisive step exchanges the
    root directory and the link to it in one system call, so that no path is missing at any time. Each step leaves a
    working shop; stopped anywhere, it can be run again.
    """
    installed = observe(paths)
    names = unshared(paths, shared_paths)
    for obstacle in obstacles(paths, names):
        raise obstacle
    in_place = installed.layout == "in_place"
    if in_place:
        release = paths.release(installed.version or "untagged", installed.commit)
        for directory in (paths.base, paths.releases, paths.shared):
            os.makedirs(directory, mode=0o755, exist_ok=True)
        if os.stat(paths.base).st_dev != os.stat(paths.root).st_dev:
            raise EcommusError(
                f"{paths.base} and {paths.root} are on different file systems",
                "set ecommus_base to a directory on the file system of ecommus_root",
            )
        if os.path.lexists(release) and not os.path.islink(release):
            raise EcommusError(f"{release} exists already", "remove it if no process uses it, then run again")
        write_marker(paths.root, version=installed.version, commit=installed.commit, adopted=True, prepared="built")
        _files.link_atomic(os.path.relpath(release, paths.base), paths.current)
        for name in names:  # a relative link is true in its directory only, which is about to have another place
            link = os.path.join(paths.root, name)
            if os.path.islink(link):
                _files.link_atomic(_target(link), link)
        # For a moment a loop that nobody reads: the root becomes this very link, and this name the directory.
        _files.link_atomic(paths.current, release)
        _files.exchange(paths.root, release)
        installed = observe(paths)
    for name in names:
        _move_to_shared(paths, installed.directory, name)
    return in_place or bool(names)


def restore_in_place(paths: Paths, shared_paths: t.Sequence[str]) -> bool:
    """The way back from :func:`adopt`: the live release becomes the root directory again, with the shop's own files in it.

    Whoever has read a link just before what it leads to is exchanged finds nothing, once: the next attempt finds it in its new place.
    """
    installed = observe(paths)
    if installed.layout == "in_place":
        return False
    for name in shared_paths:
        original, link = os.path.join(paths.shared, name), os.path.join(installed.directory, name)
        if not os.path.lexists(original) or not os.path.islink(link):
            continue
        if os.path.islink(original):
            _files.link_atomic(_target(original), link)
        elif original in _files.mounts_below(original):  # cannot be moved, and stays where it is
            _files.link_atomic(original, link)
            continue
        else:
            _files.exchange(link, original)
        os.unlink(original)
    _files.exchange(paths.root, installed.directory)
    # What is left at the release's name is the old root link; `current` would lead nowhere.
    os.unlink(installed.directory)
    os.unlink(paths.current)
    return True


def activate(paths: Paths, release: str) -> str:
    """Point ``current`` at *release*; returns the directory that was live before.

    :raises EcommusError: when *release* is not a prepared one.
    """
    live = observe(paths)
    before = live.directory
    if not read_marker(before):  # set up by somebody else; it was live, so it is complete and may be gone back to
        write_marker(before, version=live.version, commit=live.commit, prepared="built")
    if read_marker(release).get("prepared") != "built":
        raise EcommusError(f"{release} is not a prepared release", "run the upgrade again; it prepares the release first")
    if before != os.path.realpath(release):
        _files.link_atomic(os.path.relpath(release, paths.base), paths.current)
    return before
