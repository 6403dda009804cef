"""One user of a bot lab, who talks to the bot over the Telegram lab server and reads what comes back."""

import urllib.request
from dataclasses import dataclass
from typing import Any

from kappa_bot.texts import say
from tests.unit.kappa_bot.bot_lab import BotLab, Json, data_of, rows, until

HERE = {"latitude": 10.5, "longitude": -66.9}


@dataclass
class Walker:
    """Speaks one language; knows buttons by their text, as a person does."""

    lab: BotLab
    chat: int
    language: str = "en"

    def say(self, key: str, **values: object) -> str:
        """The bot's words for a key."""
        return say(self.language, key, **values)

    def does(self, count: int = 1, **what: Any) -> list[Json]:
        """Do something; the messages that are new or changed after it, `count` at least, in order."""
        before = {message["message_id"]: message for message in self.lab.chat(self.chat)}
        self.lab.do(self.chat, language=self.language, **what)

        def news() -> list[Json] | None:
            found = [m for m in self.lab.chat(self.chat) if before.get(m["message_id"]) != m]
            return found if len(found) >= count else None

        until(news, f"{count} answers to {what}", within=40)
        with self.lab.db() as db:
            until(lambda: db.Updates.count_documents({"pending": True}) == 0, "all is worked on", within=40)
            until(lambda: db.Replies.count_documents({}) == 0, "all is sent", within=40)
        return news() or []

    def sends(self, text: str) -> Json:
        return self.does(text=text)[-1]

    def shares(self, latitude: float = 10.5, longitude: float = -66.9) -> Json:
        return self.does(latitude=latitude, longitude=longitude)[-1]

    def taps(self, message: Json, label: str, count: int = 1) -> list[Json]:
        return self.does(count, tap=data_of(message, label), message_id=message["message_id"])

    def tap(self, message: Json, label: str) -> Json:
        return self.taps(message, label)[-1]

    def joins(self) -> Json:
        """Language and terms; the menu."""
        message = self.sends("/start")
        message = self.tap(message, self.say("language_name"))
        return self.tap(message, self.say("accept"))

    def chooses(self, category: str, subcategory: str) -> Json:
        """Register until the description is asked for."""
        self.sends("/register")
        message = self.tap(self.shares(), category)
        return self.tap(message, subcategory)

    def looks_for(self, category: str, subcategory: str, count: int = 2) -> list[Json]:
        """Search; the list and the map, or the one answer that there is nothing."""
        message = self.tap(self.sends("/search"), category)
        return self.taps(message, subcategory, count)

    def file(self, message: Json) -> str:
        """The document of a message."""
        url = f"{self.lab.control_url}/files/{message['document']['file_id']}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            content: str = answer.read().decode()
            return content


def labels(message: Json) -> list[str]:
    return [button["text"] for row in rows(message) for button in row]
