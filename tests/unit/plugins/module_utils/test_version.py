# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from ansible_collections.mdlabs.ecommus.plugins.module_utils._version import Version, bump, from_package, parse_tag
from hypothesis import given
from hypothesis import strategies as st

number = st.integers(min_value=0, max_value=10**9)
identifier = st.one_of(number.map(str), st.from_regex(r"[0-9]{0,3}[a-zA-Z-][0-9a-zA-Z-]{0,5}", fullmatch=True))
versions = st.builds(
    Version,
    number,
    number,
    number,
    st.lists(identifier, max_size=4).map(tuple),
    st.lists(st.from_regex(r"[0-9a-zA-Z-]{1,6}", fullmatch=True), max_size=3).map(".".join),
)


@given(versions)
def test_round_trip(version: Version) -> None:
    parsed = parse_tag(str(version))
    assert (parsed.core, parsed.pre, parsed.build) == (version.core, version.pre, version.build)


@given(versions, versions, versions)
def test_order_is_total(a: Version, b: Version, c: Version) -> None:
    assert (a < b) + (a == b) + (a > b) == 1
    if a <= b <= c:
        assert a <= c


def test_precedence_of_semver_org_item_11() -> None:
    tags = [
        "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-beta", "v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0-rc.1",
        "v1.0.0", "v1.0.1", "v1.2.0", "v1.10.0", "v2.0.0",
    ]  # fmt: skip
    assert sorted(map(parse_tag, reversed(tags))) == [parse_tag(tag) for tag in tags]
    assert parse_tag("v1.0.0+a") == parse_tag("v1.0.0+b")


@pytest.mark.parametrize(
    ("current", "target", "kind"),
    [
        ("v1.3.2", "v1.3.3", "patch"),
        ("v1.3.2", "v1.4.0", "minor"),
        ("v1.3.2", "v2.0.0", "major"),
        ("v1.3.2", "v1.3.2", "same"),
        ("v1.3.2", "v1.3.2+build.7", "same"),
        ("v1.4.0", "v1.3.9", "downgrade"),
        ("v1.4.0", "v1.4.0-rc.1", "downgrade"),
        ("v1.3.2", "v1.4.0-rc.1", "minor"),
        ("v1.4.0-rc.1", "v1.4.0", "minor"),
        ("v1.4.1-rc.1", "v1.4.1-rc.2", "patch"),
        ("v2.0.0-rc.1", "v2.0.0", "major"),
        ("v1.9.0", "v1.10.0", "minor"),
        ("v0.3.0", "v0.4.0", "major"),
        ("v0.3.0", "v0.3.1", "patch"),
    ],
)
def test_bump(current: str, target: str, kind: str) -> None:
    assert bump(parse_tag(current), parse_tag(target)) == kind


@given(versions, versions)
def test_bump_agrees_with_order(a: Version, b: Version) -> None:
    assert (bump(a, b) in ("patch", "minor", "major")) == (a < b)
    assert (bump(a, b) == "downgrade") == (a > b)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no version was given"),
        ("  ", "no version was given"),
        ("latest", "give one exact release tag"),
        ("main", "give one exact release tag"),
        ("1.4.0", "did you mean v1.4.0?"),
        ("V1.4.0", "did you mean v1.4.0?"),
        (" v1.4.0 ", "did you mean v1.4.0?"),
        ("v1.4.0\n", "did you mean v1.4.0?"),
        ("v1.4", "give one exact release tag"),
        ("v01.4.0", "not a release tag"),
        ("v1.4.0-01", "not a release tag"),
        ("v1.4.0-", "not a release tag"),
        ("v1.4.0; touch /tmp/x", "'v1.4.0; touch /tmp/x' is not a release tag"),
        ("v1.4.0$(id)", "not a release tag"),
        ("--upload-pack=id", "not a release tag"),
        ("v١.4.0", "not a release tag"),
        ("v1.4.0\x1b[2J", r"\x1b"),
        ("v" + "9" * 5000 + ".0.0", "'v" + "9" * 56 + "...' is not a release tag"),
        ("v" + "9" * 59, "'v" + "9" * 59 + "' is not a release tag"),
        ("v" + "9" * 60, "'v" + "9" * 56 + "...' is not a release tag"),
        ("v1.4.0+" + "a" * 250, "give one exact release tag"),  # 257 characters
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(EcommusError) as refused:
        parse_tag(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.remedy


@given(st.text())
def test_any_text_is_a_version_or_a_clear_error(text: str) -> None:
    try:
        assert str(parse_tag(text)) == text
    except EcommusError as error:
        assert error.remedy


def test_a_tag_may_have_256_characters() -> None:
    build = "a" * 249
    assert parse_tag(f"v1.4.0+{build}") == Version(1, 4, 0, (), build)
    assert parse_tag(f"v1.4.0+{build}").build == build
    with pytest.raises(EcommusError, match=r"did you mean v1\.4\.0\+a"):
        parse_tag(f"1.4.0+{build}")


def test_versions_are_told_apart_as_members_of_a_set() -> None:
    assert len({parse_tag("v1.0.0+a"), parse_tag("v1.0.0+b"), parse_tag("v1.0.0-a"), parse_tag("v1.0.1")}) == 3
    assert parse_tag("v1.0.0") != "v1.0.0"


def test_package_version() -> None:
    assert from_package("1.4.0") == parse_tag("v1.4.0")
