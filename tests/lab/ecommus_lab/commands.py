"""Running programs, and telling the user what goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .accounts import Account
from .config import LabError


def run(command: list[str], cwd: Path, env: Mapping[str, str], timeout: float = 900, account: Account | None = None) -> str:
    """Runs a command and returns its output.

    :param account: run it as this user, and with that user's home.
    :raises LabError: it failed; with the end of what it said.
    """
    uid = account.uid if account else None
    gid = account.gid if account else None
    groups: list[int] | None = [] if account else None
    if account is not None:
        env = {**env, **account.environment}
    done = subprocess.run(
        command, cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        user=uid, group=gid, extra_groups=groups,
    )  # fmt: skip
    if done.returncode:
        tail = "\n  ".join(done.stdout.splitlines()[-25:])
        raise LabError(f"{' '.join(command[:4])} failed in {cwd}\n  {tail}")
    return done.stdout


def git(*arguments: str, cwd: Path) -> str:
    """Runs git without the user's settings, which may sign, hook or rewrite."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    return run(["git", *arguments], cwd, env).strip()


def say(text: str) -> None:
    """One line of progress."""
    print(f"[lab] {text}", file=sys.stderr, flush=True)
