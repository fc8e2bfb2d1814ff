# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ``.env`` parser against node's own, on generated files."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

from ansible_collections.mdlabs.ecommus.plugins.module_utils._dotenv import parse, read, with_values

_PARTS = [
    "A",
    "B",
    "=",
    "=",
    "\n",
    "\n",
    " ",
    '"',
    "'",
    "`",
    "#",
    "\\n",
    "\r\n",
    "export ",
    "\t",
    "x",
    "1",
    ":",
    "\r",
    "é",
    "\u00a0",
    "KEY=",
    "\\",
]
_PARSE = """
const texts = JSON.parse(require('fs').readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(texts.map((text) => require('util').parseEnv(text))))
"""
_LOAD = "process.loadEnvFile(process.argv[1]); process.stdout.write(JSON.stringify(process.env))"


def node(tools: Path, script: str, *arguments: str, stdin: str = "") -> str:
    run = subprocess.run(
        [tools / "node", "-e", script, *arguments], input=stdin, capture_output=True, text=True, check=True, timeout=60, env={}
    )
    return run.stdout


def test_parse_is_parse_env(node_tools: Path) -> None:
    chance = random.Random(20261122)
    texts = ["".join(chance.choice(_PARTS) for _ in range(chance.randint(0, 16))) for _ in range(40_000)]
    answers = json.loads(node(node_tools, _PARSE, stdin=json.dumps(texts)))
    for text, answer in zip(texts, answers, strict=True):
        answer.pop("", None)  # a variable without a name cannot be in an environment
        assert parse(text) == answer, repr(text)


def test_read_and_edit_are_load_env_file(node_tools: Path, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"# shop\r\nexport A='one' # why\r\nLIST=\"a\nb\\nc\"\r\nURL=postgresql://u:p%40@h/d?x=1\r\n")
    wanted = {"A": "it's `quoted`", "NEW": "two\nlines # and more", "PLAIN": "x/y:z", "DOLLAR": "$HOME", "EMPTY": ""}
    file.write_bytes(with_values(file.read_bytes().decode(), wanted).encode())
    loaded = json.loads(node(node_tools, _LOAD, str(file)))
    assert loaded == read(str(file))
    assert {key: loaded[key] for key in wanted} == wanted
