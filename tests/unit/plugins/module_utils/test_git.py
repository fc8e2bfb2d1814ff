"""Signatures of tags, with real git and ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._git import verify_tag


def run(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the tags v1 (signed by the vendor), v2 (by a stranger) and v3 (not at all)."""
    for key in ("vendor", "stranger"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key), cwd=tmp_path)
    public = " ".join((tmp_path / "vendor.pub").read_text().split()[:2])
    (tmp_path / "signers").write_text(f'vendor namespaces="git" {public}\n')
    made = tmp_path / "repository"
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "gpg.format=ssh")
    run("git", "init", "--quiet", str(made), cwd=tmp_path)
    run("git", *identity, "commit", "--quiet", "--allow-empty", "--message", "one", cwd=made)
    for tag, key in (("v1", "vendor"), ("v2", "stranger")):
        run("git", *identity, "-c", f"user.signingkey={tmp_path / key}", "tag", "--sign", "--message", tag, tag, cwd=made)
    run("git", *identity, "tag", "--annotate", "--message", "v3", "v3", cwd=made)
    return made


def test_only_the_vendors_own_tag_of_that_name_verifies(repository: Path, tmp_path: Path) -> None:
    run("git", "update-ref", "refs/tags/v4", run("git", "rev-parse", "refs/tags/v1", cwd=repository), cwd=repository)
    run("git", "tag", "v5", "HEAD", cwd=repository)
    signers = str(tmp_path / "signers")
    verify_tag(str(repository), "v1", signers)
    for tag, reason in (
        ("v2", "its signer is not among the allowed ones"),
        ("v3", "it is not signed"),
        ("v4", "it is that of the tag v1"),
        ("v5", "cannot verify a non-tag object"),
    ):
        with pytest.raises(EcommusError, match=reason):
            verify_tag(str(repository), tag, signers)
    with pytest.raises(EcommusError, match="does not exist"):
        verify_tag(str(repository), "v1", f"{signers}.gone")
