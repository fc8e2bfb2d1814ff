# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says about processes, seen on processes of the test's own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _process
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

NOBODY = 4194305  # above the kernel's largest pid


@contextmanager
def child(program: str, *arguments: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python that has begun *program*; it says so by a line."""
    argv = [sys.executable, "-c", f"{program}\nprint(flush=True)\ninput()", *arguments]
    with subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            process.kill()


def test_a_process_is_seen_with_its_place_its_words_and_its_variables(tmp_path: Path) -> None:
    begin = time.time()
    with child("", "one", "two ț", cwd=tmp_path, env={"A": "1=2", "B": "ț"}) as process:
        info = _process.inspect(process.pid)
        assert info is not None
        assert (info.pid, info.parent, info.cwd) == (process.pid, os.getpid(), str(tmp_path))
        assert info.command.startswith(f"{sys.executable} -c ") and info.command.endswith("input() one two ț")
        assert begin - 60 < info.started < time.time() + 60
        variables = _process.environment(process.pid)
        assert {name: variables[name] for name in ("A", "B")} == {"A": "1=2", "B": "ț"}
        assert process.pid in [started.pid for started in _process.children(os.getpid())]
        assert _process.children(process.pid) == []
        assert process.pid in _process.running_below(str(tmp_path))
        assert process.pid not in _process.running_below(f"{tmp_path}/deeper")
        assert process.pid not in _process.running_below(str(tmp_path)[:-1])
        assert _process.wait_gone([process.pid, NOBODY], 0) == [process.pid]
        assert _process.alive(process.pid)
        process.kill()
        assert _process.wait_gone([process.pid, NOBODY], 30) == []
        assert _process.inspect(process.pid) is None, "it has ended, although nobody has asked how"
    assert [_process.alive(pid) for pid in (0, -1, NOBODY, os.getpid())] == [False, False, False, True]
    assert _process.environment(NOBODY) == {}


def test_a_process_is_of_the_directory_that_its_script_lies_in(tmp_path: Path) -> None:
    script = tmp_path / "deep" / "app.py"
    script.parent.mkdir()
    script.write_text("print(flush=True)\ninput()\n")
    (tmp_path / "link").symlink_to("deep")
    with subprocess.Popen([sys.executable, str(script)], cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            for directory in ("", "deep", "link"):
                assert _process.running_below(str(tmp_path / directory)) == [process.pid]
            assert _process.running_below(str(tmp_path / "dee")) == []
        finally:
            process.kill()


def test_the_end_of_a_process_is_waited_for() -> None:
    with child("") as process:
        threading.Timer(0.3, process.kill).start()
        assert _process.wait_gone([process.pid], 60) == []


SERVE = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
kept = [server.accept() for _ in range(int(sys.argv[1]))]
"""


def test_who_serves_a_port_is_seen_from_outside(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", f"{SERVE}input()", "3"]
    with subprocess.Popen(argv, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            assert _process.listening_pids(port) == _process.listening_pids(port, [os.getpid(), process.pid]) == [process.pid]
            assert _process.listening_pids(port, [os.getpid()]) == []
            assert len(_process.listening_descriptors(process.pid, port)) == 1
            assert _process.listening_descriptors(os.getpid(), port) == _process.listening_descriptors(NOBODY, port) == []
            assert _process.serving_pids(port, connections=1, timeout=30, candidates=iter([process.pid])) == [process.pid]
            assert _process.serving_pids(port, connections=1, timeout=0.2, candidates=[os.getpid()]) == []
            assert [(info.pid, info.cwd) for info in _process.identity(port, connections=1)] == [(process.pid, str(tmp_path))]
        finally:
            process.kill()


def test_of_both_ends_of_a_connection_only_the_other_is_the_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = f"import socket; connection = socket.create_connection({server.getsockname()})"
        with child(program) as process, server.accept()[0] as accepted:
            assert _process.peer_pids(accepted, timeout=30) == [process.pid]
            assert _process.peer_pids(accepted, timeout=30, candidates=iter([os.getpid(), process.pid])) == [process.pid]
            assert _process.peer_pids(accepted, timeout=0, candidates=[os.getpid()]) == []


def test_a_port_without_a_listener_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(EcommusError) as caught:
        _process.serving_pids(port)
    assert caught.value.message == f"nothing answers on 127.0.0.1 port {port} (Connection refused)"
    assert "pm2 ls" in caught.value.remedy
