"""Real services for the tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pm2_shop
import pytest


@pytest.fixture(scope="session")
def node_tools() -> Path:
    """The directory with a real node and pm2: the lab's, or one installed into the cache of this checkout."""
    return pm2_shop.tools(pm2_shop.REPO / ".cache" / "test-tools")


@pytest.fixture
def pm2_home(node_tools: Path) -> Iterator[pm2_shop.Shop]:
    """A shop with a pm2 of its own, gone after the test."""
    shop = pm2_shop.Shop.make(node_tools)
    try:
        yield shop
    finally:
        shop.destroy()
