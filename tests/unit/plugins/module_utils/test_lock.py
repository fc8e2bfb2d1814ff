from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _lock
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._lock import Claim, Controller, Holder, Lock, judge

ANN = Controller("ann", "ctl", "boot pid:[1]", 100)
HOLDER = Holder("run-1", ANN, "boot-a", "2026-11-22T20:00:00Z")


@pytest.mark.parametrize(
    ("claim", "age", "finished", "because"),
    [
        (Claim(ANN, "boot-a"), 9e9, False, ""),
        (Claim(dataclasses.replace(ANN, pid=101), "boot-a"), 10, False, None),
        (Claim(dataclasses.replace(ANN, owner="bob"), "boot-a"), 3600, False, None),
        (Claim(dataclasses.replace(ANN, pid=101), "boot-a"), 3601, False, "no sign of life for 60 minutes"),
        (Claim(dataclasses.replace(ANN, pid=101), "boot-a", gone="run-1"), 10, False, "process on the controller has ended"),
        (Claim(dataclasses.replace(ANN, pid=101), "boot-a", gone="run-0"), 10, False, None),
        (Claim(dataclasses.replace(ANN, host="b"), "boot-a", take="run-1"), 10, False, "asked for"),
        (Claim(dataclasses.replace(ANN, host="b"), "boot-a", take="run-0"), 10, False, None),
        (Claim(dataclasses.replace(ANN, host="b"), "boot-b"), 10, False, "restarted"),
        (Claim(dataclasses.replace(ANN, host="b"), "boot-a"), 10, True, "has ended"),
    ],
)
def test_the_lock_changes_hands_only_for_a_reason(claim: Claim, age: float, finished: bool, because: str | None) -> None:
    found = judge(HOLDER, claim, age=age, finished=finished)
    assert found == because if not because else because in (found or "")


def test_a_refusal_names_holder_run_time_and_remedy() -> None:
    refused = _lock.refusal(HOLDER, 12, 3600)
    assert refused.message == (
        "ann@ctl (pid 100) holds the lock of this install since 2026-11-22T20:00:00Z for the run run-1; its last step was 12 s ago"
    )
    assert "-e ecommus_take_lock=run-1" in refused.remedy and "60 minutes old" in refused.remedy
    controller = {"owner": "ann", "host": "ctl", "machine": "boot pid:[1]", "pid": 100}
    since = {"boot_id": "boot-a", "since": "2026-11-22T20:00:00Z"}
    assert refused.details == {"holder": {"run_id": "run-1", "controller": controller, **since}}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (dataclasses.replace(ANN, pid=7), True),
        (dataclasses.replace(ANN, owner="bob"), False),
        (dataclasses.replace(ANN, host="b"), False),
        (dataclasses.replace(ANN, machine="boot pid:[2]"), False),
    ],
)
def test_only_a_neighbour_can_see_that_a_process_is_gone(other: Controller, same: bool) -> None:
    assert ANN.same_place(other) is same


def test_without_a_machine_nobody_is_a_neighbour() -> None:
    nameless = dataclasses.replace(ANN, machine="")
    assert not nameless.same_place(nameless)


def test_every_step_shows_that_the_holder_lives(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path))
    assert lock.read() is None
    lock.write(HOLDER)
    assert lock.read() == HOLDER
    os.utime(lock.path, (time.time() - 500, time.time() - 500))
    assert lock.age() > 499
    lock.check("run-1", ANN)
    assert lock.age() < 5


@pytest.mark.parametrize(
    ("held", "run_id", "controller", "now"),
    [
        (True, "run-2", ANN, "ann@ctl (pid 100) has it since 2026-11-22T20:00:00Z for the run run-1"),
        (True, "run-1", dataclasses.replace(ANN, pid=101), "ann@ctl (pid 100) has it"),
        (False, "run-1", ANN, "nobody has it"),
    ],
)
def test_who_lost_the_lock_may_do_nothing_more(tmp_path: Path, held: bool, run_id: str, controller: Controller, now: str) -> None:
    lock = Lock(str(tmp_path))
    if held:
        lock.write(HOLDER)
    with pytest.raises(EcommusError) as caught:
        lock.check(run_id, controller)
    assert caught.value.message.startswith(f"the run {run_id} has lost the lock of this install: {now}")
    assert "nothing more was done" in caught.value.remedy
    assert caught.value.details == {"lock_lost": True}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"run_id": "r", "controller": {"who": "ann"}, "boot_id": "b", "since": "s"}'])
def test_a_damaged_lock_is_nobodys(tmp_path: Path, content: str) -> None:
    lock = Lock(str(tmp_path))
    Path(lock.path).write_text(content)
    with pytest.raises(EcommusError) as caught:
        lock.read()
    assert caught.value.message == f"{tmp_path}/lock is damaged"
    assert "remove the file" in caught.value.remedy


def test_a_lock_that_is_let_go_is_gone_and_may_be_let_go_twice(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path))
    lock.write(HOLDER)
    lock.release()
    assert lock.read() is None
    lock.release()


def test_a_clock_that_was_set_back_makes_no_lock_older(tmp_path: Path) -> None:
    lock = Lock(str(tmp_path))
    lock.write(HOLDER)
    os.utime(lock.path, (time.time() + 500, time.time() + 500))
    assert lock.age() == 0.0


def test_a_boot_is_told_from_every_other_one() -> None:
    assert _lock.boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().rstrip("\n")


def test_the_guard_keeps_a_second_process_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lock, "_GUARD_TIMEOUT", 0.1)
    lock, other = Lock(str(tmp_path / "state")), Lock(str(tmp_path / "state"))
    with lock.guard(), pytest.raises(EcommusError) as caught, other.guard():
        pass
    assert caught.value.message == f"another process keeps {tmp_path}/state busy"
    assert "fuser" in caught.value.remedy
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    with other.guard():
        pass
