# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What git knows: tags of the remote, a bare mirror on the host, signatures, files at a tag."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import typing as t

from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result, clean_environment, run
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

_FETCH_TIMEOUT = 600.0  # seconds; a first fetch of a large repository over a slow line
_LOCAL_TIMEOUT = 120.0
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")


def git(
    arguments: t.Sequence[str],
    *,
    cwd: str | None = None,
    timeout: float = _LOCAL_TIMEOUT,
    variables: t.Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> Result:
    """Run git without a prompt and in the C locale, so that nothing waits and messages can be read."""
    env = clean_environment({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes", **(variables or {})})
    return run(["git", *arguments], env=env, cwd=cwd, timeout=timeout, stdin=stdin)


def _must(result: Result, problem: str, remedy: str) -> str:
    if result.code != 0:
        lines = [
            line for line in result.error.strip().splitlines() if line.startswith(("fatal:", "error:", " ! "))
        ] or result.error.strip().splitlines()
        reason = _CREDENTIALS_IN_URL.sub("***@", lines[0].strip() if lines else f"exit code {result.code}")
        if "dubious ownership" in result.error:
            remedy = "run the play as the user that owns the install (become_user), not as another one"
        raise EcommusError(f"{problem}: {reason}", remedy)
    return result.output.strip()


def remote_tags(remote: str) -> dict[str, str]:
    """Tag name to commit for every tag of *remote* (annotated tags peeled)."""
    result = git(["ls-remote", "--tags", remote], timeout=60)
    output = _must(result, "the git remote does not answer", "check ecommus_git_remote, the network and the deploy key")
    tags: dict[str, str] = {}
    for line in output.splitlines():
        commit, _tab, reference = line.partition("\t")
        name = reference[len("refs/tags/") :]
        if name.endswith("^{}"):
            tags[name[:-3]] = commit
        else:
            tags.setdefault(name, commit)
    return tags


def update_mirror(repository: str, remote: str) -> bool:
    """Bring the bare *repository* up to the tags and branches of *remote*; true when something new came.

    Tags are fetched without force: git then refuses a tag that was moved, and so do we.
    """
    if not os.path.isdir(os.path.join(repository, "objects")):
        shutil.rmtree(repository, ignore_errors=True)
        os.makedirs(os.path.dirname(repository), exist_ok=True)
        _must(git(["init", "--quiet", "--bare", repository]), f"cannot create {repository}", "check the rights and the disk")
    before = git(["for-each-ref"], cwd=repository).output
    result = git(
        ["fetch", "--no-auto-gc", remote, "+refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*"],
        cwd=repository,
        timeout=_FETCH_TIMEOUT,
    )
    _refuse_moved_tags(result, repository)
    _must(result, "git fetch failed", "check ecommus_git_remote, the network and the deploy key")
    return git(["for-each-ref"], cwd=repository).output != before


def update_tags(checkout: str, remote: str) -> None:
    """Fetch the tags of *remote* into a working checkout; a moved tag is refused as in :func:`update_mirror`."""
    result = git(["fetch", "--no-auto-gc", remote, "refs/tags/*:refs/tags/*"], cwd=checkout, timeout=_FETCH_TIMEOUT)
    _refuse_moved_tags(result, checkout)
    _must(result, "git fetch failed", "check ecommus_git_remote, the network and the deploy key")


def _refuse_moved_tags(result: Result, repository: str) -> None:
    moved = re.findall(r"! \[rejected\]\s+(\S+)\s+-> .*would clobber existing tag", result.error)
    if moved:
        raise EcommusError(
            f"the remote moved the tag {', '.join(moved)}: it names another commit than when it was first fetched here",
            f"ask the vendor why; if the move is right, remove the old one with: git -C {repository} tag -d {' '.join(moved)}",
            moved_tags=moved,
        )


def commit_of(repository: str, reference: str) -> str | None:
    """The commit that *reference* names in *repository*, or None."""
    result = git(["rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"], cwd=repository)
    return result.output.strip() if result.code == 0 else None


def tags_at(repository: str, commit: str = "HEAD") -> list[str]:
    """The tags that point at *commit*."""
    return git(["tag", "--points-at", commit], cwd=repository).output.split()


def file_at(repository: str, reference: str, path: str) -> str | None:
    """The text of *path* in the tree of *reference*, or None where there is none."""
    result = git(["show", f"{reference}:{path}"], cwd=repository)
    return result.output if result.code == 0 else None


def export(repository: str, commit: str, places: t.Sequence[str], endings: tuple[str, ...], destination: str) -> None:
    """Write the files below *places* of *commit* whose names end so into *destination*, byte for byte as a check-out would.

    :param repository: a bare one; it is only read, its index (there is none) included.
    """
    listed = _must(
        git(["ls-tree", "-r", "-z", "--name-only", commit, "--", *places], cwd=repository), f"git cannot list {commit}", "fetch it again"
    )
    files = [name for name in listed.split("\0") if name.endswith(endings)]
    if not files:
        return
    with tempfile.TemporaryDirectory(prefix="ecommus-index-") as directory:
        result = git(
            ["--literal-pathspecs", "checkout", "--quiet", commit, "--pathspec-from-file=-", "--pathspec-file-nul"],
            cwd=destination,
            variables={"GIT_DIR": repository, "GIT_WORK_TREE": destination, "GIT_INDEX_FILE": os.path.join(directory, "index")},
            stdin="\0".join(files),
        )
    _must(result, f"git cannot write files of {commit}", "check the disk and the rights of the temporary directory")


def tracked_files(checkout: str, place: str) -> list[str]:
    """The files below *place* that the check-out's own history knows, relative to it."""
    result = git(["ls-files", "-z", "--", place], cwd=checkout)
    output = _must(result, f"git ls-files fails in {checkout}", "check that it is a git checkout")
    return [name for name in output.split("\0") if name]


def changed_files(checkout: str) -> list[str]:
    """Tracked files that were edited and untracked ones that are not ignored, as ``git status --porcelain`` lists them."""
    output = _must(git(["status", "--porcelain"], cwd=checkout), f"git status fails in {checkout}", "check that it is a git checkout")
    return [line for line in output.splitlines() if line.strip()]


def tracks(checkout: str, path: str) -> bool:
    """Whether a commit brought *path*, or something below it."""
    command = ["ls-files", "-z", "--", f":(literal){path}"]
    return bool(_must(git(command, cwd=checkout), f"git ls-files fails in {checkout}", "check that it is a git checkout"))


def remote_of(checkout: str) -> str | None:
    """The address of ``origin``."""
    result = git(["config", "--get", "remote.origin.url"], cwd=checkout)
    return result.output.strip() or None


def check_out(checkout: str, reference: str) -> None:
    """Put *reference* into the working tree of *checkout*, detached."""
    _must(
        git(["checkout", "--quiet", "--detach", reference], cwd=checkout),
        f"git checkout {reference} fails in {checkout}",
        "git status shows what is in the way",
    )


def clone_release(repository: str, commit: str, destination: str, remote: str) -> None:
    """Clone *commit* of the bare *repository* into *destination*: objects are hard links, origin stays the vendor's remote."""
    remedy = "check the disk and the rights"
    _must(
        git(["clone", "--quiet", "--local", "--no-checkout", repository, destination], timeout=_FETCH_TIMEOUT), "git clone failed", remedy
    )
    _must(git(["remote", "set-url", "origin", remote], cwd=destination), "git remote set-url failed", remedy)
    check_out(destination, commit)


def verify_tag(repository: str, tag: str, allowed_signers: str) -> None:
    """Check the signature of *tag* against the SSH signers in the file *allowed_signers*.

    Only the exit code counts: git prints "Good signature" for a stranger's key as well. And the name in what was signed counts:
    git verifies the tag of another release just as well when the remote gives it this name.
    """
    if not os.path.isfile(allowed_signers):
        raise EcommusError(f"the file of allowed signers {allowed_signers} does not exist", "correct ecommus_allowed_signers")
    result = git(["-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={allowed_signers}", "verify-tag", tag], cwd=repository)
    said = result.error.lower()
    if result.code == 0:
        named = git(["for-each-ref", "--format=%(tag)", f"refs/tags/{tag}"], cwd=repository).output.strip()
        if named == tag:
            return
        reason = f"it is that of the tag {named}"
    elif "no signature found" in said:
        reason = "it is not signed"
    elif "no principal matched" in said:
        reason = "its signer is not among the allowed ones"
    else:
        reason = next(iter(result.error.strip().splitlines()), f"exit code {result.code}")
    raise EcommusError(
        f"the signature of {tag} does not verify: {reason}",
        "do not install it; ask the vendor, or add the vendor's new key to ecommus_allowed_signers",
    )
