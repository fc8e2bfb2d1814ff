# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What age is asked for, and what is made of its answer; the age here writes down how it was called."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _age
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


@pytest.fixture
def age(tmp_path: Path) -> Path:
    """A directory with an age that encrypts by taking the bytes as they are, and fails for the recipient "wrong"."""
    program = tmp_path / "bin/age"
    program.parent.mkdir()
    program.write_text(
        f"""#!/bin/sh
for argument; do echo "$argument"; done > {tmp_path}/asked
case "$*" in *wrong*) printf '\\n age: error: unknown recipient type: "wrong"\\nage: report bugs\\n' >&2; exit 1;; *mute*) exit 1;; esac
while [ $# -gt 1 ]; do [ "$1" = --output ] && target=$2; shift; done
cat "$1" > "$target"
"""
    )
    program.chmod(0o755)
    return program.parent


def test_a_file_is_encrypted_to_every_recipient(age: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "x.dump", tmp_path / "x.dump.age"
    source.write_text("content")
    _age.encrypt(str(source), str(target), ["age1a", "ssh-b"], path_prefix=[str(age)], timeout=60)
    asked = ["--encrypt", "--output", str(target), "--recipient", "age1a", "--recipient", "ssh-b", str(source)]
    assert (tmp_path / "asked").read_text().splitlines() == asked
    assert target.read_text() == "content"


@pytest.mark.parametrize(("recipient", "reason"), [("wrong", 'unknown recipient type: "wrong"'), ("mute", "it says nothing")])
def test_recipients_are_tried_on_nothing_and_refused_in_one_line(age: Path, tmp_path: Path, recipient: str, reason: str) -> None:
    _age.check_recipients(["age1a"], [str(age)])
    assert (tmp_path / "asked").read_text().splitlines() == ["--encrypt", "--output", "/dev/null", "--recipient", "age1a", "/dev/null"]
    with pytest.raises(EcommusError) as caught:
        _age.check_recipients([recipient], [str(age)])
    assert caught.value.message == f"age cannot encrypt /dev/null: {reason}"
    assert "snapshot_recipients" in caught.value.remedy


def test_what_would_decrypt_is_looked_for_first(tmp_path: Path) -> None:
    with pytest.raises(EcommusError) as caught:
        _age.check_identity("")
    assert caught.value.message == "the snapshot is encrypted, and no identity was given to decrypt it"
    assert "snapshot_identity_file" in caught.value.remedy
    with pytest.raises(EcommusError) as caught:
        _age.check_identity(f"{tmp_path}/none")
    assert caught.value.message == f"the snapshot is encrypted, and its identity {tmp_path}/none cannot be read"
    assert "snapshot_identity_file" in caught.value.remedy
    (tmp_path / "identity").touch()
    _age.check_identity(str(tmp_path / "identity"))
