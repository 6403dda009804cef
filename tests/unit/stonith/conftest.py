import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stonith import broker
from tests.unit.stonith.broker import NODES, Broker


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with (
        tempfile.TemporaryDirectory(prefix="kappa-") as short,
        broker.running(tmp_path_factory.mktemp("powerd"), Path(short)) as running,
    ):
        yield running


@pytest.fixture
def power(shared: Broker) -> Broker:
    """A broker with three running machines behind it, and an audit log of this test's own."""
    shared.engine.reset()
    for node in NODES:
        shared.engine.add(f"kappa-lab-{node}")
    (shared.folder / "audit.jsonl").unlink(missing_ok=True)
    return shared
