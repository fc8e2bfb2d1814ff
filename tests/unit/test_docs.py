# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages lead where they say, and name nothing that is not there. What the checks are is compared in test_checks_page.py."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from ansible_collections.mdlabs.ecommus.plugins.module_utils._preflight import CHECKS
from ansible_collections.mdlabs.ecommus.plugins.modules import preflight  # noqa: F401  (importing it registers the checks)

REPO = Path(__file__).resolve().parents[2]
PAGES = [
    REPO / "README.md",
    REPO / "CONTRIBUTING.md",
    *sorted(REPO.glob("docs/*.md")),
    *sorted(REPO.glob("roles/*/README.md")),
    *sorted(REPO.glob("inventories/*/README.md")),
    *sorted(REPO.glob("tests/*/README.md")),
]
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))


def prose(page: Path) -> str:
    """The text of a page without its blocks of code."""
    text = CODE.sub("", page.read_text())
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as a forge makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE):
        shown = LINK.sub("]", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = 0
        while (unique := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(unique)
    return found


def specs() -> dict[str, dict[str, Any]]:
    """Every variable of the roles, with what its argument spec says."""
    return {
        name: option
        for path in REPO.glob("roles/*/meta/argument_specs.yml")
        for name, option in yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"].items()
    }


def block(page: str, start: str) -> str:
    """The block of code on *page* that begins with *start*, its fence not counted."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", (REPO / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)
    return next(text for text in blocks if text.startswith(start))


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for link in LINK.findall(SPAN.sub("", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _hash, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pages
def test_every_variable_that_is_named_is_one_of_a_role_or_a_playbook(page: Path) -> None:
    playbooks = "".join(path.read_text() for path in REPO.glob("playbooks/*.yml"))
    named = {name for span in SPAN.findall(prose(page)) for name in re.findall(r"\b(?:ecommus|upgrade|rollback)_[a-z_]+\b", span)}
    known = {*specs(), *re.findall(r"\becommus_[a-z_]+\b", playbooks), "rollback_failed", "ecommus_lab"}
    assert sorted(name for name in named - known if not name.startswith(("_", "ecommus_core", "ecommus_plugin"))) == []


@pages
def test_every_check_that_is_named_is_there(page: Path) -> None:
    listed = re.findall(r"\b[Cc]hecks? \[?((?:`\w+`(?:, | and )?)+)", prose(page))
    assert {name for names in listed for name in re.findall(r"\w+", names)} - {"and"} - set(CHECKS) == set()


def test_the_readme_names_every_module() -> None:
    listed = prose(REPO / "README.md").partition("says the same:")[2].partition(".\n")[0]
    assert re.findall(r"`(\w+)`", listed) == sorted(path.stem for path in REPO.glob("plugins/modules/*.py"))


def test_the_phases_are_those_of_the_role() -> None:
    order = yaml.safe_load((REPO / "roles/upgrade/vars/main.yml").read_text())["upgrade_phases"]["releases"]
    phases = ["discover", "preflight", *order]
    page = (REPO / "docs/how-an-upgrade-goes.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == phases
    picture = ElementTree.parse(REPO / "docs/phases.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert [text.text for text in picture.findall(f"{svg}g[@id='phases']/{svg}text")] == phases
    assert all(phase in (picture.findtext(f"{svg}desc") or "") for phase in phases)


def test_the_survey_for_awx_fits_the_argument_specs() -> None:
    known = specs()
    for question in json.loads(block("awx.md", '{\n  "name"'))["spec"]:
        name = "upgrade_version" if question["variable"] == "version" else question["variable"]
        assert name in known
        assert known[name]["type"] == "str"
        if question["variable"] != "version":
            assert question["default"] == known[name]["default"]
        assert (question["choices"] or None) == known[name].get("choices")


@pytest.mark.parametrize("start", ["# upgrade.yml", "# rollback.yml"])
def test_the_playbooks_for_awx_are_accepted(tmp_path: Path, start: str) -> None:
    (tmp_path / "play.yml").write_text(block("awx.md", start))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.yml"), "-i", "localhost,", "--syntax-check"],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPO / "playbooks/collections")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
