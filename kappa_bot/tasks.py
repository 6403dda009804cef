"""Ending tasks for certain, and how they ended."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any

from kappa_bot.exits import FatalError

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


async def within(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)


async def ended(task: "asyncio.Task[None]") -> bool:
    """Whether a task has ended well; it is cancelled if it has not ended. Raises what it raised."""
    await end([task])
    if task.cancelled():
        return False
    await task
    return True


def cause(task: "asyncio.Task[None]") -> BaseException:
    """Why a task failed: of a group of errors the one that was meant for the operator, else the first."""
    error = task.exception()
    leaves: list[BaseException] = []

    def collect(each: BaseException) -> None:
        if isinstance(each, BaseExceptionGroup):
            for inner in each.exceptions:
                collect(inner)
        else:
            leaves.append(each)

    assert error is not None
    collect(error)
    return next((leaf for leaf in leaves if isinstance(leaf, FatalError)), leaves[0])
