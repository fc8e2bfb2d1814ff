"""Repositories and signatures of tags, with real git and ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _git
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
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
        with pytest.raises(EcommusError) as caught:
            verify_tag(str(repository), tag, signers)
        assert caught.value.message.startswith(f"the signature of {tag} does not verify: ")
        assert reason in caught.value.message
        assert "ask the vendor" in caught.value.remedy
    with pytest.raises(EcommusError) as caught:
        verify_tag(str(repository), "v1", f"{signers}.gone")
    assert caught.value.message == f"the file of allowed signers {signers}.gone does not exist"
    assert "ecommus_allowed_signers" in caught.value.remedy


IDENTITY = ("-c", "user.name=a", "-c", "user.email=a@b")


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """A repository with the lightweight tag v1 and the annotated tag v2."""
    made = tmp_path / "vendor"
    run("git", "init", "--quiet", "-b", "main", str(made), cwd=tmp_path)
    commit(made, "one")
    run("git", "tag", "v1", cwd=made)
    commit(made, "two")
    run("git", *IDENTITY, "tag", "--annotate", "--message", "v2", "v2", cwd=made)
    return made


def commit(repository: Path, text: str) -> str:
    for name in ("app.ts", "plugins/a ț/package.json", "plugins/a ț/index.ts"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(text)
    run("git", "add", "--all", cwd=repository)
    run("git", *IDENTITY, "commit", "--quiet", "--message", text, cwd=repository)
    return run("git", "rev-parse", "HEAD", cwd=repository)


def test_a_remote_is_asked_for_the_commits_of_its_tags(vendor: Path, tmp_path: Path) -> None:
    commits = {tag: run("git", "rev-parse", f"{tag}^{{commit}}", cwd=vendor) for tag in ("v1", "v2")}
    assert _git.remote_tags(str(vendor)) == commits
    assert [_git.commit_of(str(vendor), reference) for reference in ("v2", "HEAD", "v9")] == [commits["v2"], commits["v2"], None]
    run("git", "tag", "nightly", "v1", cwd=vendor)
    assert (_git.tags_at(str(vendor)), _git.tags_at(str(vendor), "v1")) == (["v2"], ["nightly", "v1"])
    with pytest.raises(EcommusError) as caught:
        _git.remote_tags(str(tmp_path / "none"))
    assert caught.value.message.startswith(f"the git remote does not answer: fatal: '{tmp_path}/none' does not")
    assert "ecommus_git_remote" in caught.value.remedy


def test_a_mirror_follows_its_remote(vendor: Path, tmp_path: Path) -> None:
    mirror = str(tmp_path / "base/repo.git")
    (tmp_path / "base/repo.git").mkdir(parents=True)
    (tmp_path / "base/repo.git/HEAD").write_text("left by an attempt that was killed")
    assert _git.update_mirror(mirror, str(vendor)) is True
    assert _git.update_mirror(mirror, str(vendor)) is False
    assert run("git", "rev-parse", "--is-bare-repository", cwd=Path(mirror)) == "true"
    new = commit(vendor, "three")
    assert _git.update_mirror(mirror, str(vendor)) is True
    assert _git.commit_of(mirror, "refs/heads/main") == new
    assert _git.file_at(mirror, "v1", "app.ts") == "one"
    assert _git.file_at(mirror, "v1", "none.ts") is None


def test_a_tag_that_was_moved_is_refused(vendor: Path, tmp_path: Path) -> None:
    mirror, checkout = str(tmp_path / "repo.git"), str(tmp_path / "shop")
    _git.update_mirror(mirror, str(vendor))
    run("git", "clone", "--quiet", str(vendor), checkout, cwd=tmp_path)
    run("git", "tag", "--force", "v1", "v2", cwd=vendor)
    for repository, update in ((mirror, _git.update_mirror), (checkout, _git.update_tags)):
        with pytest.raises(EcommusError) as caught:
            update(repository, str(vendor))
        told = "the remote moved the tag v1: it names another commit than when it was first fetched here"
        assert caught.value.message == told
        assert caught.value.remedy.endswith(f"git -C {repository} tag -d v1")
        assert caught.value.details == {"moved_tags": ["v1"]}


def test_a_remote_that_is_away_is_told_without_its_password(vendor: Path, tmp_path: Path) -> None:
    checkout = str(tmp_path / "shop")
    run("git", "clone", "--quiet", str(vendor), checkout, cwd=tmp_path)
    for update in (_git.update_tags, _git.update_mirror):
        with pytest.raises(EcommusError) as caught:
            update(checkout, "http://shop:geheim@127.0.0.1:1/x.git")
        assert caught.value.message.startswith("git fetch failed: fatal: unable to access 'http://")
        assert "geheim" not in caught.value.message
        assert "deploy key" in caught.value.remedy


def test_a_release_is_cloned_with_the_remote_of_the_vendor(vendor: Path, tmp_path: Path) -> None:
    mirror, release = str(tmp_path / "repo.git"), str(tmp_path / "release")
    _git.update_mirror(mirror, str(vendor))
    first = run("git", "rev-parse", "v1", cwd=vendor)
    _git.clone_release(mirror, first, release, "https://vendor/x.git")
    assert _git.remote_of(release) == "https://vendor/x.git"
    assert _git.remote_of(mirror) is None
    assert ((tmp_path / "release/app.ts").read_text(), _git.commit_of(release, "HEAD")) == ("one", first)
    assert run("git", "branch", "--show-current", cwd=Path(release)) == ""
    with pytest.raises(EcommusError) as caught:
        _git.clone_release(mirror, first, release, "https://vendor/x.git")
    assert caught.value.message.startswith(f"git clone failed: fatal: destination path '{release}' already exists")
    assert "disk" in caught.value.remedy


def test_what_the_shop_has_changed_is_seen(vendor: Path) -> None:
    assert _git.changed_files(str(vendor)) == []
    (vendor / "app.ts").write_text("mine")
    (vendor / "new.ts").write_text("mine")
    assert _git.changed_files(str(vendor)) == ["M app.ts", "?? new.ts"]
    assert _git.tracked_files(str(vendor), "plugins") == ["plugins/a ț/index.ts", "plugins/a ț/package.json"]
    assert _git.tracked_files(str(vendor), "none") == []
    with pytest.raises(EcommusError) as caught:
        _git.check_out(str(vendor), "v1")
    assert caught.value.message.startswith(f"git checkout v1 fails in {vendor}: error: Your local changes")
    assert "what is in the way" in caught.value.remedy


def test_what_is_no_checkout_is_named(tmp_path: Path) -> None:
    for ask, name in ((_git.changed_files, "status"), (lambda checkout: _git.tracked_files(checkout, "."), "ls-files")):
        with pytest.raises(EcommusError) as caught:
            ask(str(tmp_path))
        assert caught.value.message.startswith(f"git {name} fails in {tmp_path}: fatal: not a git repository")
        assert "git checkout" in caught.value.remedy


def test_files_of_a_commit_are_written_out(vendor: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    mirror = str(tmp_path / "repo.git")
    _git.update_mirror(mirror, str(vendor))
    _git.export(mirror, "v1", ["plugins"], (".json",), str(target))
    assert [str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()] == ["plugins/a ț/package.json"]
    assert (target / "plugins/a ț/package.json").read_text() == "one"
    _git.export(mirror, "v1", ["plugins"], (".none",), "/none")
    with pytest.raises(EcommusError) as caught:
        _git.export(mirror, "v9", ["."], (".ts",), str(target))
    assert (caught.value.message, caught.value.remedy) == ("git cannot list v9: fatal: Not a valid object name v9", "fetch it again")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("hint: x\nfatal: it broke\nerror: more\n", "fatal: it broke"),
        ("hint: x\nerror: it broke\n", "error: it broke"),
        ("To /x\n ! [rejected] v1\n", "! [rejected] v1"),
        ("hint: x\nhint: y\n", "hint: x"),
        ("\n", "exit code 7"),
        ("fatal: ssh://ann:geheim@host/x and https://t0ken@host/y", "fatal: ssh://***@host/x and https://***@host/y"),
    ],
)
def test_of_what_git_says_the_telling_line_is_quoted(error: str, reason: str) -> None:
    with pytest.raises(EcommusError) as caught:
        _git._must(Result(("git",), 7, "", error), "it failed", "mend it")
    assert (caught.value.message, caught.value.remedy) == (f"it failed: {reason}", "mend it")
    assert _git._must(Result(("git",), 0, " out \n", error), "it failed", "mend it") == "out"


def test_git_asks_nobody_and_speaks_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "ro_RO.UTF-8")
    shown = _git.git(["-c", "alias.env=!env", "env"], variables={"GIT_INDEX_FILE": "/i"}).output.splitlines()
    assert {"GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "GIT_SSH_COMMAND=ssh -o BatchMode=yes", "GIT_INDEX_FILE=/i"} <= set(shown)


def test_a_repository_of_somebody_else_has_its_own_remedy() -> None:
    with pytest.raises(EcommusError) as caught:
        _git._must(Result(("git",), 128, "", "fatal: detected dubious ownership in repository at '/x'"), "it failed", "mend it")
    assert "become_user" in caught.value.remedy
