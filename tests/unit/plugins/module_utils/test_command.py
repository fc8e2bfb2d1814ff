# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs are started with what they need and nothing else, and none outlives its deadline."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result, clean_environment, run, scrub
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError


def sh(script: str, **given: object) -> Result:
    return run(["sh", "-c", script], **{"timeout": 60, **given})  # type: ignore[arg-type]


def test_both_outputs_and_the_exit_code_come_back_whole() -> None:
    script = "echo out; echo err >&2; exit 3"
    assert sh(script) == Result(("sh", "-c", script), 3, "out\n", "err\n")


def test_no_secret_comes_back() -> None:
    result = sh("echo a s3cret; echo s3cret b >&2", secrets=["s3cret"])
    assert (result.output, result.error) == ("a ***\n", "*** b\n")


@pytest.mark.parametrize(
    ("secrets", "left"),
    [
        ([], "longer-secret secret abc"),
        (["secret"], "longer-*** *** abc"),
        (["secret", "longer-secret"], "*** *** abc"),  # the longer one first, so that nothing of it stays
        (["", "abc"], "longer-secret secret abc"),  # too short to tell from other text
        ([" abc"], "longer-secret secret***"),
    ],
)
def test_secrets_are_replaced_whole(secrets: list[str], left: str) -> None:
    assert scrub("longer-secret secret abc", secrets) == left


def test_a_program_reads_what_it_is_given_and_waits_for_nothing_else() -> None:
    assert sh("cat").output == ""
    assert sh("cat", stdin="text").output == "text"
    with tempfile.TemporaryFile() as file:
        file.write(b"from a file")
        file.seek(0)
        assert sh("cat", stdin=file.fileno()).output == "from a file"


def test_bytes_that_are_no_text_harm_nothing() -> None:
    assert sh(r"printf 'a\377ț'").output == "a\ufffdț"


def test_a_program_steps_back_as_far_as_it_is_told() -> None:
    # What it reads is written when it has stepped back.
    assert sh("cat > /dev/null; nice", stdin="x", niceness=19).output == "19\n"


def test_a_program_gets_the_environment_that_is_named_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_SHELL", "leaks")
    monkeypatch.setenv("LANG", "C.UTF-8")
    script = 'echo "${OF_THE_SHELL-none} ${LANG-none} ${MINE-none}"'
    path = {"PATH": os.environ["PATH"]}
    assert sh(script).output == "none C.UTF-8 none\n"
    assert sh(script, env={**path, "MINE": "m"}).output == "none none m\n"


def test_the_environment_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)
    kept = {"HOME": "/h", "TZ": "UTC", "NODE_EXTRA_CA_CERTS": "/ca"}
    network = {"https_proxy": "http://p", "NO_PROXY": "x", "npm_config_registry": "https://r"}
    for name, value in {**kept, **network, "PATH": "/bin", "SECRET": "s"}.items():
        monkeypatch.setenv(name, value)
    assert clean_environment() == {**kept, "PATH": "/bin"}
    assert clean_environment({"A": "1", "TZ": "CET"}, ["/node", "/pm2"]) == {**kept, "TZ": "CET", "PATH": "/node:/pm2:/bin", "A": "1"}
    assert clean_environment(network=True) == {**kept, **network, "PATH": "/bin"}
    monkeypatch.delenv("PATH")
    assert clean_environment(path_prefix=["/node"])["PATH"] == f"/node:{os.defpath}"


def test_a_program_runs_where_it_is_told(tmp_path: Path) -> None:
    assert sh("pwd", cwd=str(tmp_path)).output == f"{tmp_path}\n"


def test_after_its_deadline_nothing_of_a_program_is_left(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo s3cret; wait"
    with pytest.raises(EcommusError) as caught:
        sh(script, timeout=2, secrets=[str(tmp_path)])
    assert caught.value.message == "sh did not end within 2 s and was killed"
    assert "time limit" in caught.value.remedy
    assert caught.value.details == {"command": "sh -c " + script.replace(str(tmp_path), "***")}
    child = int((tmp_path / "child").read_text())
    assert eventually_gone(child)


def eventually_gone(pid: int) -> bool:
    """Killed, whether or not its new parent has collected it already."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return False


def test_what_cannot_be_run_is_told_with_its_remedy(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("")
    for argv, cwd, problem, remedy in (
        (["/none/psql"], None, "/none/psql does not exist on this host", "install psql, or correct the path in the inventory"),
        (["true"], f"{tmp_path}/none", f"{tmp_path}/none does not exist on this host", "install true, or correct the path"),
        (["/none/psql"], str(tmp_path), "/none/psql does not exist on this host", "install psql"),
        ([str(plain)], None, f"{plain} may not be run by this user", "correct its mode"),
    ):
        with pytest.raises(EcommusError) as caught:
            run(argv, cwd=cwd, timeout=60)
        assert caught.value.message == problem
        assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("output", "error", "lines", "quoted"),
    [
        ("a\nb\n", "c\n", 15, "a\nb\nc"),
        ("a\nb\n", "\nc\nd\n", 3, "b\nc\nd"),
        ("\n \n", "c", 15, "c"),
        ("a\n", "", 15, "a"),
        ("", "", 15, ""),
    ],
)
def test_a_report_quotes_the_last_lines(output: str, error: str, lines: int, quoted: str) -> None:
    assert Result(("x",), 1, output, error).tail(lines) == quoted


def test_fifteen_lines_are_quoted_unless_more_are_wanted() -> None:
    assert Result(("x",), 1, "".join(f"{n}\n" for n in range(20)), "").tail().splitlines() == [str(n) for n in range(5, 20)]
