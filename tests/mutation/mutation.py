# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes the Python library of the collection in small ways, with mutmut, and counts the changes that no unit test notices.

    make mutation                         a random sample of the mutants of all module_utils
    make mutation ONLY="_policy _resume"  all mutants of these two

Left out are mutants of texts for people, which are strings with a blank in them. A mutant in a function that no unit test calls
is counted apart: tests/integration proves those functions against the real services.
"""

from __future__ import annotations

import argparse
import ast
import collections
import copy
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
WORK = REPO / ".cache/mutation"
COLLECTION = "ansible_collections/mdlabs/ecommus"
SOURCES = f"{COLLECTION}/plugins/module_utils"
# mutmut copies what it is told to and follows links: the one that the playbooks carry would not end.
LEFT_OUT = ("playbooks/collections", "tests/lab/app/")
CONFIG = f"""\
[tool.mutmut]
source_paths = ["{SOURCES}"]
also_copy = ["{COLLECTION}"]
pytest_add_cli_args_test_selection = ["{COLLECTION}/tests/unit/plugins"]
pytest_add_cli_args = ["-p", "no:cacheprovider"]
"""
SAMPLE = 1000
SEED = 4
BAR = 0.85
# mutmut's exit codes of a mutant (mutmut/stats.py)
SURVIVED, UNREACHED = (0,), (5, 33)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help="modules, as _policy (a sample of all)")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="mutants of a sample (%(default)s)")
    options = parser.parse_args()
    lay_out()
    mutmut("nothing")  # makes all mutants and runs none
    every = [name for path in mutated(options.only) for name in mutants_of(path)]
    chosen = every if options.only else random.Random(SEED).sample(every, min(options.sample, len(every)))
    print(f"[mutation] {len(chosen)} of {len(every)} mutants", flush=True)
    mutmut(*chosen)
    return verdict(results(chosen))


def lay_out() -> None:
    """A copy of the checkout with the path by which it is imported; that is how mutmut names what it changes."""
    shutil.rmtree(WORK, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith(LEFT_OUT):
            target = WORK / COLLECTION / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, target, follow_symlinks=False)
    markers = (REPO / "pyproject.toml").read_text().partition("[tool.pytest.ini_options]")[2]
    (WORK / "pyproject.toml").write_text(f"{CONFIG}\n[tool.pytest.ini_options]{markers.replace('testpaths', '# testpaths')}")


def mutmut(*names: str) -> None:
    program = Path(sys.executable).with_name("mutmut")
    with (WORK / "mutmut.log").open("a") as log:
        subprocess.run([program, "run", *names], cwd=WORK, stdout=log, stderr=subprocess.STDOUT, check=False)


def mutated(only: list[str]) -> list[Path]:
    found = sorted((WORK / "mutants" / SOURCES).glob("*.py"))
    if not found:
        raise SystemExit(f"mutmut made nothing: {WORK / 'mutmut.log'}")
    return [path for path in found if not only or path.stem in only]


def mutants_of(path: Path) -> Iterator[str]:
    """The names of the mutants in a file that mutmut wrote, without those that change a text for people."""
    functions = {node.name: node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    module = f"{SOURCES.replace('/', '.')}.{path.stem}"
    for name in json.loads(Path(f"{path}.meta").read_text())["exit_code_by_key"]:
        function = name.removeprefix(f"{module}.")
        original = functions.get(function.rpartition("__mutmut_")[0] + "__mutmut_orig")
        mutant = functions.get(function)
        if original is None or mutant is None or plain(original) != plain(mutant):
            yield name


def plain(function: ast.FunctionDef) -> str:
    """What a function does, whatever it says."""
    node = copy.deepcopy(function)
    node.name = ""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
            part.value = " "
    return ast.dump(node)


def results(chosen: list[str]) -> dict[str, int | None]:
    known: dict[str, int | None] = {}
    for path in (WORK / "mutants" / SOURCES).glob("*.meta"):
        known.update(json.loads(path.read_text())["exit_code_by_key"])
    return {name: known[name] for name in chosen}


def verdict(found: dict[str, int | None]) -> int:
    """Says what lived, and how large a part did not; the exit code."""
    counts: collections.Counter[str] = collections.Counter()
    per_module: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for name, code in sorted(found.items()):
        outcome = "survived" if code in SURVIVED else "unreached" if code in UNREACHED else "unchecked" if code is None else "killed"
        counts[outcome] += 1
        per_module[name.removeprefix(f"{SOURCES.replace('/', '.')}.").partition(".")[0]][outcome] += 1
        if outcome == "survived":
            print(name.rpartition("module_utils.")[2])
    for module, of in sorted(per_module.items()):
        print(f"{module:<24} killed {of['killed']:4}  survived {of['survived']:4}  unreached {of['unreached']:4}")
    reached = counts["killed"] + counts["survived"]
    score = counts["killed"] / reached if reached else 0.0
    print(f"mutation score {score:.1%} of {reached} mutants (bar {BAR:.0%}); {counts['unreached']} in functions that no unit test calls")
    if counts["unchecked"]:
        print(f"[mutation] {counts['unchecked']} mutants were not run: {WORK / 'mutmut.log'}", file=sys.stderr)
    return 0 if score >= BAR and not counts["unchecked"] else 1


if __name__ == "__main__":
    sys.exit(main())
