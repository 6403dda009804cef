"""A Telegram lab server on free ports, a way to read its journal, and a bot that answers."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from kappa_lab.telegram.server import Address, Settings, TelegramLab

Json = dict[str, Any]
TOKEN = "4242:TEST-token_of_the_lab"
ANY_PORT = Address("127.0.0.1", 0)


@dataclass
class Server:
    """A running server, as its tests use it: over HTTP, and by reading its journal."""

    lab: TelegramLab
    http: aiohttp.ClientSession
    journal: Path

    @property
    def base_url(self) -> str:
        """python-telegram-bot's `base_url`."""
        return f"http://{self.lab.bind}/bot"

    async def call(self, method: str, **parameters: object) -> tuple[int, Json]:
        """One request to the Bot API: HTTP status and body."""
        async with self.http.post(f"{self.base_url}{TOKEN}/{method}", json=parameters) as answer:
            return answer.status, await answer.json()

    async def result(self, method: str, **parameters: object) -> Any:
        status, body = await self.call(method, **parameters)
        assert status == 200, body
        return body["result"]

    async def control(self, verb: str, path: str, **body: object) -> Json:
        async with self.http.request(verb, f"http://{self.lab.control}{path}", json=body) as answer:
            found = await answer.json()
            assert isinstance(found, dict)
            return {**found, "status_code": answer.status}

    async def say(self, chat_id: int, text: str) -> int:
        """A person writes; the update's id."""
        return int((await self.control("POST", f"/people/{chat_id}", text=text))["update_id"])

    def events(self, event: str | None = None, **like: object) -> list[Json]:
        """What the journal holds, of one kind and with these fields."""
        lines = [json.loads(line) for line in self.journal.read_text().splitlines()]
        return [
            line
            for line in lines
            if event in (None, line["e"]) and all(line.get(key) == value for key, value in like.items())
        ]

    async def poll_waits(self) -> None:
        await until(lambda: self.lab.polling.is_waiting)


async def until(condition: Callable[[], Any], within_s: float = 10.0) -> Any:
    """Wait for a condition, looking often; its value. Fails when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)
    return value


@contextlib.asynccontextmanager
async def serving(directory: Path, **settings: Any) -> AsyncIterator[Server]:
    journal = directory / "telegram.jsonl"
    given = {"names": {"127.0.0.1": "node1"}, **settings}
    async with (
        TelegramLab(Settings(ANY_PORT, ANY_PORT, TOKEN, journal, **given)) as lab,
        aiohttp.ClientSession() as http,
    ):
        yield Server(lab, http, journal)


def keyboard(*buttons: tuple[str, str]) -> Json:
    return {"inline_keyboard": [[{"text": text, "callback_data": data}] for text, data in buttons]}


@dataclass
class ScriptedBot:
    """Answers every step of the dialogue, keeping no state but which update comes next.

    `before_reply(update)` may misbehave: return False and the update stays unanswered.
    """

    server: Server
    before_reply: Callable[[Json], Awaitable[bool]] | None = None
    descriptions: list[str] = field(default_factory=list)
    offset: int = 0

    async def run(self) -> None:
        while True:
            status, body = await self.server.call("getUpdates", offset=self.offset, timeout=10)
            if status != 200:
                continue
            for update in body["result"]:
                self.offset = update["update_id"] + 1
                if self.before_reply is None or await self.before_reply(update):
                    await self.answer(update)

    async def answer(self, update: Json) -> None:
        if "callback_query" in update:
            await self._tapped(update["callback_query"])
            return
        message = update["message"]
        chat_id = message["chat"]["id"]
        if "location" in message:
            await self._send(chat_id, "Which?", keyboard(("New category", "cat:new"), ("Streets", "cat:1")))
        elif message["text"] in ("Reciclaje", "Recycling"):
            await self._send(chat_id, "Its first kind?", keyboard(("Back", "cat:back")))
        elif message["text"] in ("Contenedor", "Container"):
            await self._send(chat_id, "Describe it")
        elif message["text"] == "/start":
            await self._send(chat_id, "Hola/Hello", keyboard(("Español", "lang:es"), ("English", "lang:en")))
        elif message["text"].lower() in ("/todo", "/hacer"):
            await self._send(chat_id, "What?", keyboard(("Search", "do:search"), ("Register", "do:register")))
        else:
            self.descriptions.append(message["text"])
            await self._send(chat_id, f"Stored: {message['text']}")

    async def _tapped(self, query: Json) -> None:
        chat_id, message_id, data = query["message"]["chat"]["id"], query["message"]["message_id"], query["data"]
        await self.server.call("answerCallbackQuery", callback_query_id=query["id"])
        if data.startswith("lang:"):
            await self._edit(chat_id, message_id, "Terms?", keyboard(("I do not accept", "no"), ("I accept", "yes")))
        elif data == "yes":
            await self._edit(chat_id, message_id, "Welcome")
        elif data == "do:register":
            await self._send(chat_id, "Where?")
        elif data == "do:search":
            await self._edit(chat_id, message_id, "Search for?", keyboard(("Streets", "find:1"), ("Health", "find:2")))
        elif data.startswith("find:"):
            await self._edit(chat_id, message_id, "Which kind?", keyboard(("Hole", f"of:{data}:1"), ("Back", "find:0")))
        elif data == "of:find:1:1":
            await self._edit(chat_id, message_id, "1. deep", keyboard(("⚠ 1", "x:1")))
            await self._document(chat_id)
        elif data == "of:find:2:1":
            await self._edit(chat_id, message_id, "Nothing there", keyboard(("Search again", "do:search")))
        elif data == "cat:new":
            await self._edit(chat_id, message_id, "Called what?", keyboard(("Back", "cat:back")))
        elif data == "cat:1":
            await self._edit(chat_id, message_id, "Which kind?", keyboard(("Hole", "sub:1"), ("Lamp", "sub:2")))
        elif data.startswith("sub:"):
            await self._edit(chat_id, message_id, "Describe it")

    async def _send(self, chat_id: int, text: str, markup: Json | None = None) -> None:
        await self.server.call("sendMessage", chat_id=chat_id, text=text, reply_markup=markup)

    async def _document(self, chat_id: int) -> None:
        form = aiohttp.FormData({"chat_id": str(chat_id), "caption": "a map"})
        form.add_field("document", b"<html></html>", filename="map.html", content_type="text/html")
        async with self.server.http.post(f"{self.server.base_url}{TOKEN}/sendDocument", data=form) as answer:
            assert answer.status == 200, await answer.text()

    async def _edit(self, chat_id: int, message_id: int, text: str, markup: Json | None = None) -> None:
        await self.server.call(
            "editMessageText", chat_id=chat_id, message_id=message_id, text=text, reply_markup=markup
        )


@contextlib.asynccontextmanager
async def answering(bot: ScriptedBot) -> AsyncIterator[ScriptedBot]:
    task = asyncio.create_task(bot.run())
    try:
        yield bot
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
