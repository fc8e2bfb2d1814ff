# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A shop is upgraded by an installed collection, and taken back; both are judged by what the shop serves then.

    PYTHONPATH=tests/lab .venv/bin/python tests/matrix/story.py --programs VENV/bin --collections DIRECTORY

Nothing of the checkout is where Ansible looks: the collection is the installed one, the working directory is empty, and the
inventory is a copy. Only the shop itself comes from the lab of the checkout.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests/lab"), str(REPO / "tests/integration")]

import shopstate  # noqa: E402
from ecommus_lab.config import DEFAULT_VERSION, LabConfig  # noqa: E402
from ecommus_lab.lab import Lab, clean_up  # noqa: E402
from ecommus_lab.running import RunningShop  # noqa: E402

SHOP = "aurora"  # a plain checkout, which its first upgrade adopts: the longest way
VERSION = "v1.4.0"
ORDERS = 2_000
TIMEOUT = 900  # seconds for one playbook


@dataclasses.dataclass(frozen=True)
class Installed:
    """An installation of Ansible with the collection in it."""

    programs: Path
    collections: Path

    def environment(self, home: Path) -> dict[str, str]:
        """What the programs see: neither the user's settings nor those of the checkout."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL_ENV"))}
        return {
            **keep,
            "PATH": f"{self.programs}:{keep.get('PATH', os.defpath)}",
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_CALLBACKS_ENABLED": "mdlabs.ecommus.summary",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "ANSIBLE_NOCOLOR": "1",
        }


class StoryError(Exception):
    """The shop is not as it should be, or Ansible said so."""


@contextlib.contextmanager
def own_lab() -> Iterator[Lab]:
    """A lab with one small shop, beside the checkout's own, which may run; gone afterwards."""
    others = LabConfig.from_environment()
    config = LabConfig(others.home / "story", others.port + 100)
    config.home.mkdir(parents=True, exist_ok=True)
    for directory in (others.tools, others.cache):
        link = config.home / directory.name
        directory.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(directory)
    # What is left of a story that was killed is no fresh shop.
    clean_up(config)
    lab = Lab.up(config, flavour="light", shops=[SHOP], orders=ORDERS)
    try:
        yield lab
    finally:
        lab.down()


def tell(lab: Lab, installed: Installed, host_python: Path, *, back: bool) -> list[str]:
    """Upgrade the shop and, if wanted, take it *back*; what was found, a line per step.

    :param host_python: the Python that the modules run with.
    :raises StoryError: something is not as it should be.
    """
    shop = lab.shop(SHOP)
    with tempfile.TemporaryDirectory(prefix="ecommus-story-") as name:
        work = Path(name)
        shutil.copytree(REPO / "inventories/lab", work / "inventory", ignore=shutil.ignore_patterns("__pycache__"))
        found = [_step(lab, shop, installed, work, host_python, "upgrade", {"version": VERSION}, (VERSION, "upgraded"))]
        if back:
            found.append(_step(lab, shop, installed, work, host_python, "rollback", {}, (DEFAULT_VERSION, "rolled_back")))
    return found


def _step(
    lab: Lab,
    shop: RunningShop,
    installed: Installed,
    work: Path,
    host_python: Path,
    playbook: str,
    variables: dict[str, str],
    expected: tuple[str, str],
) -> str:
    orders = shop.orders()
    argv = [str(installed.programs / "ansible-playbook"), "-vvv", f"mdlabs.ecommus.{playbook}", "-i", str(work / "inventory")]
    argv += ["-e", json.dumps({"ansible_python_interpreter": str(host_python), **variables})]
    env = {
        **installed.environment(work / "ansible"),
        "ECOMMUS_LAB_HOME": str(lab.config.home),
        "ECOMMUS_LAB_PORT": str(lab.config.port),
        "PWD": str(work),
    }
    done = subprocess.run(argv, cwd=work, env=env, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False)
    said = done.stdout + done.stderr
    problems = [f"{playbook} ended with {done.returncode}"] if done.returncode else []
    problems += _foreign_tasks(said, installed)
    problems += _judge(shop, work, playbook, expected, orders)
    problems += _told_secrets(shop, work, said)
    if problems:
        raise StoryError("\n".join([said[-6000:], *problems]))
    return f"{playbook}: {SHOP} serves {expected[0]}, the report says {expected[1]}, {shop.orders()} orders"


def _foreign_tasks(said: str, installed: Installed) -> list[str]:
    """Tasks that came from anywhere but the installed collection."""
    where = {Path(path) for path in re.findall(r"^task path: (.+):\d+$", said, re.MULTILINE)}
    home = installed.collections.resolve()
    strangers = [str(path) for path in sorted(where) if home not in path.resolve().parents]
    return [f"tasks from elsewhere: {', '.join(strangers)}"] if strangers else [] if where else ["it ran no task"]


def _told_secrets(shop: RunningShop, work: Path, said: str) -> list[str]:
    """Secrets that can be read in what was printed, with all details, or in the run's files: each ansible-core masks in its own way."""
    files = [path.read_text(errors="replace") for path in work.glob("ecommus-runs/**/*") if path.is_file()]
    return [
        f"{kind} is told" for kind, secret in shop.secrets.as_dict().items() if secret and any(secret in text for text in [said, *files])
    ]


def _judge(shop: RunningShop, work: Path, playbook: str, expected: tuple[str, str], orders: int) -> list[str]:
    """What is wrong, seen from outside the collection: served release, health, data; and whether the report agrees."""
    version, outcome = expected
    problems = shop.wait_healthy(30)
    found = shopstate.version(shop)
    if found != version:
        problems.append(f"the shop is at {found}, not at {version}")
    live = str(shop.root.resolve())
    for process, directories in sorted(shopstate.serving(shop).items()):
        problems += [f"{process} runs in {place}, not in {live}" for place in sorted(directories) if not f"{place}/".startswith(f"{live}/")]
    if shop.orders() < orders:
        problems.append(f"there were {orders} orders, and now there are {shop.orders()}")
    reports = list(work.glob(f"ecommus-runs/*-{playbook}/{SHOP}/report.json"))
    said = [json.loads(path.read_text())["outcome"] for path in reports]
    if said != [outcome]:
        problems.append(f"the reports say {said}, not {outcome}")
    return problems


def main() -> int:
    """Tell the story once, on a lab of its own."""
    parser = argparse.ArgumentParser(prog="story", description="Upgrade a shop of a small lab with an installed collection.")
    parser.add_argument("--programs", type=Path, required=True, help="directory of ansible-playbook and of the Python beside it")
    parser.add_argument("--collections", type=Path, required=True, help="where the collection is installed")
    parser.add_argument("--back", action="store_true", help="and take the shop back")
    options = parser.parse_args()
    installed = Installed(options.programs.absolute(), options.collections.absolute())
    try:
        with own_lab() as lab:
            print("\n".join(tell(lab, installed, installed.programs / "python", back=options.back)), flush=True)
    except StoryError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
