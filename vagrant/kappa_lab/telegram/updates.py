"""The queue of updates: what Telegram holds for a bot until the bot has confirmed it.

The rules are those of the published server's event queue. Ids grow by one. Handing an update out changes nothing; only
a request with a higher offset forgets it. A negative offset keeps the last `-offset` updates and forgets the rest. An
offset more than ten beyond the end is nonsense and answered from the beginning, forgetting nothing. What nobody fetches
expires: a message after a day, a callback query after 150 seconds.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MESSAGE_LIFETIME_S = 86400.0
CALLBACK_LIFETIME_S = 150.0
FUTURE_TOLERANCE = 10


@dataclass(frozen=True)
class Update:
    """One update as it is held. `lane` is what a webhook keeps order within: the chat, or the user who tapped."""

    update_id: int
    kind: str
    body: Json
    expires_at: float
    lane: str

    def json(self) -> Json:
        return {"update_id": self.update_id, self.kind: self.body}


class UpdateQueue:
    """`on_expiry(update_ids)` hears of what nobody fetched in time; `clock` gives seconds, so that expiry can be
    tested.
    """

    def __init__(
        self,
        first_id: int,
        on_expiry: Callable[[list[int]], None] = lambda ids: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._next_id = first_id
        self._held: OrderedDict[int, Update] = OrderedDict()
        # Ids in order of arrival; those no longer held are passed over when they come to the front.
        self._by_lane: dict[str, deque[int]] = {}
        self._on_expiry = on_expiry
        self._clock = clock
        self._next_expiry = math.inf

    def __len__(self) -> int:
        return len(self._held)

    @property
    def head(self) -> int:
        """The id of the oldest update held; of the next one to come, where none is."""
        return next(iter(self._held), self._next_id)

    @property
    def tail(self) -> int:
        """The id that the next update will get."""
        return self._next_id

    def push(self, kind: str, body: Json, lane: str) -> Update:
        lifetime = CALLBACK_LIFETIME_S if kind == "callback_query" else MESSAGE_LIFETIME_S
        update = Update(self._next_id, kind, body, self._clock() + lifetime, lane)
        self._next_expiry = min(self._next_expiry, update.expires_at)
        self._next_id += 1
        self._held[update.update_id] = update
        self._by_lane.setdefault(lane, deque()).append(update.update_id)
        return update

    def confirm(self, offset: int) -> list[int]:
        """Forget what `offset` confirms and return those ids. Zero, and an offset beyond reason, confirm nothing."""
        if offset < 0:
            return self._forget_first(len(self._held) + offset)
        if offset > self._next_id + FUTURE_TOLERANCE:
            return []
        forgotten = []
        while self._held and self.head < offset:
            forgotten.append(self._held.popitem(last=False)[0])
        return forgotten

    def take(self, offset: int, limit: int) -> list[Update]:
        """The oldest updates from `offset` on, at most `limit`. They stay held."""
        if offset > self._next_id + FUTURE_TOLERANCE:
            offset = 0
        self._expire()
        taken: list[Update] = []
        for update in self._held.values():
            if len(taken) == limit:
                break
            if update.update_id >= offset:
                taken.append(update)
        return taken

    def drop(self, update_id: int) -> None:
        """Forget one update (a webhook has answered 2xx for it)."""
        self._held.pop(update_id, None)

    def clear(self) -> list[int]:
        return self._forget_first(len(self._held))

    def lanes(self) -> list[str]:
        """Every lane that holds an update."""
        self._expire()
        return [lane for lane in list(self._by_lane) if self.first_of(lane)]

    def first_of(self, lane: str) -> Update | None:
        """The oldest update held in a lane."""
        waiting = self._by_lane.get(lane)
        while waiting:
            update = self._held.get(waiting[0])
            if update is not None:
                return update
            waiting.popleft()
        self._by_lane.pop(lane, None)
        return None

    def holds(self, update_id: int) -> bool:
        return update_id in self._held

    def _forget_first(self, count: int) -> list[int]:
        return [self._held.popitem(last=False)[0] for _ in range(max(0, count))]

    def _expire(self) -> None:
        now = self._clock()
        if now < self._next_expiry:
            return
        expired = [update.update_id for update in self._held.values() if update.expires_at <= now]
        for update_id in expired:
            del self._held[update_id]
        self._next_expiry = min((update.expires_at for update in self._held.values()), default=math.inf)
        if expired:
            self._on_expiry(expired)
