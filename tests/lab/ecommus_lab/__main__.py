"""Command line of the lab: ``python -m ecommus_lab up|down|status|reset|env|hints|tools``."""

from __future__ import annotations

import argparse
import signal
import sys

from . import tools
from .config import DEFAULT_ORDERS, DEFAULT_VERSION, FLAVOURS, LabConfig, LabError


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; a problem that the user can act on is one message and exit code 1."""
    options = _parser().parse_args(arguments)
    # As an exception, so that a half-started lab is cleaned up also when a time limit ends us.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        config = LabConfig.from_environment()
        if options.command == "tools":
            tools.ensure(config)
            return 0
        # Only now: these need more than the standard library.
        from . import commandline

        return commandline.run(config, options)
    except LabError as error:
        print(f"[lab] ERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("[lab] interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ecommus_lab", description="Three stand-in ecommus shops on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start the lab, or say that it runs")
    up.add_argument("--flavour", choices=FLAVOURS, default="full")
    up.add_argument("--shops", type=_words, help="some of the shops, with commas between; default: all")
    up.add_argument("--version", default=DEFAULT_VERSION, help="release that the shops start with (%(default)s)")
    up.add_argument("--orders", type=int, default=DEFAULT_ORDERS, help="orders per shop (%(default)s)")
    up.add_argument("--deploy-user", action="store_true", help="two users of this machine own the shops and log in (needs root)")
    commands.add_parser("down", help="stop it and remove what it made, except programs and cache")
    commands.add_parser("status", help="tell what runs; exit code 1 if something is wrong")
    reset = commands.add_parser("reset", help="bring shops back to how they were started")
    reset.add_argument("--shops", type=_words)
    env = commands.add_parser("env", help="print shell lines with which pm2, psql and curl reach a shop")
    env.add_argument("shop", nargs="?", default="aurora")
    commands.add_parser("hints", help="print what to do with a running lab")
    commands.add_parser("tools", help="unpack the lab's programs")
    return parser


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


if __name__ == "__main__":
    sys.exit(main())
