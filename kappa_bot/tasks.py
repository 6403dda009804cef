"""Ending tasks for certain."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 0.1


async def end(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks and return when all have ended. Their results and errors can still be asked for; none has to be.

    Cancelled again and again: a cancellation that meets a library at the moment when what it waited for is there can be
    lost in it (asyncio's own wait_for did that until Python 3.12), and a task that goes on would be waited for in vain.
    """
    tasks = list(tasks)
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain of one never retrieved
