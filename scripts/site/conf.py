# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How scripts/docs builds the site.

The pages are written for a forge, where they are read as well. What only the site can have is added here: the table of contents, and links
from a variable, a spec or a module to the page that is made from its own documentation.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

REPO = Path(__file__).resolve().parents[2]
GALAXY = yaml.safe_load((REPO / "galaxy.yml").read_text())

project = f"{GALAXY['namespace']}.{GALAXY['name']}"
author = "MD Labs"
project_copyright = "2026 MD Labs, GPL-3.0-or-later"
release = version = GALAXY["version"]

extensions = ["myst_parser", "sphinx_antsibull_ext"]
root_doc = "index"
myst_heading_anchors = 4  # as a forge has them
highlight_language = "none"
html_theme = "furo"
html_title = project
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
antsibull_ext_color_scheme = "default-autodark"

CONTENTS = """
```{toctree}
:hidden:
:caption: Use

Quick start <self>
docs/how-an-upgrade-goes
docs/from-the-manual-procedure
docs/requirements
docs/variables
docs/checks
docs/operating
docs/rehearsing
docs/awx
docs/zero-downtime
docs/security
docs/faq
```

```{toctree}
:hidden:
:caption: Look up

Modules, plugins, roles <reference/index>
Changes <CHANGELOG>
```

```{toctree}
:hidden:
:caption: Work on it

docs/architecture
CONTRIBUTING
tests/lab/README
inventories/example/README
```
"""

# What is made from a file of the checkout.
GENERATED = (
    (re.compile(r"roles/(\w+)/(meta/argument_specs\.yml|README\.md)"), r"reference/\1_role.rst"),
    (re.compile(r"plugins/modules/(\w+)\.py"), r"reference/\1_module.rst"),
    (re.compile(r"README\.md"), "index.md"),
)
# What the generated pages refer to in Ansible's own documentation, so that no inventory of it has to be fetched.
ANSIBLE = "https://docs.ansible.com/projects/ansible/latest"
ANSIBLE_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}
# Of a module or plugin of ansible-core, whose names scripts/docs-lint looks up.
ANSIBLE_PLUGIN = re.compile(r"ansible_collections\.ansible\.builtin\.(\w+)")
# The theme has the contents of each page beside it.
LOCAL_CONTENTS = re.compile(r"^\.\. contents::\n(?: +:.*\n)*", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def variables() -> dict[str, str]:
    """The variables of the roles, and the role of each."""
    return {
        name: path.parts[-3]
        for path in REPO.glob("roles/*/meta/argument_specs.yml")
        for name in yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    }


def lead_links_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let links to what is no page of the site lead to the page that is made of it, or to the repository."""
    if docname.startswith("reference/"):
        source[0] = LOCAL_CONTENTS.sub("", source[0])
        return
    here = posixpath.dirname(docname)

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(here, match[1]))
        for pattern, page in GENERATED:
            if pattern.fullmatch(path):
                return posixpath.relpath(pattern.sub(page, path), here or ".")
        if (Path(app.srcdir) / path).exists() or not (REPO / path).exists():  # one that leads nowhere is told by Sphinx
            return match[1]
        return f"{GALAXY['repository']}/blob/main/{path}"

    source[0] = LINK.sub(target, source[0]) + (CONTENTS if docname == root_doc else "")


def lead_variables_to_meanings(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let each variable that a page names lead to what the argument spec says of it."""
    known = app.config.variables_of_roles
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext().partition(":")[0].partition("=")[0]
        if docname.startswith("reference/") or name not in known or isinstance(literal.parent, nodes.reference):
            continue
        page = app.builder.get_relative_uri(docname, f"reference/{known[name]}_role")
        link = nodes.reference("", "", refuri=f"{page}#parameter-main--{name}", internal=True)
        literal.replace_self(link)
        link += literal


def lead_to_ansible(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.Element) -> nodes.Element | None:
    """Let references to Ansible's own documentation lead there. One that is in no list is told by Sphinx."""
    plugin = ANSIBLE_PLUGIN.fullmatch(node["reftarget"])
    page = f"collections/ansible/builtin/{plugin[1]}.html" if plugin else ANSIBLE_PAGES.get(node["reftarget"])
    return nodes.reference("", "", shown, refuri=f"{ANSIBLE}/{page}", internal=False) if page else None


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("variables_of_roles", variables(), "env")
    app.connect("source-read", lead_links_to_pages)
    app.connect("missing-reference", lead_to_ansible)
    app.connect("doctree-resolved", lead_variables_to_meanings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
