# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.mdlabs.ecommus.plugins.modules import plugin_inventory

Call = t.Callable[..., tuple[dict[str, t.Any], str]]
BEFORE = "a@1.0.0  built-in  enabled\nb@2.0.0  premium  enabled\n"


def test_compared_by_text_and_by_file(call: Call, tmp_path: Path) -> None:
    after = tmp_path / "after.txt"
    after.write_text("a@1.0.1  built-in  enabled\nb@2.0.0  premium  disabled\n")
    result, _ = call(plugin_inventory, state="compared", before=BEFORE, after=str(after), strict=False, _ansible_diff=True)
    assert (result["verdict"], result["changed"]) == ("changed", False)
    assert result["problems"] == ["b is disabled"]
    assert result["bumps"] == [{"name": "a", "from": "1.0.0", "to": "1.0.1", "kind": "patch"}]
    assert result["diff"]["before"] == "a@1.0.0 built-in enabled\nb@2.0.0 premium enabled\n"
    allowed, _ = call(plugin_inventory, state="compared", before=BEFORE, after=str(after), allow=["b"])
    assert allowed["verdict"] == "ok"
    refused, _ = call(plugin_inventory, state="compared", before=BEFORE, after=str(after))
    assert refused["failed"]
    assert "would change: b is disabled. Remedy: " in refused["msg"]


def test_a_list_that_is_not_there(call: Call, tmp_path: Path) -> None:
    result, _ = call(plugin_inventory, state="compared", before=str(tmp_path / "none"), after=BEFORE)
    assert result["failed"]
    assert "cannot be read" in result["msg"]


def test_no_checkout(call: Call, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://x:y@127.0.0.1/z\n")
    result, _ = call(plugin_inventory, root=str(tmp_path))
    assert "has no apps/api/src/cli/list-plugins.ts" in result["msg"]
