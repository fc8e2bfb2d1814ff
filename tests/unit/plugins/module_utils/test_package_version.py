# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release is what its tag says, as far as the vendor keeps tag and packages together."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _package_version
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

PACKAGE = "packages/core/package.json"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A checkout whose tag v1.3.0 has packages of that version, and whose tag v1.2.0 has not."""
    env = {**os.environ, **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}}
    (tmp_path / PACKAGE).parent.mkdir(parents=True)
    for tag, version in (("v1.2.0", "0.0.0"), ("v1.3.0", "1.3.0")):
        (tmp_path / PACKAGE).write_text(f'{{"version": "{version}"}}')
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", tag], ["tag", tag]):
            subprocess.run(["git", *command], cwd=tmp_path, env=env, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "version", "from_version"),
    [
        ('{"version": "1.4.0"}', "v1.4.0", ""),
        ('{"version": "1.4.0"}', "v1.4.0", "v1.3.0"),
        ('{"version": "1.3.9"}', "", "v1.3.0"),
        ('{"version": "1.3.9"}', "v1.4.0", "v1.2.0"),  # they did not go together before
        ('{"version": "1.3.9"}', "v1.4.0", "v0.0.1"),
    ],
)
def test_packages_that_are_of_their_tag(release: Path, content: str, version: str, from_version: str) -> None:
    (release / PACKAGE).write_text(content)
    _package_version.check(str(release), version, from_version)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"version": "1.3.9"}', "v1.3.9"),
        ('{"version": "next"}', "of no version"),
        ("{}", "of no version"),
        ("[]", "of no version"),
        ("{", "of no version"),
        (None, "of no version"),
    ],
)
@pytest.mark.parametrize("from_version", ["", "v1.3.0"])
def test_packages_that_are_not_what_the_tag_says(release: Path, content: str | None, says: str, from_version: str) -> None:
    (release / PACKAGE).unlink()
    if content is not None:
        (release / PACKAGE).write_text(content)
    with pytest.raises(EcommusError) as caught:
        _package_version.check(str(release), "v1.4.0", from_version)
    assert caught.value.message == f"the release in {release} should be v1.4.0 and says in {PACKAGE} that it is {says}"
    assert "ask the vendor" in caught.value.remedy
    assert caught.value.details == {"reason": "identity"}
