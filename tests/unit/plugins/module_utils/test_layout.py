"""Adoption and switching of a real checkout, watched by a reader that must never find a path missing."""

from __future__ import annotations

import os
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _files, _git, _layout, _release
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

SHARED = [".env", "uploads", "keys"]


def git(directory: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(["git", *arguments], cwd=directory, env=env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A vendor's repository with the releases v1.0.0 and v1.1.0."""
    work = tmp_path / "vendor"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / ".gitignore").write_text(".env\nuploads/\nkeys/\n")
    for version in ("v1.0.0", "v1.1.0"):
        (work / "code.txt").write_text(version)
        git(work, "add", "-A")
        git(work, "commit", "-qm", version)
        git(work, "tag", "-a", version, "-m", version)
    return work


@pytest.fixture
def paths(tmp_path: Path, remote: Path) -> _layout.Paths:
    """An in-place install of v1.0.0 with files of its own."""
    root = tmp_path / "opt" / "shop"
    root.parent.mkdir()
    git(tmp_path, "clone", "-q", str(remote), str(root))
    git(root, "checkout", "-q", "v1.0.0")
    (root / ".env").write_text("A=1\n")
    (root / "uploads").mkdir()
    (root / "uploads" / "picture").write_text("p")
    return _layout.Paths(str(root), f"{root}.d")


def stage(paths: _layout.Paths, remote: Path, version: str = "v1.1.0") -> str:
    commit = _git.remote_tags(str(remote))[version]
    _release.fetch(paths, str(remote), version, commit)
    directory = paths.release(version, commit)
    _release.check_out(paths, directory, str(remote), version, commit, SHARED)
    _layout.write_marker(directory, prepared="built")
    return directory


def test_observe_names_version_and_layout(paths: _layout.Paths) -> None:
    commit = git(Path(paths.root), "rev-parse", "HEAD")
    installed = _layout.observe(paths)
    assert installed.as_dict() == {"layout": "in_place", "directory": paths.root, "commit": commit, "version": "v1.0.0"}
    git(Path(paths.root), "tag", "nightly")
    git(Path(paths.root), "tag", "v1.0.1-rc.1")
    assert _layout.observe(paths).version == "v1.0.1-rc.1"
    git(Path(paths.root), "commit", "--allow-empty", "-qm", "between tags")
    assert _layout.observe(paths).version is None


def test_observe_refuses_what_it_does_not_understand(paths: _layout.Paths, tmp_path: Path) -> None:
    def refused(root: Path, says: str, remedy: str) -> None:
        with pytest.raises(EcommusError) as caught:
            _layout.observe(_layout.Paths(str(root), str(tmp_path / "base")))
        assert caught.value.message == says
        assert remedy in caught.value.remedy

    nowhere, empty, link, checkout = (tmp_path / name for name in ("nowhere", "empty", "link", "checkout"))
    refused(nowhere, f"there is no install at {nowhere}", "ecommus_root")
    empty.mkdir()
    refused(empty, f"{empty} is not a git checkout", "ecommus_root")
    link.symlink_to(nowhere)
    remedy = f"point {tmp_path}/base/current at a release in {tmp_path}/base/releases"
    refused(link, f"{link} leads to {nowhere}, which does not exist", remedy)
    link.unlink()
    link.symlink_to(paths.root)
    refused(link, f"{link} is a link to {paths.root}, which is not a release in {tmp_path}/base/releases", "ecommus_base")
    git(tmp_path, "init", "-q", str(checkout))
    refused(checkout, f"{checkout} has no commit", "ecommus_root")
    (checkout / ".git/HEAD").unlink()
    with pytest.raises(EcommusError, match=f"git status fails in {checkout}: fatal: not a git repository"):
        _layout.observe(_layout.Paths(str(checkout), str(tmp_path / "base")))


def test_adoption_is_invisible_to_a_reader(paths: _layout.Paths) -> None:
    """On the way back from it, to one who asks again: a link may have been read just before what it leads to went."""
    missing: list[str] = []
    stop, going_back = threading.Event(), threading.Event()

    def misses(name: str) -> bool:
        try:
            Path(paths.root, name).read_text()
        except OSError:
            return True
        return False

    def read() -> None:
        while not stop.is_set():
            for name in (".env", "uploads/picture", "code.txt"):
                exchanges = len(SHARED) + 1 if going_back.is_set() else 0
                if all(misses(name) for _attempt in range(1 + exchanges)):
                    missing.append(name)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _round in range(25):
            assert _layout.adopt(paths, SHARED)
            going_back.set()
            assert _layout.restore_in_place(paths, SHARED)
            time.sleep(0.002)  # whoever is at it ends
            going_back.clear()
    finally:
        stop.set()
        reader.join()
    assert missing == []


def test_the_reader_would_have_noticed_the_ordinary_way(paths: _layout.Paths, tmp_path: Path) -> None:
    """Rename and link, as a script would do it, leaves a gap that the same reader finds."""
    os.rename(paths.root, tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        Path(paths.root, "code.txt").read_text()


def test_adoption_keeps_files_and_is_idempotent(paths: _layout.Paths) -> None:
    inode = os.stat(f"{paths.root}/code.txt").st_ino
    assert _layout.adopt(paths, SHARED) is True
    assert _layout.adopt(paths, SHARED) is False
    installed = _layout.observe(paths)
    assert installed.layout == "releases"
    assert installed.version == "v1.0.0"
    assert os.stat(f"{paths.root}/code.txt").st_ino == inode
    assert Path(paths.shared, ".env").read_text() == "A=1\n"
    assert os.readlink(f"{installed.directory}/.env") == "../../shared/.env"
    assert _git.changed_files(installed.directory) == []


def test_adoption_goes_on_after_a_kill_before_the_files_were_shared(paths: _layout.Paths) -> None:
    _layout.adopt(paths, [])
    assert not os.path.exists(f"{paths.shared}/.env")
    assert _layout.adopt(paths, SHARED) is True
    assert Path(paths.shared, ".env").read_text() == "A=1\n"


def test_in_place_again_is_what_it_was(paths: _layout.Paths) -> None:
    before = sorted(p.relative_to(paths.root) for p in Path(paths.root).rglob("*") if ".git" not in p.parts)
    _layout.adopt(paths, SHARED)
    assert _layout.restore_in_place(paths, SHARED) is True
    after = sorted(p.relative_to(paths.root) for p in Path(paths.root).rglob("*") if ".git" not in p.parts and p.name != _layout.MARKER)
    assert after == before
    assert not os.path.islink(paths.root)
    assert not os.path.islink(f"{paths.root}/.env")


def test_adoption_over_two_file_systems_is_refused_before_anything_changes(paths: _layout.Paths) -> None:
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(paths.root).st_dev:
        pytest.skip("no second file system here")
    elsewhere = _layout.Paths(paths.root, f"/dev/shm/ecommus-test-{os.getpid()}")
    try:
        with pytest.raises(EcommusError, match="different file systems"):
            _layout.adopt(elsewhere, SHARED)
        assert _layout.observe(paths).layout == "in_place"
    finally:
        subprocess.run(["rm", "-rf", elsewhere.base], check=True)


def test_every_place_of_an_install_has_its_path() -> None:
    paths = _layout.Paths("/opt/shop", "/opt/shop.d")
    places = (paths.repository, paths.releases, paths.shared, paths.current, paths.release("v1.4.0", "0123456789"))
    names = ("repo.git", "releases", "shared", "current", "releases/v1.4.0-01234567")
    assert places == tuple(f"/opt/shop.d/{name}" for name in names)


def test_a_marker_is_added_to_and_is_no_change_for_git(paths: _layout.Paths) -> None:
    assert _layout.read_marker(paths.root) == {}
    _layout.write_marker(paths.root, version="v1.0.0", prepared="installed")
    _layout.write_marker(paths.root, prepared="built")
    assert _layout.read_marker(paths.root) == {"version": "v1.0.0", "prepared": "built"}
    assert _git.changed_files(paths.root) == []
    assert Path(paths.root, ".git/info/exclude").read_text().count(f"/{_layout.MARKER}\n") == 1
    marker = Path(paths.root, _layout.MARKER)
    assert marker.stat().st_mode & 0o777 == 0o644
    for content in ("{", "[]"):
        marker.write_text(content)
        assert _layout.read_marker(paths.root) == {}


def test_files_of_the_shop_take_the_place_of_those_of_the_release(paths: _layout.Paths, tmp_path: Path) -> None:
    release = tmp_path / "release"
    (release / ".git").mkdir(parents=True)
    for name in ("uploads", "keys", "deep/conf"):
        Path(paths.shared, name).mkdir(parents=True)
    Path(paths.shared, ".env").write_text("A=1")
    (release / "uploads/of the release").mkdir(parents=True)
    (release / ".env").write_text("A=2")
    (release / "keys").symlink_to("elsewhere")
    names = [".env", "uploads", "keys", "deep/conf", "none"]
    assert _layout.share(paths, str(release), names) == names[:4]
    assert {name: os.path.realpath(release / name) for name in names[:4]} == {name: f"{paths.shared}/{name}" for name in names[:4]}
    assert not os.path.isabs(os.readlink(release / "deep/conf"))
    assert (release / ".git/info/exclude").read_text().splitlines() == [f"/{name}" for name in names[:4]]
    assert _layout.share(paths, str(release), names) == []


def test_two_of_a_file_are_for_the_operator_to_decide(paths: _layout.Paths) -> None:
    Path(paths.shared).mkdir(parents=True)
    Path(paths.shared, ".env").write_text("A=2\n")
    with pytest.raises(EcommusError) as caught:
        _layout.adopt(paths, SHARED)
    live = _layout.observe(paths).directory
    assert caught.value.message == f"{paths.shared}/.env exists already, and so does {live}/.env"
    assert "decide which" in caught.value.remedy
    Path(paths.shared, ".env").unlink()
    Path(paths.shared, ".env").symlink_to("left by an attempt that was killed")
    assert _layout.adopt(paths, SHARED) is True
    assert Path(paths.shared, ".env").read_text() == "A=1\n"


def of_the_next_release(paths: _layout.Paths, remote: Path, name: str) -> str:
    """What *name* leads to once the next release is live."""
    new = stage(paths, remote)
    _layout.activate(paths, new)
    return os.path.realpath(f"{paths.root}/{name}")


@pytest.mark.parametrize("target", ["{disk}/uploads", "../../disk/uploads"])
def test_a_shared_path_that_is_a_link_to_another_disk_stays_with_the_shop(
    paths: _layout.Paths, remote: Path, tmp_path: Path, target: str
) -> None:
    disk = tmp_path / "disk"
    (disk / "uploads").mkdir(parents=True)
    (disk / "uploads/picture").write_text("p")
    Path(paths.root, "uploads/picture").unlink()
    Path(paths.root, "uploads").rmdir()
    Path(paths.root, "uploads").symlink_to(target.format(disk=disk))
    assert _layout.unshared(paths, SHARED) == [".env", "uploads"]
    assert _layout.adopt(paths, SHARED) is True
    assert (_layout.adopt(paths, SHARED), _layout.unshared(paths, SHARED)) == (False, [])
    assert os.readlink(f"{paths.shared}/uploads") == f"{disk}/uploads"
    assert os.readlink(f"{paths.root}/uploads") == "../../shared/uploads"
    assert Path(paths.root, "uploads/picture").read_text() == "p"
    assert of_the_next_release(paths, remote, "uploads") == f"{disk}/uploads"
    assert _layout.restore_in_place(paths, SHARED) is True
    assert os.readlink(f"{paths.root}/uploads") == f"{disk}/uploads"
    assert sorted(os.listdir(paths.shared)) == []


def test_a_link_that_leads_nowhere_is_kept_as_it_is(paths: _layout.Paths) -> None:
    Path(paths.root, "keys").symlink_to("/mnt/not/mounted/keys")
    assert _layout.adopt(paths, SHARED) is True
    assert (_layout.adopt(paths, SHARED), _layout.unshared(paths, SHARED)) == (False, [])
    assert os.readlink(f"{paths.shared}/keys") == "/mnt/not/mounted/keys"


def test_a_link_of_somebody_elses_in_the_shared_directory_becomes_a_link_that_is_true_in_place(
    paths: _layout.Paths, tmp_path: Path
) -> None:
    _layout.adopt(paths, SHARED)
    os.rename(f"{paths.shared}/uploads", tmp_path / "disk")
    Path(paths.shared, "uploads").symlink_to(os.path.relpath(tmp_path / "disk", paths.shared))
    assert _layout.restore_in_place(paths, SHARED) is True
    assert Path(paths.root, "uploads/picture").read_text() == "p"


def test_a_link_into_the_checkout_itself_is_refused_before_anything_changes(paths: _layout.Paths) -> None:
    Path(paths.root, "storage").mkdir()
    for target in ("storage", f"{paths.root}/storage"):
        Path(paths.root, "keys").symlink_to(target)
        with pytest.raises(EcommusError) as caught:
            _layout.adopt(paths, SHARED)
        assert caught.value.message == f"{paths.root}/keys is a link to {paths.root}/storage, which stays behind with its release"
        assert "ecommus_shared_paths" in caught.value.remedy
        assert _layout.observe(paths).layout == "in_place"
        Path(paths.root, "keys").unlink()


@pytest.fixture
def mounted(paths: _layout.Paths) -> t.Iterator[t.Callable[[str, str], None]]:
    """Binds a directory to another place, which a ``st_dev`` does not tell."""

    def mount(source: str, place: str) -> None:
        os.makedirs(place, exist_ok=True)
        if subprocess.run(["mount", "--bind", source, place], check=False, capture_output=True).returncode:
            pytest.skip("mounting needs root")

    yield mount
    for place in _files.mounts_below(os.path.dirname(paths.root)):
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_mount_point_is_refused_until_it_is_mounted_in_the_shared_directory_too(
    paths: _layout.Paths, remote: Path, tmp_path: Path, mounted: t.Callable[[str, str], None]
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk/of the disk").write_text("d")
    mounted(str(tmp_path / "disk"), f"{paths.root}/uploads")
    with pytest.raises(EcommusError) as caught:
        _layout.adopt(paths, SHARED)
    assert caught.value.message == f"{paths.root}/uploads is a mount point, which cannot be moved to {paths.shared}"
    assert f"mount --bind {paths.root}/uploads {paths.shared}/uploads" in caught.value.remedy
    assert _layout.observe(paths).layout == "in_place"
    mounted(f"{paths.root}/uploads", f"{paths.shared}/uploads")
    assert _layout.adopt(paths, SHARED) is True
    assert _layout.unshared(paths, SHARED) == []
    adopted = _layout.observe(paths).directory
    assert of_the_next_release(paths, remote, "uploads") == f"{paths.shared}/uploads"
    assert Path(paths.root, "uploads/of the disk").read_text() == "d"
    with pytest.raises(EcommusError, match=f"{adopted}/uploads is mounted"):
        _release.remove(paths, adopted)
    assert (tmp_path / "disk/of the disk").exists()
    assert _layout.restore_in_place(paths, SHARED) is True
    assert os.readlink(f"{paths.root}/uploads") == f"{paths.shared}/uploads"
    assert Path(paths.root, "uploads/of the disk").read_text() == "d"


def test_adoption_goes_on_after_it_could_share_only_a_part(paths: _layout.Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, calls = _files.exchange, []

    def busy(first: str, second: str) -> None:
        calls.append(first)
        if len(calls) == 3:
            raise EcommusError("busy", "try again")
        exchange(first, second)

    monkeypatch.setattr(_files, "exchange", busy)
    with pytest.raises(EcommusError, match="busy"):
        _layout.adopt(paths, SHARED)
    assert (_layout.observe(paths).layout, _layout.unshared(paths, SHARED)) == ("releases", ["uploads"])
    assert _layout.adopt(paths, SHARED) is True
    assert _layout.unshared(paths, SHARED) == []
    assert Path(paths.shared, "uploads/picture").read_text() == "p"


def test_what_came_into_being_in_a_later_release_is_shared_but_not_what_it_brought(paths: _layout.Paths, remote: Path) -> None:
    (remote / "conf").mkdir()
    (remote / "conf/of the vendor").write_text("v")
    git(remote, "add", "-A")
    git(remote, "commit", "-qm", "v1.2.0")
    git(remote, "tag", "-a", "v1.2.0", "-m", "v1.2.0")
    names = [*SHARED, "conf"]
    _layout.adopt(paths, names)
    new = stage(paths, remote, "v1.2.0")
    _layout.activate(paths, new)
    assert _layout.unshared(paths, names) == []
    Path(new, "keys").mkdir()
    assert _layout.unshared(paths, names) == ["keys"]
    assert _layout.adopt(paths, names) is True
    assert os.readlink(f"{new}/keys") == "../../shared/keys"


def test_a_release_that_is_in_the_way_stops_the_adoption(paths: _layout.Paths) -> None:
    commit = git(Path(paths.root), "rev-parse", "HEAD")
    release = paths.release("v1.0.0", commit)
    os.makedirs(release)
    with pytest.raises(EcommusError) as caught:
        _layout.adopt(paths, SHARED)
    assert caught.value.message == f"{release} exists already"
    assert "remove it" in caught.value.remedy
    os.rmdir(release)
    _layout.adopt(paths, SHARED)
    assert _layout.read_marker(release) == {"version": "v1.0.0", "commit": commit, "adopted": True, "prepared": "built"}
    assert os.readlink(paths.current) == f"releases/{os.path.basename(release)}"


def test_switching_goes_there_and_back(paths: _layout.Paths, remote: Path) -> None:
    _layout.adopt(paths, SHARED)
    old = _layout.observe(paths).directory
    new = stage(paths, remote)
    assert Path(paths.root, "code.txt").read_text() == "v1.0.0"
    assert _layout.activate(paths, new) == old
    assert Path(paths.root, "code.txt").read_text() == "v1.1.0"
    assert Path(paths.root, ".env").read_text() == "A=1\n"
    assert _layout.activate(paths, old) == new
    assert _layout.observe(paths).version == "v1.0.0"


def test_a_release_that_is_not_built_cannot_become_live(paths: _layout.Paths, remote: Path) -> None:
    _layout.adopt(paths, SHARED)
    new = stage(paths, remote)
    _layout.write_marker(new, prepared="installed")
    with pytest.raises(EcommusError) as caught:
        _layout.activate(paths, new)
    assert caught.value.message == f"{new} is not a prepared release"
    assert "run the upgrade again" in caught.value.remedy
    assert _layout.observe(paths).version == "v1.0.0"


def test_a_live_release_that_somebody_else_has_set_up_can_be_activated_again(paths: _layout.Paths, remote: Path) -> None:
    """A run that was killed before it moved the link goes back to where it is."""
    _layout.adopt(paths, SHARED)
    live = _layout.observe(paths).directory
    Path(live, _layout.MARKER).unlink()
    assert _layout.activate(paths, live) == live
    assert _layout.read_marker(live) == {"version": "v1.0.0", "commit": git(Path(live), "rev-parse", "HEAD"), "prepared": "built"}


def test_the_live_release_is_never_removed(paths: _layout.Paths, remote: Path) -> None:
    _layout.adopt(paths, SHARED)
    new = stage(paths, remote)
    _layout.activate(paths, new)
    with pytest.raises(EcommusError, match="live release"):
        _release.remove(paths, new)
    with pytest.raises(EcommusError, match="is not a release"):
        _release.remove(paths, paths.shared)
    assert Path(new, "code.txt").exists()


def test_a_release_that_a_process_runs_from_is_never_removed(paths: _layout.Paths, remote: Path) -> None:
    _layout.adopt(paths, SHARED)
    new = stage(paths, remote)
    sleeper = subprocess.Popen(["sleep", "60"], cwd=new)
    try:
        with pytest.raises(EcommusError, match=str(sleeper.pid)):
            _release.remove(paths, new)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert _release.remove(paths, new) is True


def test_a_release_is_checked_out_once_and_linked_to_what_is_shared_since(paths: _layout.Paths, remote: Path) -> None:
    commit = _git.remote_tags(str(remote))["v1.1.0"]
    _layout.adopt(paths, [".env"])
    assert _release.fetch(paths, str(remote), "v1.1.0", commit) is True
    assert _release.fetch(paths, str(remote), "v1.1.0", commit) is False
    directory = paths.release("v1.1.0", commit)
    given = (paths, directory, str(remote), "v1.1.0", commit)
    assert _release.check_out(*given, [".env"]) is True
    assert _layout.read_marker(directory) == {"version": "v1.1.0", "commit": commit, "prepared": "checked_out"}
    assert _release.check_out(*given, [".env"]) is False
    Path(paths.shared, "keys").mkdir()
    assert _release.check_out(*given, SHARED) is True
    assert sorted(name for name in SHARED if os.path.islink(f"{directory}/{name}")) == [".env", "keys"]


def test_a_tag_that_is_another_here_than_there_is_refused(paths: _layout.Paths, remote: Path) -> None:
    here = _git.remote_tags(str(remote))["v1.1.0"]
    for version, found in (("v1.1.0", here), ("v9.9.9", "nothing")):
        with pytest.raises(EcommusError) as caught:
            _release.fetch(paths, str(remote), version, "c" * 40)
        assert caught.value.message == f"the tag {version} names {found} here and {'c' * 40} in the remote"
        assert "ask the vendor" in caught.value.remedy


def test_half_a_clone_is_made_anew(paths: _layout.Paths, remote: Path) -> None:
    _layout.adopt(paths, SHARED)
    commit = _git.remote_tags(str(remote))["v1.1.0"]
    half = paths.release("v1.1.0", commit)
    os.makedirs(f"{half}/.git")
    assert stage(paths, remote) == half
    assert Path(half, "code.txt").read_text() == "v1.1.0"
    assert _git.changed_files(half) == []
    assert _git.remote_of(half) == str(remote)


def test_a_moved_tag_is_refused(paths: _layout.Paths, remote: Path) -> None:
    stage(paths, remote)
    git(remote, "tag", "-f", "-a", "v1.1.0", "-m", "moved", "v1.0.0")
    with pytest.raises(EcommusError, match=r"moved the tag v1\.1\.0"):
        _release.fetch(paths, str(remote), "v1.1.0", _git.remote_tags(str(remote))["v1.1.0"])


def test_link_atomic_does_not_replace_a_directory(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(EcommusError, match="in the way"):
        _files.link_atomic("elsewhere", str(tmp_path / "here"))


def test_a_dead_remote_is_said_without_its_credentials(paths: _layout.Paths) -> None:
    with pytest.raises(EcommusError) as caught:
        _git.remote_tags("http://user:hunter22@127.0.0.1:9/none.git")
    assert "hunter22" not in str(caught.value)
    assert "git remote does not answer" in str(caught.value)


def test_build_caches_are_copied_and_not_shared(paths: _layout.Paths, remote: Path) -> None:
    cache = Path(paths.root, "apps", "admin", ".next", "cache")
    cache.mkdir(parents=True)
    (cache / "entry").write_text("old")
    new = stage(paths, remote)
    assert _release.take_caches(paths.root, new, ["apps/*/.next/cache", "none/*"]) == ["apps/admin/.next/cache"]
    (Path(new) / "apps/admin/.next/cache/entry").write_text("new")
    assert (cache / "entry").read_text() == "old"
    assert _release.take_caches(paths.root, new, ["apps/*/.next/cache"]) == []
