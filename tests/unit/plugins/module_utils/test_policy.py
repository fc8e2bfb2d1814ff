from __future__ import annotations

import pytest
from ansible_collections.mdlabs.ecommus.plugins.module_utils import _policy
from ansible_collections.mdlabs.ecommus.plugins.module_utils._errors import EcommusError

TAGS = {tag: f"commit-of-{tag}" for tag in ("v1.3.2", "v1.3.3", "v1.4.0", "v2.0.0", "nightly", "v1.10.0")}


@pytest.mark.parametrize(
    ("source", "target", "bump"),
    [("v1.3.2", "v1.3.3", "patch"), ("v1.3.2", "v1.4.0", "minor"), ("v1.4.0", "v1.4.0", "same"), ("v1.4.0", "v1.10.0", "minor")],
)
def test_steps_that_may_be_made(source: str, target: str, bump: str) -> None:
    step = {"source": source, "target": target, "commit": f"commit-of-{target}", "bump": bump}
    assert _policy.decide(source, target, TAGS).as_dict() == step


def test_the_newest_releases_are_those_of_the_highest_number() -> None:
    tags = [*TAGS, "v2.0.0-rc.1", "v1.3.1"]
    assert _policy.newest(tags) == ["v2.0.0", "v2.0.0-rc.1", "v1.10.0", "v1.4.0", "v1.3.3"]
    assert _policy.newest(tags, 1) == ["v2.0.0"]


@pytest.mark.parametrize(
    ("source", "target", "says", "remedy"),
    [
        ("v1.3.2", "v9.9.9", "no release v9.9.9", "v2.0.0, v1.10.0, v1.4.0"),
        ("v1.4.0", "v1.3.2", "older than v1.4.0", "rollback.yml"),
        ("v1.4.0", "v2.0.0", "major step", "migration guide"),
        ("v1.3.2", "latest", "'latest' is not a release tag", "v1.4.0"),
        ("v1.3.2", "1.4.0", "not a release tag", "v1.4.0"),
        ("v1.3.2", "nightly", "not a release tag", "v1.4.0"),
        (None, "v1.4.0", "no release tag", "git checkout"),
    ],
)
def test_steps_that_may_not(source: str | None, target: str, says: str, remedy: str) -> None:
    with pytest.raises(EcommusError) as caught:
        _policy.decide(source, target, TAGS)
    assert says in f"{caught.value.message} {caught.value.remedy}"
    assert remedy in f"{caught.value.message} {caught.value.remedy}"


def test_a_remote_without_releases_is_told_as_such() -> None:
    with pytest.raises(EcommusError) as caught:
        _policy.decide("v1.3.2", "v1.4.0", {"nightly": "c"})
    assert (caught.value.message, caught.value.remedy) == ("the remote has no release v1.4.0", "its newest are: none")
