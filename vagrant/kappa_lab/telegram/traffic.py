"""The lab's traffic: many people at once, at a given rate.

One pacer lets one person act at a time, `rate_per_s` times a second at most. Of those who are ready two are drawn, and
the one who is further in their dialogue goes: so people are soon at all its steps, and not all at the same. Stopping
starts no new dialogue and lets the open ones come, faster, to their end; whatever is open when the time is over has
failed, and says at which step it stood.
"""

import asyncio
import random
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kappa_lab.telegram.chats import Chat, Chats, Delivery
from kappa_lab.telegram.journal import Journal
from kappa_lab.telegram.people import Action, Person

Json = dict[str, Any]

FIRST_CHAT_ID = 700_000_000
HURRY = 4.0
"""When the traffic is to end, people read and act so many times faster: nothing is measured any more."""
COUNTED = ("sendMessage", "sendDocument", "sendLocation", "editMessageText")


class TrafficError(ValueError):
    """The traffic asked for is none; the message says why."""


@dataclass(frozen=True)
class TrafficPlan:
    """`users` people, `rate_per_s` actions a second over all of them; who waits `patience_s` seconds complains.

    Of the places that are registered, `searches` (0 to 1) are followed by a search, `adds` by way of a new category.
    """

    users: int
    rate_per_s: float
    seed: int = 1
    languages: tuple[str, ...] = ("es", "en")
    patience_s: float = 30.0
    searches: float = 0.15
    adds: float = 0.03

    @classmethod
    def from_json(cls, body: Any) -> "TrafficPlan":
        """Raises TrafficError with a sentence."""
        if not isinstance(body, dict):
            raise TrafficError("traffic is a JSON object with users and rate_per_s")
        known = {"users", "rate_per_s", "seed", "languages", "patience_s", "searches", "adds"}
        if unknown := sorted(set(body) - known):
            raise TrafficError(f"traffic has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        try:
            plan = cls(
                users=int(body.get("users", 24)),
                rate_per_s=float(body.get("rate_per_s", 4.0)),
                seed=int(body.get("seed", 1)),
                languages=tuple(body.get("languages", ("es", "en"))),
                patience_s=float(body.get("patience_s", 30.0)),
                searches=float(body.get("searches", cls.searches)),
                adds=float(body.get("adds", cls.adds)),
            )
        except (TypeError, ValueError) as error:
            raise TrafficError(f"traffic has a value that is no number: {error}") from None
        if plan.users < 1 or plan.rate_per_s <= 0:
            raise TrafficError("traffic needs at least 1 user and a rate above 0")
        if not plan.languages or set(plan.languages) - {"es", "en"}:
            raise TrafficError("languages are es and en")
        if not (0 <= plan.searches <= 1 and 0 <= plan.adds <= 1):
            raise TrafficError("searches and adds are from 0 to 1")
        return plan


@dataclass
class Counts:
    dialogues_started: int = 0
    dialogues_finished: int = 0
    dialogues_failed: int = 0
    updates_sent: int = 0
    updates_answered: int = 0
    repeats: int = 0
    complaints: list[str] = field(default_factory=list)


class Traffic:
    """`submit(kind, body, lane)` puts an update into the bot's queue; its id, or None."""

    def __init__(self, chats: Chats, journal: Journal, submit: Callable[[str, Json, str], int | None]) -> None:
        self._chats = chats
        self._journal = journal
        self._submit = submit
        self._people: dict[int, Person] = {}
        self._plan: TrafficPlan | None = None
        self._pacer: asyncio.Task[None] | None = None
        self._stop_by: float | None = None
        self._counts = Counts()
        # Updates of people moved by hand: chat_id -> the update not answered yet.
        self._by_hand: dict[int, int] = {}
        chats.listen = self._delivered

    @property
    def running(self) -> bool:
        return self._pacer is not None and not self._pacer.done()

    def start(self, plan: TrafficPlan) -> None:
        """Start; people who were there before go on as who they are. Raises TrafficError while traffic runs."""
        if self.running:
            raise TrafficError("traffic runs already: stop it first")
        tag = secrets.token_hex(2)
        for number in range(1, plan.users + 1):
            person = self._people.get(number)
            if person is None:
                language = plan.languages[(number - 1) % len(plan.languages)]
                person = Person(number, FIRST_CHAT_ID + number, language, _dice(number), tag)
                self._people[number] = person
                self._chats.add(telegram_user(person.chat_id, number, language))
            person.rng, person.run_tag = _dice(plan.seed, number), tag
            person.searches, person.adds = plan.searches, plan.adds
        for number in [number for number in self._people if number > plan.users]:
            del self._people[number]
        self._plan, self._stop_by = plan, None
        self._pacer = asyncio.get_running_loop().create_task(self._pace(plan))

    def stop(self, timeout_s: float) -> None:
        """No new dialogue; the open ones have `timeout_s` seconds to come to their end."""
        if self.running and self._stop_by is None:
            self._stop_by = time.monotonic() + timeout_s

    async def close(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            await asyncio.gather(self._pacer, return_exceptions=True)

    def status(self) -> Json:
        waiting = [person for person in self._people.values() if person.open and not person.answered]
        return {
            "running": self.running,
            "stopping": self._stop_by is not None and self.running,
            "users": len(self._people) if self._plan else 0,
            "dialogues_started": self._counts.dialogues_started,
            "dialogues_finished": self._counts.dialogues_finished,
            "dialogues_failed": self._counts.dialogues_failed,
            "dialogues_half_way": sum(person.half_way for person in self._people.values()),
            "dialogues_open": sum(person.open for person in self._people.values()),
            "updates_sent": self._counts.updates_sent,
            "updates_answered": self._counts.updates_answered,
            "users_waiting": len(waiting),
            "longest_wait_s": round(max((time.monotonic() - p.sent_at for p in waiting), default=0.0), 3),
            "repeats": self._counts.repeats,
            "complaints": list(self._counts.complaints),
        }

    # -- acting --

    async def _pace(self, plan: TrafficPlan) -> None:
        rng = _dice(plan.seed)
        # A person takes a moment to read before they act, of which the rate leaves plenty.
        read_s = min(1.0, 0.2 * plan.users / plan.rate_per_s)
        for person in self._people.values():
            person.ready_at = time.monotonic() + rng.random() * read_s
        next_at = time.monotonic()
        while True:
            now = time.monotonic()
            self._look_after(plan, now)
            if self._stop_by is not None:
                if now > self._stop_by:
                    self._give_up()
                if not any(person.open for person in self._people.values()):
                    return
            if now >= next_at and self._let_one_act(now, rng):
                pace = plan.rate_per_s * (HURRY if self._stop_by is not None else 1)
                next_at = max(next_at + rng.uniform(0.5, 1.5) / pace, now - 1.0)
            await asyncio.sleep(min(max(next_at - time.monotonic(), 0.002), 0.05))

    def _let_one_act(self, now: float, rng: random.Random) -> bool:
        ready = [
            person
            for person in self._people.values()
            if person.ready_at <= now
            and (person.next_action is not None or (not person.open and self._stop_by is None))
        ]
        if not ready:
            return False
        person = max(rng.choices(ready, k=2), key=lambda person: person.progress)
        action = person.next_action
        if action is None:
            action = person.begin()
            self._counts.dialogues_started += 1
            self._dialogue(person, "started")
        self._act(person, action)
        return True

    def _act(self, person: Person, action: Action) -> None:
        chat = self._chats.add(telegram_user(person.chat_id, person.number, person.language))
        update_id = self._send(chat, action, lambda update_id: self._journal_update(person, action.step, update_id))
        person.acted(action, update_id)
        self._counts.updates_sent += 1

    def _journal_update(self, person: Person, step: str, update_id: int | None) -> None:
        self._journal.write(
            "update",
            update_id=update_id,
            chat_id=person.chat_id,
            user=person.number,
            dialogue=person.dialogue,
            step=step,
        )

    def _send(self, chat: Chat, action: Action, journal: Callable[[int | None], None]) -> int | None:
        if action.data is not None and action.message_id is not None:
            body = self._chats.user_tap(chat, action.message_id, action.data)
            update_id = self._submit("callback_query", body, f"user {chat.chat_id}")
        else:
            content: Json = {"text": action.text}
            if action.location is not None:
                content = {"location": {"latitude": action.location[0], "longitude": action.location[1]}}
            body = self._chats.user_message(chat, content)
            update_id = self._submit("message", body, f"chat {chat.chat_id}")
        journal(update_id)
        return update_id

    def by_hand(self, chat_id: int, language: str, action: Action) -> int | None:
        """Let a person who is nobody's traffic do one thing now. Returns the update's id."""
        chat = self._chats.add(telegram_user(chat_id, chat_id, language))
        update_id = self._send(
            chat,
            action,
            lambda update_id: self._journal.write(
                "update", update_id=update_id, chat_id=chat_id, user=chat_id, dialogue=0, step=action.step
            ),
        )
        if update_id is not None:
            self._by_hand[chat_id] = update_id
        return update_id

    # -- hearing --

    def _delivered(self, delivery: Delivery) -> None:
        number = delivery.chat_id - FIRST_CHAT_ID
        person = self._people.get(number)
        self._journal.write(
            "reply",
            id=delivery.request_id,
            node=delivery.node,
            chat_id=delivery.chat_id,
            user=number if person else delivery.chat_id,
            method=delivery.method,
            message_id=delivery.message_id,
            text=zlib.crc32(str((delivery.message or {}).get("text", "")).encode()),
        )
        if delivery.message is None or delivery.method not in COUNTED:
            return
        if person is None:
            answered = self._by_hand.pop(delivery.chat_id, None)
            if answered is not None:
                self._journal.write("answered", update_id=answered, node=delivery.node, id=delivery.request_id)
            return
        was_answered = person.answered
        repeated = person.receive(delivery.message, is_new=delivery.method != "editMessageText")
        if repeated is not None:
            self._counts.repeats += 1
            self._journal.write(
                "repeat",
                update_id=repeated,
                user=person.number,
                dialogue=person.dialogue,
                step=person.step,
                node=delivery.node,
                id=delivery.request_id,
                message_id=delivery.message_id,
            )
            return
        if not was_answered and person.update_id is not None:
            self._counts.updates_answered += 1
            self._journal.write("answered", update_id=person.update_id, node=delivery.node, id=delivery.request_id)
        plan = self._plan
        read_s = min(1.0, 0.2 * plan.users / plan.rate_per_s) if plan else 0.0
        if self._stop_by is not None:
            read_s /= HURRY
        person.ready_at = time.monotonic() + read_s * person.rng.uniform(0.5, 1.5)
        if person.finished():
            self._counts.dialogues_finished += 1
            self._dialogue(person, "finished")
            person.close(success=True)

    def _look_after(self, plan: TrafficPlan, now: float) -> None:
        for person in self._people.values():
            if person.open and person.next_action is None and not person.complained:
                waited = now - person.sent_at
                if waited > plan.patience_s:
                    person.complained = True
                    self._complain(f"{self._where(person)}: {self._missing(person)} after {waited:.1f} s")

    def _give_up(self) -> None:
        for person in self._people.values():
            if person.open:
                why = f"{self._where(person)}: {self._missing(person)} when the traffic had to end"
                self._counts.dialogues_failed += 1
                self._dialogue(person, "failed", why=why)
                self._complain(why)
                person.close(success=False)

    @staticmethod
    def _where(person: Person) -> str:
        return f"user {person.number}, dialogue {person.dialogue}, step {person.step}, update {person.update_id}"

    @staticmethod
    def _missing(person: Person) -> str:
        if person.next_action is not None:
            return "about to go on"
        return "nothing to go on with in the answer" if person.answered else "no answer"

    def _complain(self, sentence: str) -> None:
        self._counts.complaints.append(sentence)
        self._journal.write("complaint", why=sentence)

    def _dialogue(self, person: Person, state: str, **more: object) -> None:
        self._journal.write(
            "dialogue", user=person.number, dialogue=person.dialogue, state=state, marker=person.marker, **more
        )


def telegram_user(chat_id: int, number: int, language: str) -> Json:
    """The Telegram User of a person of the lab; `id` is also the id of their private chat."""
    return {
        "id": chat_id,
        "is_bot": False,
        "first_name": f"Persona {number}" if language == "es" else f"Person {number}",
        "username": f"person_{number}",
        "language_code": language,
    }


def _dice(*seed: int) -> random.Random:
    """People's choices and moments: repeatable, and nothing that must be hard to guess."""
    return random.Random("-".join(map(str, seed)))  # noqa: S311
