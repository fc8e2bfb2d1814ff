# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _pm2_logs
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

JWT = "eyJhbGciOiJFZERTQSJ9.eyJ0aWVyIjoicHJvIn0.c2ln-x_y"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("".join(f"{n}\n" for n in range(30)), [str(n) for n in range(10, 30)]),
        ("connect postgres://shop:p%40ss@127.0.0.1/d failed", ["connect postgres://***@127.0.0.1/d failed"]),
        ("see https://shop.test:8443/a", ["see https://shop.test:8443/a"]),
        (f"Bearer {JWT} expired", ["Bearer *** expired"]),
        ("a s3cret b", ["a *** b"]),
        ("", []),
    ],
)
def test_an_excerpt_holds_no_secrets(text: str, shown: list[str]) -> None:
    assert _pm2_logs.excerpt(text, ["s3cret"]) == shown


def test_an_excerpt_may_be_shorter() -> None:
    assert _pm2_logs.excerpt("a\nb\nc\n", [], 2) == ["b", "c"]


def test_as_much_of_a_log_is_read_as_a_report_can_use(tmp_path: Path) -> None:
    log, limit = tmp_path / "log", 256 * 1024
    log.write_bytes(b"a" * 10 + b"\xff" + b"b" * (limit - 1))
    assert _pm2_logs.read_from(str(log), 0) == "\ufffd" + "b" * (limit - 1)
    assert _pm2_logs.read_from(str(log), limit + 5) == "b" * 5
    assert _pm2_logs.read_from(str(log), limit + 10) == ""
    assert _pm2_logs.read_from(None, 0) == _pm2_logs.read_from(str(tmp_path), 0) == ""
    assert [_pm2_logs.size(path) for path in (str(log), None, "", str(tmp_path / "none"))] == [limit + 10, 0, 0, 0]


def entry(directory: Path, name: str) -> Any:
    return SimpleNamespace(error_log=str(directory / f"{name}.err"), out_log=None, script=f"/srv/{name}.js", cwd="/srv")


def test_an_error_holds_what_the_first_of_them_wrote_since(tmp_path: Path) -> None:
    entries: Any = [entry(tmp_path, "api"), entry(tmp_path, "admin"), entry(tmp_path, "web")]
    (tmp_path / "api.err").write_text("old\n")
    since = _pm2_logs.mark(entries)
    assert since == {str(tmp_path / "api.err"): 4, str(tmp_path / "admin.err"): 0, str(tmp_path / "web.err"): 0}
    for name, text in (("api", "old\n \n"), ("admin", "boom s3cret\n"), ("web", "later\n")):
        (tmp_path / f"{name}.err").write_text(text)
    error = EcommusError("it broke", "mend it")
    pm2: Any = SimpleNamespace(secrets=lambda: {"s3cret"})
    _pm2_logs.note(pm2, error, entries, since)
    assert (error.details, error.remedy) == ({"log": ["boom ***"]}, "mend it")
    short = EcommusError("it broke")
    (tmp_path / "web.err").write_text("one\ntwo\nthree\n")
    _pm2_logs.note(pm2, short, entries[2:], since, 2)
    assert short.details == {"log": ["two", "three"]}
    silent = EcommusError("it broke", "mend it")
    _pm2_logs.note(pm2, silent, entries[:1], since)
    assert silent.details == {}
    assert silent.remedy == "mend it. It left nothing in its log; see what `node /srv/api.js` says in /srv"
    nobody = EcommusError("it broke", "mend it")
    _pm2_logs.note(pm2, nobody, [], since)
    assert (nobody.details, nobody.remedy) == ({}, "mend it")
