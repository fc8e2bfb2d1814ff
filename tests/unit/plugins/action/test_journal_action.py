from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.action import journal

ME = journal.this_controller()


def asked(holder: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the module is told to be gone, call by call, when *holder* has the lock."""
    calls: list[str] = []

    def execute(_self: Any, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        calls.append(module_args["controller"]["gone"])
        assert module_args["state"] == "planned"
        return {} if calls[-1] else {"failed": True, "holder": {"run_id": "one", "controller": holder}}

    monkeypatch.setattr(journal.ActionModule, "_execute_module", execute)
    monkeypatch.setattr(journal.ActionBase, "run", lambda *_: {})
    plugin = object.__new__(journal.ActionModule)
    plugin._task = SimpleNamespace(args={"state": "planned"})
    plugin.run(task_vars={})
    return calls


@pytest.fixture
def ended() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def holder(pid: int, **other: str) -> dict[str, Any]:
    return {"owner": ME.owner, "host": ME.host, "machine": ME.machine, "pid": pid, **other}


def test_a_neighbour_that_has_ended_is_gone(monkeypatch: pytest.MonkeyPatch, ended: int) -> None:
    assert asked(holder(ended), monkeypatch) == ["", "one"]


def test_one_that_lives_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(holder(os.getpid()), monkeypatch) == [""]


@pytest.mark.parametrize("other", [{"owner": "bob"}, {"host": "elsewhere"}, {"machine": "another container"}])
def test_about_others_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch, ended: int, other: dict[str, str]) -> None:
    assert asked(holder(ended, **other), monkeypatch) == [""]


def test_the_process_is_the_one_that_started_this() -> None:
    # Asked here: ansible-test forks a process for each test.
    assert journal.this_controller().pid == os.getppid()
    assert ME.machine.count(" ") == 1
