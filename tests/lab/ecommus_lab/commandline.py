"""What the commands of the lab do and print."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path

from .commands import say
from .config import SERVICES, WORKERS, LabConfig, LabError
from .lab import Lab, clean_up
from .running import RunningShop

HINTS = """
The shops run on. What to do next:

  look at them         make lab-status
  a shell with its     eval "$(PYTHONPATH=tests/lab .venv/bin/python -m ecommus_lab env aurora)"
  pm2, psql and curl   then: pm2 ls; psql "$DATABASE_URL"; shop https://api.aurora.test/health
  upgrade them         .venv/bin/ansible-playbook playbooks/upgrade.yml -i inventories/lab -e version=v1.4.0
  roll them back       .venv/bin/ansible-playbook playbooks/rollback.yml -i inventories/lab
  stop the lab         make lab-down
"""


def run(config: LabConfig, options: argparse.Namespace) -> int:
    """Runs one command and returns the exit code."""
    if options.command == "up":
        names = ("flavour", "shops", "version", "orders", "deploy_user")
        Lab.up(config, **{name: getattr(options, name) for name in names})
        return 0
    if options.command == "down":
        say("down" if clean_up(config) else "does not run")
        return 0
    if options.command == "hints":
        print(HINTS)
        return 0
    lab = Lab.attach(config)
    if options.command == "reset":
        lab.reset(options.shops)
        return 0
    if options.command == "env":
        print(_environment(lab, _pick(lab, options.shop)))
        return 0
    return _status(lab)


def _pick(lab: Lab, name: str) -> RunningShop:
    try:
        return lab.shops[name]
    except KeyError:
        raise LabError(f"no such shop: {name}. There are: {', '.join(lab.shops)}") from None


def _status(lab: Lab) -> int:
    print(f"{lab.state['flavour']} lab in {lab.config.home}, front on https port {lab.config.proxy_port}")
    problems = [] if lab.alive() else ["a service of the lab has ended"]
    for name, shop in lab.shops.items():
        unhealthy = shop.health()
        print(f"\n{name}  {_version(shop)}  {shop.root}  {shop.orders()} orders")
        processes = shop.processes()
        for service in (*SERVICES, WORKERS):
            pm2_name = shop.shop.processes[service].name
            states = [p["pm2_env"]["status"] for p in processes if p["name"] == pm2_name]
            address = "" if service == WORKERS else shop.shop.health_url(service)
            print(f"  {pm2_name:<22}{', '.join(states) or 'not there':<18}{unhealthy.get(service, 'ok'):<4}{address}")
            if service in unhealthy or "online" not in states:
                problems.append(f"{name}: {pm2_name}")
    for problem in problems:
        say(f"not well: {problem}")
    return 1 if problems else 0


def _version(shop: RunningShop) -> str:
    try:
        return f"v{json.loads((Path(shop.root) / 'package.json').read_text())['version']}"
    except (OSError, ValueError, KeyError):
        return "unknown release"


def _environment(lab: Lab, shop: RunningShop) -> str:
    front = f"--cacert {lab.proxy.ca} --connect-to ::127.0.0.1:{lab.config.proxy_port}"
    values = {
        "PATH": f"{lab.config.bin}:{os.environ.get('PATH', '')}",
        "PM2_HOME": str(shop.shop.pm2_home),
        "PM2_DISCRETE_MODE": "1",
        "DATABASE_URL": shop.database_url,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f'shop() {{ curl -sS {front} "$@"; }}'])
