# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever others have written, a parser reads it or says with a remedy that it cannot: it never ends in a traceback."""

from __future__ import annotations

import datetime
import json
import string
import tempfile
import typing as t
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import (
    _checks_backup,
    _cutover_record,
    _dotenv,
    _expect,
    _journal,
    _layout,
    _license,
    _lock,
    _manifest,
    _npm_diagnosis,
    _plugins,
    _pm2,
    _pm2_table,
    _postgres,
    _receipt,
    _release,
    _snapshot,
    _version,
)
from ansible_collections.mdlabs.ecommus.plugins.module_utils._command import Result
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from hypothesis import example, given
from hypothesis import strategies as st

WORDS = [
    "api", "name", "pid", "pm_id", "pm2_env", "env", "monit", "memory", "status", "runs", "schema", "id", "outcome", "phases", "facts",
    "run_id", "controller", "boot_id", "since", "format", "size", "ecommus", "kind", "dependencies", "permissions", "plugin", "count",
    "old", "exp", "iat", "plugins", "version", "t", "event", "target", "ok", "pm_uptime", "exit_code", "NODE_APP_INSTANCE",
]  # fmt: skip
texts = st.one_of(st.text(max_size=60), st.sampled_from(WORDS))
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.sampled_from(WORDS), texts), inner, max_size=4)),
    max_leaves=12,
)
contents = st.one_of(st.binary(max_size=80), values.map(lambda value: json.dumps(value).encode()))


def reads_or_explains(read: t.Callable[[], t.Any]) -> t.Any:
    """What *read* answers; None when it said with a remedy why it cannot."""
    try:
        return read()
    except EcommusError as error:
        assert error.remedy
        assert "\n" not in error.message
        return None


# ---------------------------------------------------------------- texts


@given(st.one_of(texts, st.text(alphabet="v0123456789.-+abc", max_size=20)))
def test_versions(text: str) -> None:
    reads_or_explains(lambda: _version.parse_tag(text))
    reads_or_explains(lambda: _version.from_package(text))


@given(st.text(max_size=200))
def test_environment_files(text: str) -> None:
    found = _dotenv.parse(text)
    assert all(isinstance(value, str) for value in found.values())
    _dotenv.secrets(found)


@given(st.one_of(st.text(), st.from_regex(r"postgres(ql)?://[^ ]*", fullmatch=True)))
def test_database_urls(text: str) -> None:
    target = reads_or_explains(lambda: _postgres.Target.from_url(text))
    if target is not None:
        assert isinstance(target.database, str)


@given(st.one_of(st.text(), st.lists(st.text(alphabet=string.ascii_letters + "-_=", max_size=30), min_size=3, max_size=3).map(".".join)))
def test_licences(text: str) -> None:
    reads_or_explains(lambda: _license.decode(text))


@given(st.text(alphabet="0123456789*/,-@ #\tahour", max_size=40))
@example("0-99999999999 * * * * root job")
def test_crontabs(line: str) -> None:
    found = _checks_backup._schedule(line)
    assert found is None or (found[0] <= set(range(60)) and found[1] <= set(range(24)))


@given(st.text(max_size=200))
def test_front_matter(text: str) -> None:
    assert _release.front_matter(text) in text


@given(st.text(max_size=200), st.text(max_size=200), st.integers(0, 255), st.booleans())
def test_what_npm_says(output: str, error: str, code: int, given_: bool) -> None:
    found = _npm_diagnosis.diagnose(Result(("npm",), code, output, error), token_given=given_, licence="", ask=dict)
    assert found.message and found.remedy


@given(values, values)
def test_answers_of_services(expected: t.Any, found: t.Any) -> None:
    said = _expect.mismatch(expected, found)
    assert isinstance(said, str)
    assert not _expect.mismatch(found, found) or not isinstance(found, (dict, list)) or "nan" in repr(found) or "." in json.dumps(found)


records = st.fixed_dictionaries(
    {"name": st.one_of(texts, st.none())}, optional={"version": values, "origin": values, "enabled": values, "notes": values}
)


@given(
    st.one_of(values, st.lists(records, max_size=4), st.fixed_dictionaries({"plugins": st.lists(records, max_size=4)})).map(json.dumps),
    st.lists(st.text(max_size=40), max_size=3),
)
def test_lists_of_plugins_in_any_json(listing: str, log: list[str]) -> None:
    for text in (listing, "\n".join([*log, listing])):
        found = _plugins.parse(text)
        assert _plugins.compare(found, found).verdict == "ok"
        assert len(found.by_name()) == len(found.plugins)


# ---------------------------------------------------------------- pm2


def line(name: str, pm_id: int, status: str) -> dict[str, t.Any]:
    return {"name": name, "pm_id": pm_id, "pid": 1, "pm2_env": {"status": status, "pm_cwd": "/x", "pm_exec_path": "/x/app.js"}}


tables = st.lists(st.builds(line, texts, st.integers(0, 99), st.sampled_from(["online", "stopped", "errored"])), max_size=4)
notices = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=40),
        st.sampled_from(["[PM2] Spawning PM2 daemon", ">>>> In-memory PM2 is out-of-date, do:", "\x1b[32m[PM2][WARN]\x1b[39m", "[", "{}"]),
    ).filter(lambda text: text != "[]" and not text.startswith("[{")),
    max_size=4,
)


@given(notices, tables, notices)
def test_the_table_is_found_among_any_notices(before: list[str], table: list[dict[str, t.Any]], after: list[str]) -> None:
    output = "\n".join([*before, json.dumps(table), *after])
    assert _pm2_table.parse_jlist(output) == table
    assert [entry.pm_id for entry in _pm2_table.entries(table)] == sorted(process["pm_id"] for process in table)


@given(st.one_of(st.text(), values.map(json.dumps), values.map(lambda value: json.dumps([{"pm2_env": value}]))))
def test_any_output_of_jlist(output: str) -> None:
    table = reads_or_explains(lambda: _pm2_table.parse_jlist(output))
    if table is not None and reads_or_explains(lambda: _pm2_table.entries(table)) is not None:
        _pm2_table.secrets(table)


# ---------------------------------------------------------------- files

FILES: dict[str, tuple[str, t.Callable[[str], t.Any]]] = {
    "journal": ("journal.json", lambda directory: _journal.Journal.load(directory).open_run()),
    "lock": ("lock", lambda directory: _lock.Lock(directory).read()),
    "manifest of a plugin": ("package.json", _manifest.read),
    "marker of a release": (_layout.MARKER, _layout.read_marker),
    "manifest of a snapshot": ("x.manifest.json", lambda directory: _snapshot.load(f"{directory}/x.dump")),
    "record of a cut-over": ("record", lambda directory: _cutover_record.Record(f"{directory}/record").past("api")),
    "log of the prober": ("log", lambda directory: _receipt.read_log(f"{directory}/log")),
    "saved list of pm2": ("dump.pm2", lambda directory: _pm2.saved_names(f"{directory}/dump.pm2")),
    "environment": (".env", lambda directory: _dotenv.read(f"{directory}/.env")),
}


@pytest.mark.parametrize("what", FILES)
def test_any_content_of_a_file(what: str) -> None:
    name, read = FILES[what]

    @given(contents)
    @example(b'{"schema": 1}')
    @example(b'{"schema": 1, "runs": [{}]}')
    @example(b'{"ecommus": {"kind": "plugin", "dependencies": 1}}')
    @example(b'{"api": 1}')
    @example(b"\xff\xfe")
    def any_content(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / name).write_bytes(content)
            reads_or_explains(lambda: read(directory))

    any_content()


@given(values)
def test_claims_of_a_licence(claims: t.Any) -> None:
    if isinstance(claims, dict):
        licence = _license.License(claims, "")
        json.dumps(licence.shown())
        assert licence.expired(datetime.datetime.now(datetime.timezone.utc)) in (True, False)
