# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users install holds what they use, and nothing of what only a developer needs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
FOR_USERS = {
    "CHANGELOG.md", "CONTRIBUTING.md", "FILES.json", "LICENSE", "LICENSES", "MANIFEST.json", "README.md", "changelogs", "docs",
    "inventories", "meta", "playbooks", "plugins", "roles",
}  # fmt: skip


def test_the_artifact_holds_what_is_for_users(tmp_path: Path) -> None:
    galaxy = Path(sys.executable).parent / "ansible-galaxy"
    command = [galaxy, "collection", "build", "--output-path", str(tmp_path), str(REPO)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (artifact,) = tmp_path.glob("mdlabs-ecommus-*.tar.gz")
    with tarfile.open(artifact) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()} - {"", "."}
    assert {name.split("/")[0] for name in names} == FOR_USERS
    assert not [name for name in names if "/." in f"/{name}" or "__pycache__" in name or name.endswith(".pyc")]
    # The check of names reads these when a role is played.
    assert {"roles/install/meta/argument_specs.yml", "roles/upgrade/tasks/main.yml", "plugins/filter/unknown_variables.py"} <= names
