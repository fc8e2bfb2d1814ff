"""What an upgrade leans on fails under it: PostgreSQL, pm2, the disk, the workers; or somebody else is at work."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from aftermath import NEW, OLD, Scene
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ecommus_lab.lab import Lab
from interruption import state
from moments import LONG, enters, waits

REPO = Path(__file__).resolve().parents[2]
RESTART = 4  # seconds that PostgreSQL is away when a package upgrade restarts it
MIB = 1024 * 1024


def failed(scene: Scene, outcome: object, expected: str, problem: str) -> str:
    """The playbook failed as it should; what the report says that can be done."""
    assert outcome.code == 2, outcome.said[-5000:]
    report = outcome.report(scene.name)
    assert report["outcome"] == expected, report["problem"]
    assert re.search(problem, report["problem"]), report["problem"]
    assert report["remedy"]
    return report["remedy"]


# --- PostgreSQL ------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["dump", "migrations"])
def test_postgres_is_restarted(scene: Scene, what: str) -> None:
    """As by a package upgrade: the way back waits for it."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    scene.lab.postgres.stop()
    time.sleep(RESTART)
    scene.lab.postgres.start()
    failed(scene, running.outcome(), "failed", "shutting down|terminating connection|connection|dump")
    scene.serves(OLD, "rolled_back")


@pytest.mark.parametrize("what", ["dump", "migrations"])
def test_postgres_stays_away(scene: Scene, what: str) -> None:
    """Without its database nothing can be undone; that is said, and when it is there again the rollback goes on."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    scene.lab.postgres.stop()
    # Before the migrations nothing of the data is to be undone, and only the proof meets the missing database.
    remedy = failed(scene, running.outcome(), "rollback_failed", "THE WAY BACK FAILED.*(cannot connect|unreachable)")
    assert "rollback.yml" in remedy
    scene.lab.postgres.start()
    refused = scene.upgrade()
    failed(scene, refused, "refused", "the way back of the run .* failed")
    again = scene.rollback()
    assert again.code == 0, again.said[-5000:]
    scene.serves(OLD, "succeeded")


def test_postgres_stops_in_the_swap_of_a_rollback(scene: Scene) -> None:
    assert scene.upgrade().code == 0
    # The server ends our own session as well.
    with contextlib.suppress(psycopg.OperationalError), scene.lab.postgres.connect() as connection:
        # Makes the first rename wait, and with it the moment last.
        connection.execute("BEGIN")
        connection.execute(f'COMMENT ON DATABASE "{scene.shop.shop.database.name}" IS NULL')
        running = scene.start(playbook="rollback")
        running.until(lambda: waits("ALTER DATABASE")(scene))
        scene.lab.postgres.stop()
    failed(scene, running.outcome(), "rollback_failed", "PostgreSQL refused|cannot connect")
    scene.lab.postgres.start()
    again = scene.rollback()
    assert again.code == 0, again.said[-5000:]
    scene.serves(OLD, "succeeded")


# --- pm2 -------------------------------------------------------------------------------------------


def test_pm2_is_dead_before(scene: Scene) -> None:
    """Nothing is touched, and above all no empty pm2 is started."""
    scene.shop.pm2.kill()
    failed(scene, scene.upgrade(), "refused", "no pm2 daemon")
    assert scene.shop.pm2.daemon() is None
    assert not (state(scene.shop) / "journal.json").exists()
    scene.shop.pm2("resurrect")
    scene.serves(OLD)


@pytest.mark.parametrize("what", ["candidate", "cut-over, the new ones join", "cut-over, the old ones leave"])
def test_pm2_dies(scene: Scene, what: str) -> None:
    """pm2 takes all processes with it. The way back brings them up again."""
    running = scene.start()
    running.until(lambda: LONG[what](scene))
    for daemon in scene.daemons():
        os.kill(daemon, signal.SIGKILL)
    failed(scene, running.outcome(), "failed", "pm2")
    scene.serves(OLD, "rolled_back")


def test_pm2_died_before_a_rollback_and_a_cron_job_has_started_an_empty_one(scene: Scene) -> None:
    """Even that is a shop which a rollback can bring back."""
    assert scene.upgrade().code == 0
    for daemon in scene.daemons():
        os.kill(daemon, signal.SIGKILL)
        _process.wait_gone([daemon], 5)
    scene.shop.pm2("ls")
    assert scene.shop.processes() == []
    outcome = scene.rollback()
    assert outcome.code == 0, outcome.said[-5000:]
    scene.serves(OLD, "succeeded")


@pytest.fixture
def other_pm2(lab: Lab) -> str:
    """The directory of another version's pm2 command."""
    home = lab.config.cache / "pm2-6.0.14"
    if not (home / "node_modules/.bin/pm2").exists():
        npm = [str(lab.config.bin / "npm"), "install", "--no-audit", "--no-fund", "--prefix", str(home), "pm2@6.0.14"]
        subprocess.run(npm, env={**os.environ, "PATH": f"{lab.config.bin}:{os.environ['PATH']}"}, check=True, timeout=300)
    return str(home / "node_modules/.bin")


def test_pm2_command_is_of_another_version(scene: Scene, other_pm2: str) -> None:
    """As after npm install -g pm2 without pm2 update: known before anything is touched."""
    outcome = scene.upgrade(ecommus_path_prefix=[other_pm2, str(scene.lab.config.bin)])
    remedy = failed(scene, outcome, "refused", r"the pm2 daemon is version 7\.\S+, the pm2 command 6\.0\.14")
    assert "pm2 update" in remedy
    scene.serves(OLD)


# --- the workers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "ends_as", "run", "problem"),
    [
        ({}, "failed", "rolled_back", r"did not end within 15000 ms and was killed by pm2"),
        ({"ecommus_workers_stop_timeout": 60}, "refused", None, r"pm2 would kill .* after 15000 ms, .*_stop_timeout is 60 s"),
    ],
    ids=["and are killed", "in the time that they are said to need"],
)
def test_workers_do_not_stop(scene: Scene, given: dict[str, object], ends_as: str, run: str | None, problem: str) -> None:
    """A job that takes longer than pm2 lets them: nothing goes on over a job that was cut off."""
    with scene.shop.connect() as connection:
        connection.execute("INSERT INTO jobs (kind, payload) VALUES ('noop', '{\"sleep_ms\": 120000}')")
    outcome = scene.upgrade(**given)
    failed(scene, outcome, ends_as, problem)
    scene.serves(OLD, run)
    scene.nobody_noticed()


# --- the disk --------------------------------------------------------------------------------------


class Disk:
    """A real file system with little room, which something fills up."""

    def __init__(self, place: Path, mib: int) -> None:
        self.place = place
        self._ballast = place / "ballast"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(place)], check=True)

    def fill(self) -> None:
        """Until not a byte is left."""
        with self._ballast.open("wb", buffering=0) as file:
            block = bytes(MIB)
            while block:
                try:
                    file.write(block)
                except OSError:
                    block = block[: len(block) // 2]

    def free(self) -> None:
        self._ballast.unlink()

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)


@pytest.fixture
def mounted() -> Iterator[Callable[..., Disk]]:
    """``mounted(directory, mib)``: a small file system in the place of a directory."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False).returncode:
        pytest.skip("only root may mount a small file system")
    disks: list[Disk] = []

    def mount(place: Path, mib: int) -> Disk:
        place.mkdir(parents=True, exist_ok=True)
        disks.append(Disk(place, mib))
        return disks[-1]

    yield mount
    for disk in disks:
        disk.unmount()


def test_disk_of_the_snapshots_is_full(scene: Scene, mounted: Callable[..., Disk]) -> None:
    """The checks found room, and then somebody else took it."""
    disk = mounted(scene.shop.shop.snapshot_dir, 128)
    running = scene.start()
    running.until(lambda: LONG["dump"](scene))
    disk.fill()
    failed(scene, running.outcome(), "failed", "No space left on device|has 0 MiB free|has only 0 MiB left")
    assert [path.name for path in disk.place.iterdir()] == ["ballast"]
    scene.serves(OLD, "rolled_back")
    scene.nobody_noticed()


@pytest.mark.parametrize("moment", ["npm ci", "quiesce"])
def test_disk_of_the_shop_is_full(lab: Lab, mounted: Callable[..., Disk], make_scene: Callable[..., Scene], moment: str) -> None:
    """Releases, journal, pm2's logs: nothing can be written any more. With room again, the same command brings it to its end."""
    shop = lab.shop("boreal").shop
    lab.installer("boreal").pm2.kill()
    disk = mounted(shop.directory, 250)
    scene = make_scene("boreal")
    scene.undo.callback(scene.shop.pm2.kill)
    running = scene.start()
    running.until(lambda: (LONG.get(moment) or enters(moment))(scene))
    disk.fill()
    outcome = running.outcome()
    assert outcome.code == 2, outcome.said[-5000:]
    assert re.search(r"No space left on device|ENOSPC|the disk is full|has 0 MiB free", outcome.report(scene.name)["problem"])
    assert scene.shop.wait_healthy(20) == []
    disk.free()
    again = scene.upgrade()
    assert again.code == 0, again.said[-5000:]
    scene.serves(NEW, "succeeded")


# --- somebody else ---------------------------------------------------------------------------------


def test_second_controller(scene: Scene) -> None:
    """Refused, and told who works since when and what to do; the first one is not disturbed."""
    first = scene.start()
    first.until(lambda: enters("stage")(scene))
    for second in (scene.upgrade, scene.rollback):
        remedy = failed(scene, second(), "refused", rf"holds the lock of this install since .* for the run {scene.last_run['id']}")
        assert f"ecommus_take_lock={scene.last_run['id']}" in remedy
    assert first.process.poll() is None, "the first one was too fast to show anything"
    outcome = first.outcome()
    assert outcome.code == 0, outcome.said[-5000:]
    scene.serves(NEW, "succeeded")
