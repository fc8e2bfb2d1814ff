# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection with every supported ansible-core, on every Python that is installed and fits.

    make matrix                      all of it
    make matrix ONLY="2.19 2.22"     some releases of ansible-core
    make matrix ONLY=2.19/3.11       one row

What is supported says ``supported.toml``. A row is an ansible-core on a Python; what is run in each:

units     the unit tests of the checkout
syntax    all playbooks of the collection, as that ansible-core installed it from the artifact
specs     the argument specs of the roles: they take the example inventory, and refuse a wrong value
docs      ansible-doc of every plugin and role
hosts X   every module with a managed host's Python X: its arguments are checked there, and one does its work
upgrade   a shop of a small lab is upgraded and taken back, and judged from outside; once per release of ansible-core, on the
          newest Python, with a host's Python that differs from release to release
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import story
import tomllib
from story import Installed, StoryError

REPO: Path = story.REPO
WORK = REPO / ".cache/matrix"
SUPPORTED = tomllib.loads((Path(__file__).parent / "supported.toml").read_text())
CORES: dict[str, list[str]] = SUPPORTED["ansible_core"]
HOSTS: list[str] = SUPPORTED["hosts"]["tried_pythons"]
# What tests/unit needs; ansible-core itself is the row's.
UNIT_REQUIREMENTS = ("-r", "tests/unit/requirements.txt", "pytest>=8,<10")
HOST_REQUIREMENTS = ("requests", "psycopg[binary]")
MODULES = sorted(path.stem for path in (REPO / "plugins/modules").glob("*.py"))
PLAYBOOKS = sorted(path.stem for path in (REPO / "playbooks").glob("*.yml"))
ROLES = sorted(path.name for path in (REPO / "roles").iterdir() if path.is_dir())
TIMEOUT = 600  # seconds for one command


class Failed(Exception):
    """A cell failed; the text says why."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What came of one check in one row."""

    verdict: str
    reason: str = ""


@dataclasses.dataclass
class Row:
    """An ansible-core on a Python."""

    core: str
    python: str
    newest: bool = False
    found: str = ""
    cells: dict[str, Cell] = dataclasses.field(default_factory=dict)

    @property
    def home(self) -> Path:
        return WORK / f"{self.core}-{self.python}"

    @property
    def installed(self) -> Installed:
        return Installed(self.home / "bin", self.home / "collections")

    @property
    def collection(self) -> Path:
        return self.installed.collections / "ansible_collections/mdlabs/ecommus"

    def run(self, *argv: str, cwd: Path | None = None, fails: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this row in an empty directory, or in *cwd*."""
        if cwd is None:
            cwd = self.home / "work"
            shutil.rmtree(cwd, ignore_errors=True)
            cwd.mkdir()
        command = [str(self.installed.programs / argv[0]), *argv[1:]]
        return run(command, cwd, {**self.installed.environment(self.home / "ansible"), **env}, fails=fails)


def run(argv: Sequence[str], cwd: Path, env: dict[str, str] | None = None, *, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command; *fails* says how it has to end."""
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False)
    if fails != bool(done.returncode):
        raise Failed(f"{' '.join(argv)}\nended with {done.returncode}\n{(done.stdout + done.stderr)[-6000:]}")
    return done


# --- environments ----------------------------------------------------------------------------------


def interpreter(version: str) -> str:
    """The Python of that version on this machine, or an empty text."""
    return run([str(REPO / "scripts/pythons"), version], REPO).stdout.strip()


def make_environment(home: Path, version: str, *alternatives: Sequence[str]) -> None:
    """An environment of that Python with the first of the *alternatives* that can be installed; kept for the next time."""
    wanted = hashlib.sha256(repr((alternatives, (REPO / "tests/unit/requirements.txt").read_text())).encode()).hexdigest()
    stamp = home / "ready"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(home, ignore_errors=True)
    run([interpreter(version), "-m", "venv", str(home)], REPO)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for last, packages in enumerate(alternatives, 1):
        try:
            run([*pip, *packages], REPO)
            break
        except Failed:
            if last == len(alternatives):
                raise
    stamp.write_text(wanted)


def prepare(row: Row, artifact: Path) -> None:
    """The row's ansible-core, with the collection as that ansible-core installs it."""
    final = f"ansible-core=={row.core}.*"
    # A release that is not out yet is tried by its candidate.
    candidate = f"ansible-core=={row.core}.*,>={row.core}.0.dev0"
    make_environment(row.home, row.python, [final, *UNIT_REQUIREMENTS], [candidate, *UNIT_REQUIREMENTS])
    row.found = run(
        [str(row.home / "bin/python"), "-c", "import importlib.metadata as m; print(m.version('ansible-core'))"], REPO
    ).stdout.strip()
    shutil.rmtree(row.installed.collections, ignore_errors=True)
    row.run("ansible-galaxy", "collection", "install", "--offline", str(artifact), "-p", str(row.installed.collections))


def host_python(version: str) -> Path:
    """A managed host's Python with what the modules need."""
    home = WORK / f"host-{version}"
    make_environment(home, version, HOST_REQUIREMENTS)
    return home / "bin/python"


# --- checks ----------------------------------------------------------------------------------------


def units(row: Row) -> None:
    """The unit tests, with this ansible-core in the environment."""
    row.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit", cwd=REPO)


def syntax(row: Row) -> None:
    """Every playbook by its full name, on the example inventory."""
    done = row.run("ansible-playbook", "--syntax-check", "-i", str(row.collection / "inventories/example"), *map(_full, PLAYBOOKS))
    if done.stdout.count("playbook:") != len(PLAYBOOKS):
        raise Failed(done.stdout + done.stderr)


def specs(row: Row) -> None:
    """The example inventory passes, a wrong value is refused before the first task."""
    inventory = row.home / "inventory"
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(row.collection / "inventories/example", inventory)
    for vault in inventory.glob("group_vars/*/vault.yml.example"):
        vault.rename(vault.with_suffix(""))
    play = row.home / "specs.json"
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "connection": "local", "roles": [_full("install")]}]))
    passed = row.run("ansible-playbook", str(play), "-i", str(inventory))
    if "Validating arguments against arg spec" not in passed.stdout:
        raise Failed(passed.stdout + passed.stderr)
    for playbook in ("upgrade", "rollback"):
        wrong = json.dumps({"ecommus_domain": "shop.example", "ecommus_layout": "sideways", "version": "v1.4.0"})
        refused = row.run("ansible-playbook", _full(playbook), "-i", "shop,", "-c", "local", "-e", wrong, fails=True)
        said = refused.stdout + refused.stderr
        if "value of ecommus_layout must be one of" not in said or "changed=0" not in said:
            raise Failed(said)


def docs(row: Row) -> None:
    """Every plugin and role has documentation that this ansible-core can read."""
    everything = {"module": MODULES, "role": ROLES, "callback": _plugins("callback"), "filter": _filters()}
    for kind, names in everything.items():
        done = row.run("ansible-doc", "--json", "-t", kind, *map(_full, names))
        found = json.loads(done.stdout)
        missing = [name for name in map(_full, names) if not found.get(name)]
        broken = [name for name, about in found.items() if "error" in about]
        # Warnings about ansible-core itself are not ours.
        if missing or broken or "mdlabs" in done.stderr:
            raise Failed(f"{kind}: missing {missing}, broken {broken}\n{done.stderr}")


def modules(row: Row, version: str) -> None:
    """Every module is sent to a host with that Python, loads there, and checks its arguments; one does its work."""
    python = host_python(version)
    env_file = row.home / "shop.env"
    env_file.write_text("A=1\n")
    tasks: list[dict[str, object]] = [
        {"name": name, _full(name): {"no_such_option": 1}, "register": f"r_{name}", "ignore_errors": True} for name in MODULES
    ]
    # All of these are said by the argument spec, on the host.
    refused = [f"r_{name}.msg is search('no_such_option|missing required arguments|of the following')" for name in MODULES]
    tasks.append({"name": "Each refused", "ansible.builtin.assert": {"that": refused}})
    work = {_full("env_file"): {"path": str(env_file), "values": {"B": "2"}}, "register": "work"}
    tasks += [{"name": "Work", **work}, {"name": "It did", "ansible.builtin.assert": {"that": "work is changed"}}]
    tasks += [{"name": "Again", **work}, {"name": "Nothing left", "ansible.builtin.assert": {"that": "work is not changed"}}]
    play = row.home / "modules.json"
    play.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    row.run("ansible-playbook", str(play), "-i", "host,", "-c", "local", "-e", f"ansible_python_interpreter={python}")
    if "B=2" not in env_file.read_text():
        raise Failed(f"not written: {env_file.read_text()}")


def upgrade(row: Row, version: str) -> None:
    """The whole way there and back on a real shop."""
    with story.own_lab() as lab:
        try:
            story.tell(lab, row.installed, host_python(version), back=True)
        except StoryError as error:
            raise Failed(str(error)) from error


def _full(name: str) -> str:
    return f"mdlabs.ecommus.{name}"


def _plugins(kind: str) -> list[str]:
    return sorted(path.stem for path in (REPO / "plugins" / kind).glob("*.py"))


def _filters() -> list[str]:
    """The names of the filters, which are not those of their files."""
    return sorted(name for path in (REPO / "plugins/filter").glob("*.py") for name in re.findall(r"^name: (\w+)", path.read_text(), re.M))


# --- the table -------------------------------------------------------------------------------------


def rows(only: Sequence[str]) -> list[Row]:
    """Each ansible-core with each of its Pythons, or those of them that are wanted; the newest that is there is marked."""
    wanted = []
    for core, pythons in CORES.items():
        made = [Row(core, python) for python in pythons]
        there = [row for row in made if interpreter(row.python)]
        if there:
            there[-1].newest = True
        wanted += [row for row in made if not only or row.core in only or f"{row.core}/{row.python}" in only]
    return wanted


def checks(row: Row) -> dict[str, Callable[[], None] | str]:
    """The columns of a row; a text says why there is nothing to run."""
    columns: dict[str, Callable[[], None] | str] = {check.__name__: partial(check, row) for check in (units, syntax, specs, docs)}
    for version in HOSTS:
        columns[f"hosts {version}"] = partial(modules, row, version) if interpreter(version) else f"no Python {version} here"
    # Each release with another Python on the host: all of them over the releases, and the oldest with the newest release.
    available = [version for version in HOSTS if interpreter(version)]
    if not available:
        columns["upgrade"] = "no Python for a host here"
    elif not row.newest:
        columns["upgrade"] = "an upgrade is run on the newest Python"
    else:
        columns["upgrade"] = partial(upgrade, row, available[list(CORES).index(row.core) % len(available)])
    return columns


def fill(row: Row, artifact: Path) -> None:
    """Run all checks of a row; a failure does not keep the others from being run."""
    columns = checks(row)
    if not interpreter(row.python):
        row.cells = {name: Cell("skipped", f"no Python {row.python} here") for name in columns}
        return
    try:
        prepare(row, artifact)
    except Failed as error:
        row.cells = {name: Cell("failed", str(error)) for name in columns}
        return
    for name, check in columns.items():
        began = time.monotonic()
        row.cells[name] = _verdict(check)
        cell = row.cells[name]
        print(f"{row.core} on {row.python}, {name}: {cell.verdict} ({time.monotonic() - began:.0f} s)", flush=True)
        if cell.verdict == "failed":
            print(cell.reason, flush=True)


def _verdict(check: Callable[[], None] | str) -> Cell:
    if isinstance(check, str):
        return Cell("skipped", check)
    try:
        check()
    except (Failed, subprocess.TimeoutExpired) as error:
        return Cell("failed", str(error))
    return Cell("passed")


def table(done: Sequence[Row]) -> str:
    """A line per row, the reasons of what was skipped, and the count."""
    columns = list(done[0].cells)
    lines = [["core", "python", *columns], *([row.found or row.core, row.python, *(row.cells[c].verdict for c in columns)] for row in done)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))]
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() for line in lines]
    cells = [cell for row in done for cell in row.cells.values()]
    reasons = sorted({cell.reason for cell in cells if cell.verdict == "skipped"})
    text += ["", *(f"skipped: {reason} ({sum(cell.reason == reason for cell in cells)})" for reason in reasons)]
    counts = [f"{sum(cell.verdict == verdict for cell in cells)} {verdict}" for verdict in ("passed", "failed", "skipped")]
    return "\n".join([*text, ", ".join(counts)])


def main() -> int:
    """Run the matrix; exit code 1 if a cell failed."""
    parser = argparse.ArgumentParser(prog="matrix", description="Run the collection with the supported releases of ansible-core.")
    known = [*CORES, *(f"{core}/{python}" for core, pythons in CORES.items() for python in pythons)]
    parser.add_argument("row", nargs="*", choices=[[], *known], metavar="CORE[/PYTHON]", help="what to run; default: all")
    only = parser.parse_args().row
    WORK.mkdir(parents=True, exist_ok=True)
    galaxy = str(Path(sys.executable).parent / "ansible-galaxy")
    run([galaxy, "collection", "build", "--force", "--output-path", str(WORK), str(REPO)], REPO)
    artifact = max(WORK.glob("mdlabs-ecommus-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    done = rows(only)
    for row in done:
        fill(row, artifact)
    print(f"\n{table(done)}")
    return int(any(cell.verdict == "failed" for row in done for cell in row.cells.values()))


if __name__ == "__main__":
    sys.exit(main())
