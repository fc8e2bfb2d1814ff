# Copyright (c) 2026 MD Labs
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils._dotenv import entries, parse, read, secrets, with_values, without
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError
from hypothesis import given
from hypothesis import strategies as st

# What `util.parseEnv` of node 22.20.0 answered; tests/integration compares with the real one on generated texts.
NODE_22 = [
    ("A=1", {"A": "1"}),
    ("A=1\nA=2", {"A": "2"}),
    ("A=", {"A": ""}),
    ("A = b c  # note", {"A": "b c"}),
    ("A=b#c", {"A": "b"}),
    ("# A=1\n  # B=2\nC=3", {"# B": "2", "C": "3"}),
    ("export A=1", {"A": "1"}),
    ("export A=", {"export A": ""}),
    ("A='b # c' # d", {"A": "b # c"}),
    ('A="b\\nc"', {"A": "b\nc"}),
    ("A='b\\nc'", {"A": "b\\nc"}),
    ('A="b\nc"\nD=`e\nf`', {"A": "b\nc", "D": "e\nf"}),
    ('A="b', {"A": '"b'}),
    ('A="b # c\nD=1', {"A": '"b # c', "D": "1"}),
    ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ("A= \nB=1", {"A": "B=1"}),
    ("junk\nA=1", {"A": "1"}),
    ("=1\nA=1", {"A": "1"}),
    ('A=1\n #K=1\nB="1"\n #L=2', {"A": "1", "B": "1", "#L": "2"}),
    ("", {}),
]


@pytest.mark.parametrize(("text", "variables"), NODE_22)
def test_reads_as_node_does(text: str, variables: dict[str, str]) -> None:
    assert parse(text) == variables


texts = st.text(alphabet=st.sampled_from("AB=\n\r \t\"'`#\\nx:é\u00a0"), max_size=40)
keys = st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True)
values = st.text(alphabet=st.sampled_from("ab1 \n\t\"'`#\\n$é=:/"), max_size=12)


@given(texts)
def test_offsets_bound_the_written_value(text: str) -> None:
    last = 0
    for entry in entries(text):
        assert last <= entry.start <= entry.end <= len(text)
        last = entry.end
        written = text[entry.start : entry.end].replace("\r", "")
        assert entry.value in (written, written[1:-1], written[1:-1].replace("\\n", "\n"))


@given(texts, st.dictionaries(keys, values, max_size=4))
def test_an_edit_changes_what_was_asked_or_refuses(text: str, wanted: dict[str, str]) -> None:
    try:
        after = with_values(text, wanted)
    except EcommusError as error:
        assert error.remedy
        return
    assert parse(after) == {**parse(text), **wanted}
    assert with_values(after, wanted) == after


@given(st.dictionaries(keys, values, min_size=1), st.dictionaries(keys, values, max_size=4))
def test_an_orderly_file_can_always_be_edited(present: dict[str, str], wanted: dict[str, str]) -> None:
    if any(all(quote in value for quote in "'`") and ('"' in value or "\\n" in value) for value in [*present.values(), *wanted.values()]):
        return
    assert parse(with_values(with_values("", present), wanted)) == {**present, **wanted}


def test_everything_else_stays() -> None:
    text = "# head\r\nexport A = 'one' # why\r\n\r\nB=two\r\nJUNK\r\n"
    assert with_values(text, {"A": "x y", "C": "3"}) == "# head\r\nexport A = 'x y' # why\r\n\r\nB=two\r\nJUNK\r\nC=3\r\n"


def test_last_assignment_is_the_one_that_is_changed() -> None:
    assert with_values("A=1\nA=2\n", {"A": "3"}) == "A=1\nA=3\n"


def test_a_missing_last_line_end_is_added() -> None:
    assert with_values("A=1", {"B": "2"}) == "A=1\nB=2\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("az_AZ09./:@%+,=-", "az_AZ09./:@%+,=-"),
        ("", ""),
        ("a b", "'a b'"),
        ("$a", "'$a'"),
        ("it's", "`it's`"),
        ("it's `so`", '"it\'s `so`"'),
        ("a\nb", '"a\\nb"'),
        ('a\n"b"', "'a\n\"b\"'"),
        ("a\n\\n", "'a\n\\n'"),
    ],
)
def test_a_value_is_written_as_plainly_as_every_reader_allows(value: str, written: str) -> None:
    assert with_values("", {"A": value}) == f"A={written}\n"


@pytest.mark.parametrize(
    ("text", "wanted", "says", "remedy"),
    [
        ("", {"B": "'`\"\\n"}, "the value of B holds every kind of quote", "base64"),
        ("", {"B": "'`\""}, "the value of B holds every kind of quote", "base64"),
        ("", {"B": "'`\\n"}, "the value of B holds every kind of quote", "base64"),
        ("", {"B": "a\rb"}, "the value of B holds a carriage return or a NUL", "remove it"),
        ("", {"B": "a\0b"}, "the value of B holds a carriage return or a NUL", "remove it"),
        ("", {"1B": "a"}, "'1B' is not the name of an environment variable", "no digit in front"),
        ("", {"B=C": "a"}, "'B=C' is not the name of an environment variable", "use letters"),
    ],
)
def test_refused(text: str, wanted: dict[str, str], says: str, remedy: str) -> None:
    with pytest.raises(EcommusError) as caught:
        with_values(text, wanted)
    assert caught.value.message.startswith(says)
    assert remedy in caught.value.remedy


def test_a_change_that_would_not_be_read_back_is_refused() -> None:
    with pytest.raises(EcommusError) as caught:
        with_values('A="1\nC="x"\nB="1\nC="y"\n', {"B": "2", "A": "2"})  # the first quote ends before the x
    assert caught.value.message == "the environment file cannot be changed safely: A, B would read differently afterwards"
    assert "unclosed quote" in caught.value.remedy
    assert caught.value.details == {"variables": ["A", "B"]}


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EcommusError) as caught:
        read(f"{tmp_path}/none")
    assert caught.value.message == f"the environment file {tmp_path}/none does not exist"
    assert "inventory" in caught.value.remedy
    with pytest.raises(EcommusError) as caught:
        read(str(tmp_path))
    assert caught.value.message == f"the environment file {tmp_path} cannot be read: Is a directory"
    assert "correct its path" in caught.value.remedy


def test_secrets() -> None:
    variables = {
        "DATABASE_URL": "postgresql://shop:p%40ss@127.0.0.1:5432/shop",
        "JWT_SECRET": "signs-tokens",
        "JWT_PRIVATE_KEY_FILE": "/opt/ecommus/keys/jwt.pem",
        "JWT_KEY_ID": "2026-11",
        "NPM_REGISTRY_TOKEN": "npm-token",
        "API_URL": "https://api.shop.test:8443/x@y",
        "NODE_ENV": "production",
    }
    assert set(secrets(variables)) == {variables["DATABASE_URL"], "p%40ss", "p@ss", "signs-tokens", "npm-token"}


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("A=1\nX=2\nB=3\n", "A=1\nB=3\n"),
        ("X=2", ""),
        ("A=1\r\nexport X = 'two\r\nlines' # why\r\nB=3", "A=1\r\nB=3"),
        ("X=1\nA=1\nX=\n\n# end\n", "A=1\n\n# end\n"),
        ("# X=0\nA=X=1\n", "# X=0\nA=X=1\n"),
    ],
)
def test_a_variable_is_taken_out_with_its_line(text: str, after: str) -> None:
    assert without(text, ["X"]) == after


def test_a_variable_that_holds_another_one_in_is_not_taken_out() -> None:
    """Node skips the line end behind an empty value with blanks: X's value is on the line after."""
    with pytest.raises(EcommusError, match="cannot be changed safely: B, X"):
        without("X= \nA=1\nB=2\n", ["X"])
