"""Fixtures of the plugins' unit tests; ``http_lab`` is importable from all of them."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import hypothesis
import pytest

# How long the making of an example takes says something about the machine, and nothing about what is tested.
hypothesis.settings.register_profile("ecommus", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("ecommus")
sys.path.insert(0, str(Path(__file__).parent))

if t.TYPE_CHECKING:
    from http_lab import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of this test run."""
    from http_lab import Authority

    return Authority(tmp_path_factory.mktemp("ca"))
