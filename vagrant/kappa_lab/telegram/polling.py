"""getUpdates: the one long poll that Telegram serves.

As the published server does it:

- A request that finds updates, or has `timeout` 0, is answered at once and disturbs nobody. One that has to wait takes
  the place of the one that waits: that one ends with 409 "terminated by other getUpdates request".
- While a webhook is set every getUpdates ends with 409.
- The first 409 comes at once, any further one within three seconds is held back for three: two pollers displace each
  other slowly, not in a busy loop.
- Whoever repeats an offset within three seconds waits at least three (whatever `timeout` says), and within half a
  second gets one update only. A bot that polls anew "quickly, with timeout 0" meets this.
- A client that vanishes is not noticed: its poll keeps the place until its time is over or another takes it. What was
  or would have been handed to it stays held, for it was not confirmed.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from kappa_lab.telegram.errors import ApiError
from kappa_lab.telegram.updates import Update, UpdateQueue

MAX_TIMEOUT_S = 50
MAX_LIMIT = 100
CONFLICT_PAUSE_S = 3.0
REPEAT_WINDOW_S = 3.0
REPEAT_AT_ONCE_S = 0.5
# A woken poll waits this long for more of the same burst.
GATHER_S = 0.002

OTHER_POLL = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
WEBHOOK_SET = "Conflict: terminated by setWebhook request"


@dataclass(frozen=True)
class Conflict:
    """How a refused poll ends: decided `at` (time.time()), with 409 and this description, `delay_s` seconds later."""

    description: str
    at: float
    delay_s: float


class ConflictError(ApiError):
    """409. The answer may come seconds after `decided_at` (time.time()), when the poll was over for Telegram."""

    def __init__(self, conflict: Conflict) -> None:
        super().__init__(409, conflict.description)
        self.decided_at = conflict.at


@dataclass
class LongPoll:
    """The poll that waits. `outcome` is set exactly once, also when nobody listens any more."""

    offset: int
    limit: int
    outcome: "asyncio.Future[list[Update] | Conflict]"
    deadline: asyncio.TimerHandle
    gathering: asyncio.TimerHandle | None = None


class Polling:
    """`on_confirm(offset, update_ids)` hears of every update that a request has made the server forget."""

    def __init__(self, queue: UpdateQueue) -> None:
        self._queue = queue
        self._waiting: LongPoll | None = None
        self._next_conflict_at = 0.0
        self._last_offset = -1
        self._last_start = -3600.0
        self.webhook_active = False

    async def get_updates(
        self, offset: int, limit: int, timeout: float, on_confirm: Callable[[int, list[int]], None]
    ) -> list[Update]:
        """Answer one getUpdates; `limit` and `timeout` (seconds) are clamped as Telegram clamps them. Raises ApiError
        409.
        """
        if self.webhook_active:
            await self._refuse(self._conflict(WEBHOOK_ACTIVE))
        limit = min(max(limit, 1), MAX_LIMIT)
        timeout = min(max(timeout, 0), MAX_TIMEOUT_S)
        now = time.monotonic()
        if offset == self._last_offset:
            since = now - self._last_start
            if since < REPEAT_WINDOW_S:
                timeout = max(timeout, REPEAT_WINDOW_S)
            if since < REPEAT_AT_ONCE_S:
                limit = 1
        self._last_offset, self._last_start = offset, now

        forgotten = self._queue.confirm(offset)
        if forgotten:
            on_confirm(offset, forgotten)
        if offset <= 0:
            offset = self._queue.head
        found = self._queue.take(offset, limit)
        if found or timeout == 0:
            return found

        self._displace(OTHER_POLL)
        loop = asyncio.get_running_loop()
        poll = LongPoll(offset, limit, loop.create_future(), loop.call_later(timeout, self._finish))
        self._waiting = poll
        outcome = await asyncio.shield(poll.outcome)
        if isinstance(outcome, Conflict):
            await self._refuse(outcome)
            raise AssertionError("unreachable: a refusal raises")
        return outcome

    def wake(self) -> None:
        """An update has come."""
        poll = self._waiting
        if poll is not None and poll.gathering is None:
            poll.gathering = asyncio.get_running_loop().call_later(GATHER_S, self._finish)

    def webhook_was_set(self) -> None:
        self.webhook_active = True
        self._displace(WEBHOOK_SET)

    @property
    def is_waiting(self) -> bool:
        """Whether a poll keeps the place, be its client alive or not."""
        return self._waiting is not None

    def close(self) -> None:
        """The server ends: so does the poll that waits."""
        self._finish()

    def _finish(self) -> None:
        poll = self._leave()
        if poll is not None:
            poll.outcome.set_result(self._queue.take(poll.offset, poll.limit))

    def _displace(self, description: str) -> None:
        poll = self._leave()
        if poll is not None:
            poll.outcome.set_result(self._conflict(description))

    def _leave(self) -> LongPoll | None:
        poll, self._waiting = self._waiting, None
        if poll is not None:
            poll.deadline.cancel()
            if poll.gathering is not None:
                poll.gathering.cancel()
        return poll

    def _conflict(self, description: str) -> Conflict:
        now = time.monotonic()
        if now >= self._next_conflict_at:
            self._next_conflict_at = now + CONFLICT_PAUSE_S
            return Conflict(description, time.time(), 0.0)
        return Conflict(description, time.time(), CONFLICT_PAUSE_S)

    @staticmethod
    async def _refuse(conflict: Conflict) -> None:
        await asyncio.sleep(conflict.delay_s)
        raise ConflictError(conflict)
