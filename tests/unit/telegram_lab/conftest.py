"""The fixtures of the Telegram lab server's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.telegram_lab.labserver import Server, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running
