"""Runs the collection's playbooks against the lab as an operator would, and keeps everything that was said.

What every module returned meanwhile is compared with its documentation.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import module_examples

REPO = Path(__file__).resolve().parents[2]
TIMEOUT = 900  # seconds


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one ansible-playbook did."""

    code: int
    said: str
    runs: Path

    def report(self, host: str) -> dict:
        """The newest report of *host*."""
        reports = sorted(self.runs.glob(f"*/{host}/report.json"), key=lambda path: path.stat().st_mtime)
        assert reports, f"no report of {host} in {self.runs}\n{self.said[-3000:]}"
        return json.loads(reports[-1].read_text())

    def recap(self, host: str) -> dict[str, int]:
        """The figures of PLAY RECAP."""
        line = next(line for line in self.said.splitlines() if line.startswith(host) and "changed=" in line)
        return {key: int(value) for key, value in (pair.split("=") for pair in line.split(":", 1)[1].split())}


def command(
    name: str, runs: Path, *, limit: str = "", verbose: str = "", check: bool = False, **variables: object
) -> tuple[list[str], dict[str, str], Path]:
    """How ``playbooks/<name>.yml`` is run: arguments, environment and directory; *variables* become extra variables."""
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), f"playbooks/{name}.yml", "-i", "inventories/lab"]
    argv += ["--limit", limit] if limit else []
    argv += [verbose] if verbose else []
    argv += ["--check", "--diff"] if check else []
    argv += ["-e", json.dumps({"ecommus_run_dir": str(runs), **variables})]
    return argv, {**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}, REPO


def play(name: str, runs: Path, *, limit: str = "", verbose: str = "", check: bool = False, **variables: object) -> Outcome:
    """Run a playbook to its end."""
    argv, env, cwd = command(name, runs, limit=limit, verbose=verbose, check=check, **variables)
    with tempfile.TemporaryDirectory() as directory:
        returned = Path(directory) / "returned.jsonl"
        env = {**env, **module_examples.CALLBACK, "ECOMMUS_TEST_RETURNED": str(returned)}
        done = subprocess.run(
            argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False
        )
        assert module_examples.kept(returned) or done.returncode, "modules ran"
    return Outcome(done.returncode, done.stdout + done.stderr, runs)
