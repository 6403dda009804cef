from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mongod import ReplicaSet, replica_set
from tests.unit.kappa_bot.bot_lab import BotLab, Prepared, bot_lab, prepared

__all__ = ["replica_set"]


@pytest.fixture(scope="session")
def ready(replica_set: ReplicaSet, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(replica_set, tmp_path_factory.mktemp("prepare"))


@pytest.fixture
def lab(ready: Prepared, tmp_path: Path) -> Iterator[BotLab]:
    """An empty prepared database, the Telegram lab server, no bot yet."""
    with bot_lab(ready, tmp_path / "lab") as found:
        yield found


@pytest.fixture
def silent_lab(ready: Prepared, tmp_path: Path) -> Iterator[BotLab]:
    """The same without Telegram: for parts of the bot that run inside the test."""
    with bot_lab(ready, tmp_path / "lab", telegram=False) as found:
        yield found
