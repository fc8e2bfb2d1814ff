# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._migrations import (
    Applied,
    Expected,
    Migration,
    Places,
    expected,
    plugin_folders,
    state,
)
from hypothesis import given
from hypothesis import strategies as st

CORE = Migration("core", "", "0001_init")
STARS = Migration("plugins", "@ecommus-plugin/reviews", "0001_stars")


def plugin(root: Path, folder: str, manifest: object, **files: str) -> None:
    path = root / folder
    (path / "migrations").mkdir(parents=True)
    (path / "package.json").write_text(json.dumps(manifest))
    for name, text in files.items():
        (path / "migrations" / f"{name}.sql").write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "packages/db/migrations").mkdir(parents=True)
    for name in ("0002_b.sql", "0001_a.sql", "notes.md"):
        (tmp_path / "packages/db/migrations" / name).write_text(name)
    kind = {"ecommus": {"kind": "plugin"}}
    plugin(tmp_path, "plugins/reviews", {"name": "reviews", **kind}, **{"0001_r": ""})
    plugin(tmp_path, "plugins/theme", {"name": "theme", "ecommus": {"kind": "theme"}}, **{"0001_t": ""})
    plugin(tmp_path, "plugins/library", {"name": "library"}, **{"0001_l": ""})
    plugin(tmp_path, "node_modules/@ecommus-plugin/sms", {"name": "@ecommus-plugin/sms", **kind}, **{"0001_s": ""})
    plugin(tmp_path, "apps/api/node_modules/@acme/erp", {"name": "@acme/erp", **kind}, **{"0001_e": ""})
    plugin(tmp_path, "node_modules/@acme/older", {"name": "@acme/older"}, **{"0001_o": ""})
    (tmp_path / "node_modules/@acme/older/ecommus.plugin.json").write_text('{"minCoreVersion": "1.0.0"}')
    (tmp_path / "node_modules/@acme/reviews").symlink_to(tmp_path / "plugins/reviews")
    return tmp_path


def test_expected(root: Path) -> None:
    assert [str(item) for item in expected(str(root), Places()).migrations] == [
        "0001_a", "0002_b", "@acme/erp/0001_e", "@acme/older/0001_o", "@ecommus-plugin/sms/0001_s", "reviews/0001_r",
    ]  # fmt: skip
    ignored = expected(str(root), Places(ignored_plugins=("reviews", "@acme/erp"))).of("plugins")
    assert [item.plugin for item in ignored] == ["@acme/older", "@ecommus-plugin/sms"]


def test_core_files_are_known_by_their_content_too(root: Path) -> None:
    hashes = {hashlib.sha256(f"{name}.sql".encode()).hexdigest(): Migration("core", "", name) for name in ("0001_a", "0002_b")}
    found = expected(str(root), Places(plugin_directories=("plugins/*",)))
    assert found == Expected((*hashes.values(), Migration("plugins", "reviews", "0001_r")), hashes)
    assert found.of("core") == tuple(hashes.values())


def test_migrations_are_found_where_the_release_keeps_them(root: Path) -> None:
    plugin(root, "extra/x[1]", {"name": "x", "ecommus": {"kind": "plugin"}}, **{"0001_x": "", "0002_x": ""})
    (root / "extra/x[1]/migrations").rename(root / "extra/x[1]/sql")
    (root / "packages").rename(root / "core")
    places = Places(core_directory="core/db/migrations", plugin_directories=("extra/*",), plugin_migrations="sql")
    assert [str(item) for item in expected(str(root), places).migrations] == ["0001_a", "0002_b", "x/0001_x", "x/0002_x"]


def test_a_plugin_that_is_there_twice_is_the_one_of_the_first_place(root: Path) -> None:
    kind = {"ecommus": {"kind": "plugin"}}
    plugin(root, "node_modules/@acme/twice", {"name": "reviews", **kind}, **{"0001_other": ""})
    folders = plugin_folders(str(root), Places())
    assert {name: os.path.relpath(folder, root) for name, folder in folders.items()} == {
        "reviews": "plugins/reviews",
        "@acme/older": "node_modules/@acme/older",
        "@ecommus-plugin/sms": "node_modules/@ecommus-plugin/sms",
        "@acme/erp": "apps/api/node_modules/@acme/erp",
    }


def test_no_core_migrations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EcommusError) as caught:
        expected(str(tmp_path), Places())
    assert caught.value.message == f"{tmp_path}/packages/db/migrations holds no migrations (*.sql)"
    assert "core_directory" in caught.value.remedy


def test_a_broken_manifest_is_an_error(root: Path) -> None:
    (root / "plugins/reviews/package.json").write_text("{")
    with pytest.raises(EcommusError, match=r"plugins/reviews/package\.json cannot be read") as caught:
        expected(str(root), Places())
    assert "npm ci" in caught.value.remedy


def test_package_of_a_short_name() -> None:
    two = Expected((STARS, Migration("plugins", "@acme/erp", "1"), Migration("plugins", "@other/erp", "1")), {})
    assert two.package("reviews") == "@ecommus-plugin/reviews"
    assert two.package("@ecommus-plugin/reviews") == "@ecommus-plugin/reviews"
    assert two.package("erp") == "erp", "two could be meant"


migrations = st.lists(
    st.builds(Migration, st.sampled_from(["core", "plugins"]), st.sampled_from(["a", "b"]), st.sampled_from("123")), unique=True
)


@given(migrations, migrations)
def test_state_adds_up(release: list[Migration], done: list[Migration]) -> None:
    found = state(Expected(tuple(release), {}), [Applied(item) for item in done])
    assert set(found.pending) == set(release) - set(done)
    assert set(found.unknown) == set(done) - set(release)
    assert list(found.pending) == [item for item in release if item not in done], "in the order of the release"


@given(migrations, st.lists(st.builds(Migration, st.just("plugins"), st.sampled_from(["", "a", "c"]), st.sampled_from("1234")), max_size=5))
def test_a_ledger_that_may_not_say_whose_migration_it_is(release: list[Migration], done: list[Migration]) -> None:
    """What a row certainly means is neither pending nor unknown; what none can mean is pending, and of no release unknown."""
    found = state(Expected(tuple(release), {}), [Applied(item) for item in done])
    assert set(found.pending) <= set(release) - set(done)
    assert not set(found.unknown) & set(release)
    names = {item.name for item in done}
    assert {item for item in release if item.ledger == "core" or item.name not in names} <= set(found.pending)
    brought = {item.name for item in release if item.ledger == "plugins"}
    assert {item for item in done if item.name not in brought} <= set(found.unknown)


def test_a_plugin_ledger_without_plugins() -> None:
    found = state(Expected((STARS,), {}), [Applied(Migration("plugins", "", "0001_stars")), Applied(Migration("plugins", "", "x"))])
    assert (found.pending, [item.name for item in found.unknown]) == ((), ["x"])
