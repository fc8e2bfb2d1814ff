"""Fixtures on the lab: ``pytest_plugins = ["ecommus_lab.pytest_plugin"]``.

A lab that the tests find running is used and left running; one that they start, they stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .config import LabConfig, LabError
from .lab import Lab
from .running import RunningShop

ORDERS = 2_000  # per shop; enough for every query to have something to do, and seeded in a second


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The running lab; the light flavour, unless another one runs already."""
    try:
        yield Lab.attach(LabConfig.from_environment())
        return
    except LabError:
        started = Lab.up(flavour="light", orders=ORDERS)
    try:
        yield started
    finally:
        started.down()


@pytest.fixture
def fresh_shop(lab: Lab) -> Callable[[str], RunningShop]:
    """Gives a shop as the lab first made it, whatever earlier tests did to it, and all services running."""

    def give(name: str) -> RunningShop:
        lab.reset([name])
        return lab.shop(name)

    return give


__all__ = ["fresh_shop", "lab"]
