from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mongod import ReplicaSet, replica_set
from tests.unit.kappa_bot.bot_lab import BotLab, bot_lab

__all__ = ["replica_set"]


@pytest.fixture
def lab(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[BotLab]:
    """A prepared database, the Telegram lab server, no bot yet."""
    with bot_lab(replica_set, tmp_path / "lab") as found:
        yield found
