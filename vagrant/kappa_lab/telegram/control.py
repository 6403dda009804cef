"""The lab's own API, on a port of its own: traffic, faults, and people moved by hand.

    GET    /health                     {"ok": true}
    POST   /traffic                    {"users", "rate_per_s", "seed", "languages", "patience_s", "searches",
                                        "adds"}
    GET    /traffic                    what the people did and wait for
    POST   /traffic/stop               {"timeout_s": 60}: no new dialogues, open ones have so long to finish
    GET    /fault                      the faults in force; "met": how many requests met one since all were last ended
    POST   /fault                      {"kind": error|hang|reset|slow|flood, "status", "retry_after", "seconds",
    "per_s",
                                        "count", "when": before|after, "methods": [...], "nodes": [...]}
    DELETE /fault                      end all of them
    POST   /journal/rotate             end the journal's segment and begin the next; "journal": the ended one's name
    GET    /updates                    how many updates are held, and from which id
    GET    /webhook                    where updates are delivered to
    POST   /people/CHAT_ID             one thing a person does: {"text"} | {"latitude", "longitude"} |
                                        {"tap": DATA, "message_id"} | {"block": true}; answers {"update_id"}
    GET    /people/CHAT_ID             the messages of that chat as they now stand, and its keyboard
    GET    /files/FILE_ID              a document that the bot has sent

Anything wrong is answered 400 (409 where the state forbids it) with {"ok": false, "error": one sentence}.
"""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from kappa_lab.telegram.faults import Fault, FaultError, Faults
from kappa_lab.telegram.journal import Journal
from kappa_lab.telegram.methods import Bot
from kappa_lab.telegram.people import Action
from kappa_lab.telegram.traffic import Traffic, TrafficError, TrafficPlan, telegram_user


def _refuse(sentence: str, status: int = 400) -> web.Response:
    return web.json_response({"ok": False, "error": sentence}, status=status)


async def _body(request: web.Request) -> Any:
    """The JSON body; an empty one is {}. Raises web.HTTPBadRequest."""
    text = await request.text()
    try:
        return json.loads(text) if text.strip() else {}
    except ValueError:
        raise web.HTTPBadRequest(
            text=json.dumps({"ok": False, "error": "the body is not JSON"}), content_type="application/json"
        ) from None


@dataclass
class Control:
    bot: Bot
    traffic: Traffic
    faults: Faults
    journal: Journal

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/traffic", self._traffic)
        app.router.add_post("/traffic", self._start)
        app.router.add_post("/traffic/stop", self._stop)
        app.router.add_get("/fault", self._faults)
        app.router.add_post("/fault", self._add_fault)
        app.router.add_delete("/fault", self._clear_faults)
        app.router.add_post("/journal/rotate", self._rotate)
        app.router.add_get("/updates", self._updates)
        app.router.add_get("/webhook", self._webhook)
        app.router.add_post(r"/people/{chat_id:\d+}", self._do)
        app.router.add_get(r"/people/{chat_id:\d+}", self._messages)
        app.router.add_get("/files/{file_id}", self._file)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _traffic(self, request: web.Request) -> web.Response:
        return web.json_response(self.traffic.status())

    async def _start(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            plan = TrafficPlan.from_json(body)
        except TrafficError as error:
            return _refuse(str(error))
        try:
            self.traffic.start(plan)
        except TrafficError as error:
            return _refuse(str(error), status=409)
        return web.json_response(self.traffic.status())

    async def _stop(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            timeout_s = float(body.get("timeout_s", 60.0))
        except (AttributeError, TypeError, ValueError):
            return _refuse("timeout_s is a number of seconds")
        self.traffic.stop(timeout_s)
        return web.json_response(self.traffic.status())

    async def _faults(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": [fault.json() for fault in self.faults.active()], "met": self.faults.met})

    async def _add_fault(self, request: web.Request) -> web.Response:
        body = await _body(request)
        try:
            fault = Fault.from_json(body)
        except (FaultError, TypeError) as error:
            return _refuse(str(error))
        self.faults.add(fault)
        self.journal.write("fault", state="on", **fault.json())
        return web.json_response({"ok": True, **fault.json()})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        cleared = self.faults.clear()
        self.journal.write("fault", state="off", cleared=cleared)
        return web.json_response({"ok": True, "cleared": cleared})

    async def _rotate(self, request: web.Request) -> web.Response:
        try:
            ended = self.journal.rotate()
        except OSError as error:
            return _refuse(f"the journal cannot be rotated: {error.strerror or error}", status=409)
        return web.json_response({"ok": True, "journal": ended.name})

    async def _updates(self, request: web.Request) -> web.Response:
        queue, polling = self.bot.queue, self.bot.polling
        return web.json_response(
            {"held": len(queue), "head": queue.head, "next": queue.tail, "poll_waiting": polling.is_waiting}
        )

    async def _webhook(self, request: web.Request) -> web.Response:
        return web.json_response(self.bot.webhook.info(len(self.bot.queue)))

    async def _do(self, request: web.Request) -> web.Response:
        chat_id, body = int(request.match_info["chat_id"]), await _body(request)
        if not isinstance(body, dict):
            return _refuse("what a person does is a JSON object")
        language = str(body.get("language", "en"))
        if body.get("block"):
            self.bot.chats.add(telegram_user(chat_id, chat_id, language)).stopped = True
            return web.json_response({"ok": True})
        try:
            if "tap" in body:
                action = Action("by hand", message_id=int(body["message_id"]), data=str(body["tap"]))
            elif "text" in body:
                action = Action("by hand", text=str(body["text"]))
            else:
                action = Action("by hand", location=(float(body["latitude"]), float(body["longitude"])))
        except (KeyError, TypeError, ValueError):
            return _refuse("a person sends text, latitude and longitude, or tap and message_id")
        return web.json_response({"ok": True, "update_id": self.traffic.by_hand(chat_id, language, action)})

    async def _messages(self, request: web.Request) -> web.Response:
        chat = self.bot.chats.add(telegram_user(int(request.match_info["chat_id"]), 0, "en"))
        return web.json_response({"messages": list(chat.messages.values()), "keyboard": chat.keyboard})

    async def _file(self, request: web.Request) -> web.Response:
        file = self.bot.files.get(request.match_info["file_id"])
        if file is None:
            return _refuse("no such file", status=404)
        return web.Response(body=file.content, headers={"Content-Type": file.content_type})
