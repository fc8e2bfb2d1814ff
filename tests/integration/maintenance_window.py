"""A maintenance window whose hook is a program, which keeps what it was told in a file."""

from __future__ import annotations

from pathlib import Path

HOOK = """#!/bin/sh
case "$1" in
  read) cat {home}/window ;;
  *) echo "$1" >> {home}/log; [ -e {home}/no-$1 ] && exit 1; echo "$1" > {home}/window ;;
esac
"""


def hook(home: Path, state: str = "closed") -> dict[str, list[str]]:
    """The variable `ecommus_maintenance` with a window whose state is a file."""
    (home / "window").write_text(f"{state}\n")
    (home / "hook").write_text(HOOK.format(home=home))
    (home / "hook").chmod(0o755)
    return {"command": [str(home / "hook"), "{state}"]}
