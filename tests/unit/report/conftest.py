"""A judged history to report on."""

import pytest

from tests.histories import History, Plan, build


@pytest.fixture(scope="session")
def untouched() -> History:
    return build(11, Plan(users=20, fault=6.0, traffic_s=18.0, online=6.0))


@pytest.fixture
def recorded(untouched: History) -> History:
    return untouched.copy()
