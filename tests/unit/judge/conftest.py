"""One clean history, made once; each test breaks a copy of its own."""

import pytest

from tests.histories import History, Plan, build

SMALL = Plan(users=20, fault=6.0, traffic_s=18.0, online=6.0)


@pytest.fixture(scope="session")
def pristine() -> History:
    return build(7, SMALL)


@pytest.fixture
def history(pristine: History) -> History:
    """A drill in which every invariant held, to be broken."""
    return pristine.copy()
