# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be known of a release before it is checked out: manifests and migrations, the shop's own plugins included.

Packages of the registry are not among them; their files are there only after ``npm ci``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils import _git
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migrations import Places

if t.TYPE_CHECKING:
    from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import Subject

PLUGINS = "plugins"


@contextlib.contextmanager
def release_tree(subject: Subject) -> t.Iterator[str]:
    """A temporary directory with the manifests and migrations as they will lie in the release's own directory."""
    with tempfile.TemporaryDirectory(prefix="ecommus-release-") as directory:
        places = (Places().core_directory, PLUGINS)
        _git.export(subject.paths.repository, subject.commit, places, (".sql", ".json"), directory)
        for name in private_plugins(subject):
            link = os.path.join(directory, PLUGINS, name)
            if stays(subject, name) and not os.path.lexists(link):
                os.makedirs(os.path.dirname(link), exist_ok=True)
                os.symlink(os.path.join(subject.live, PLUGINS, name), link)
        yield directory


def private_plugins(subject: Subject) -> list[str]:
    """Directories below ``plugins/`` of the live release that are not the vendor's, whether git ignores them or not."""
    place = os.path.join(subject.live, PLUGINS)
    if not os.path.isdir(place):
        return []
    vendors = {name.split("/")[1] for name in _git.tracked_files(subject.live, PLUGINS) if name.count("/") > 1}
    with os.scandir(place) as entries:
        directories = {entry.name for entry in entries if entry.is_dir() and not entry.name.startswith((".", "node_modules"))}
    return sorted(directories - vendors)


def stays(subject: Subject, name: str) -> bool:
    """Whether the private plugin *name* will be in the new release as well."""
    path = f"{PLUGINS}/{name}"
    shared = {os.path.normpath(one) for one in subject.shared_paths}
    return subject.layout == "in_place" or bool({path, PLUGINS} & shared)
