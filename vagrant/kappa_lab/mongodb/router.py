"""Between a client and the primary: one connection there for each connection here.

A client authenticates itself to the primary, through the router, and with its own rights only. So a connection's fate
is its primary's: when that one goes, or steps down, the client is told to connect again, and its driver does.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from kappa_lab.mongodb import greeting, wire
from kappa_lab.mongodb.address import Address, spell
from kappa_lab.mongodb.channel import Channel, LostError, connect
from kappa_lab.mongodb.log import Log
from kappa_lab.mongodb.watch import Watch
from kappa_lab.mongodb.wire import MalformedError

Document = dict[str, Any]

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection to the primary."""

STATE_CHANGES = {
    91: "ShutdownInProgress",
    189: "PrimarySteppedDown",
    10058: "NotPrimaryLegacy",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
}
"""Codes by which a member says that it is the primary no longer."""

SHUTDOWN_IN_PROGRESS = 91
"""The code on which a driver forgets all its connections to a server, and tries again on a new one."""

MOST_REMEMBERED = 256
LARGE = 64 * 1024


class NoPrimaryError(Exception):
    """There was no primary for as long as a command may wait for one."""


class OutOfTimeError(Exception):
    """The command's own maxTimeMS passed before there was a primary."""


class Router:
    """What all connections share."""

    def __init__(self, watch: Watch, log: Log, find_host_s: float) -> None:
        self.watch = watch
        self.log = log
        self.find_host_s = find_host_s
        self.quiesce_until: float | None = None
        """Monotonic seconds; set once the router was told to end."""
        self.mechanisms: dict[str, list[str]] = {}
        """How each user may log in, as members have said: an election must not make a driver guess."""
        self._sessions: set[Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0
        watch.on_primary = self._primary_changed
        watch.on_silent = self._member_silent

    def accept(self) -> Channel:
        """A protocol for the listening socket: one session a connection."""
        return Channel(self._begin)

    def _begin(self, channel: Channel) -> None:
        self._count += 1
        session = Session(self, channel, self._count)
        self._sessions.add(session)
        task = asyncio.get_running_loop().create_task(session.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._sessions.discard(session))

    def _primary_changed(self, primary: Address | None) -> None:
        for session in list(self._sessions):
            session.primary_is(primary)

    def _member_silent(self, address: Address, why: str) -> None:
        for session in list(self._sessions):
            session.member_is_silent(address, why)

    def remember(self, user: str, mechanisms: object) -> None:
        if isinstance(mechanisms, list) and len(self.mechanisms) < MOST_REMEMBERED:
            self.mechanisms[user] = mechanisms

    async def stop(self) -> None:
        for session in list(self._sessions):
            session.client.close("the router ends")
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=5)


class Session:
    """One client's connection, and the connection to the primary that belongs to it once it is needed."""

    def __init__(self, router: Router, client: Channel, number: int) -> None:
        self.router = router
        self.client = client
        self._number = number
        self._upstream: Channel | None = None
        self._address: Address | None = None
        self._busy = False
        self._outdated = False
        self._metadata: object = None
        self._work: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer one request after the other until either side goes."""
        self._work = asyncio.current_task()
        self.client.on_lost = self._client_lost
        why = ""
        try:
            while True:
                await self._answer(await self.client.read())
                if self._outdated:
                    why = "the primary has changed"
                    break
        except LostError:
            pass
        except MalformedError as error:
            why = str(error)
            self.router.log.caution("NETWORK", "Connection ended: malformed message", client=self.client.peer, why=why)
        finally:
            self.client.on_lost = None
            if self._upstream:
                self._upstream.on_lost = None
                self._upstream.abort("its client is gone")
            self.client.close(why or "ended")

    # what happens elsewhere

    def _client_lost(self) -> None:
        # a command nobody waits for is ended with its connection, as the primary does with any client's
        if self._upstream:
            self._upstream.on_lost = None
            self._upstream.abort("its client is gone")
        if self._work and self._busy:
            self._work.cancel()

    def _upstream_lost(self) -> None:
        # no answer and no pretence: the client cannot know what became of its command, and its driver treats a lost
        # connection just so
        self.client.close("the connection to the primary was lost")

    def primary_is(self, primary: Address | None) -> None:
        if self._upstream and self._address != primary:
            if self._busy:
                self._outdated = True  # its answer may still come
            else:
                self.client.close("the primary has changed")

    def member_is_silent(self, address: Address, why: str) -> None:
        if self._upstream and self._address == address:
            self._upstream.abort(why)

    # requests

    async def _answer(self, frame: bytes) -> None:
        kind = wire.opcode(frame)
        if kind not in (wire.OP_MSG, wire.OP_QUERY):
            raise MalformedError(f"a message of kind {kind}: only OP_MSG, and OP_QUERY for greetings, are understood")
        name = wire.command_name(frame)
        if name in greeting.GREETINGS:
            await self._greet(frame)
        elif name == "ping" and kind == wire.OP_MSG:
            await self.client.write(wire.reply({"ok": 1.0}, frame))
        elif name == "isdbgrid" and kind == wire.OP_MSG:
            await self.client.write(wire.reply({"isdbgrid": 1, "hostname": "stand-in", "ok": 1.0}, frame))
        elif name == "endSessions" and not self._upstream and kind == wire.OP_MSG:
            # a router notes them for later; a client that goes is not kept waiting for a primary
            await self.client.write(wire.reply({"ok": 1.0}, frame))
        else:
            await self._forward(frame, name)

    async def _greet(self, frame: bytes) -> None:
        asked = wire.document(frame)
        quiesce = self.router.quiesce_until
        if quiesce is not None:
            refused = wire.error(91, "ShutdownInProgress", "The server is in quiesce mode and will shut down")
            refused["remainingQuiesceTimeMillis"] = max(0, int((quiesce - time.monotonic()) * 1000))
            await self.client.write(wire.reply(refused, frame))
            return
        member = self.router.watch.member
        if "client" in asked and self._metadata is None:
            self._metadata = asked["client"]
        said: Mapping[str, Any] = {}
        if "saslSupportedMechs" in asked or "speculativeAuthenticate" in asked:
            said = await self._ask_primary(asked) or {}
            user = str(asked.get("saslSupportedMechs", ""))
            if "saslSupportedMechs" in said:
                self.router.remember(user, said["saslSupportedMechs"])
            elif user:
                said = {**said, "saslSupportedMechs": self.router.mechanisms.get(user, greeting.BOTH_MECHANISMS)}
        await self.client.write(wire.reply(greeting.answer(asked, {**member, **said}, self._number), frame))

    async def _ask_primary(self, asked: Document) -> Document | None:
        """What the primary says to a client who would log in; None when there is none now: that waits for a command."""
        if self.router.watch.primary is None:
            return None
        self._busy = True
        try:
            if self._upstream:
                await self._upstream.write(wire.message({**greeting.for_member(asked), "$db": "admin"}))
                said = wire.document(await self._upstream.read())
            else:
                said = await self._connect(time.monotonic(), greeting.for_member(asked))
        except (NoPrimaryError, LostError):
            return None
        finally:
            self._busy = False
        return said if said.get("ok") else None

    async def _forward(self, frame: bytes, name: str) -> None:
        kept = wire.without_exhaust(frame) if wire.opcode(frame) == wire.OP_MSG else frame
        unanswered = wire.opcode(frame) == wire.OP_MSG and bool(wire.flags(frame) & wire.MORE_TO_COME)
        self._busy = True
        try:
            if self._upstream is None:
                try:
                    await self._connect(*self._limits(frame))
                except NoPrimaryError:
                    if not unanswered:
                        await self.client.write(wire.reply(self._no_primary(), frame))
                    return
                except OutOfTimeError:
                    late = wire.error(50, "MaxTimeMSExpired", "operation exceeded time limit: no primary was found")
                    await self.client.write(wire.reply(late, frame))
                    return
            upstream = self._upstream
            assert upstream is not None
            await upstream.write(kept)
            if not unanswered:
                await self.client.write(self._told(await upstream.read(), frame, name))
        finally:
            self._busy = False

    def _no_primary(self) -> Document:
        set_name = self.router.watch.set_name
        why = f'Could not find host matching read preference {{ mode: "primary" }} for set {set_name}'
        return wire.error(133, "FailedToSatisfyReadPreference", why)

    def _limits(self, frame: bytes) -> tuple[float, Document | None, float | None]:
        """Until when this command may wait for a primary (monotonic seconds), by the router's rule and by its own."""
        now = time.monotonic()
        own = wire.document(frame).get("maxTimeMS")
        by_own = now + own / 1000 if isinstance(own, int | float) and own > 0 else None
        return now + self.router.find_host_s, None, by_own

    # the primary

    async def _connect(self, until: float, asked: Document | None = None, or_until: float | None = None) -> Document:
        """Connect to the primary as this client. Returns its greeting; raises NoPrimaryError, OutOfTimeError."""
        watch = self.router.watch
        end = until if or_until is None else min(until, or_until)
        hello: Document = {"hello": 1} if asked is None else dict(asked)
        if self._metadata is not None:
            hello["client"] = self._metadata
        hello["$db"] = "admin"
        while True:
            address = await watch.until_primary(end - time.monotonic())
            if address is None:
                if or_until is not None and or_until <= until:
                    raise OutOfTimeError
                raise NoPrimaryError
            channel: Channel | None = None
            try:
                channel = await connect(*address, timeout=CONNECT_TIMEOUT)
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await channel.write(wire.message(hello))
                    said = wire.document(await channel.read())
                if not said.get("isWritablePrimary") and not said.get("ismaster"):
                    raise LostError(str(said.get("errmsg") or "it is not the primary"))
            except (LostError, MalformedError, TimeoutError) as error:
                why = str(error) or f"no answer within {CONNECT_TIMEOUT:.0f} s"
                if channel:
                    channel.abort(why)
                watch.doubt(address, why)
                continue
            except BaseException:
                if channel:
                    channel.abort("given up")
                raise
            self._upstream, self._address = channel, address
            channel.on_lost = self._upstream_lost
            return said

    def _told(self, answer: bytes, request: bytes, name: str) -> bytes:
        """The primary's answer, for the client. One that says `primary no longer` ends this connection behind it.

        Such an answer gets the code on which drivers drop their connections and try again on a new one: with its own
        code they would try again on this one, which cannot be the new primary's, as its user is not logged in there.
        """
        if not _may_tell_of_change(answer):
            return answer
        said = wire.document(answer)
        concern = said.get("writeConcernError")
        blamed = said if said.get("code") in STATE_CHANGES else concern
        if not isinstance(blamed, dict) or blamed.get("code") not in STATE_CHANGES:
            return answer
        assert self._address is not None
        was = STATE_CHANGES[blamed["code"]]
        why = f"{spell(self._address)} is primary no longer ({was})"
        self.router.log.say("NETWORK", "A command met a change of the primary", command=name, why=why)
        self.router.watch.doubt(self._address, why)
        self._outdated = True
        blamed["code"], blamed["codeName"] = SHUTDOWN_IN_PROGRESS, STATE_CHANGES[SHUTDOWN_IN_PROGRESS]
        blamed["errmsg"] = f"{blamed.get('errmsg', was)} [{was} of {spell(self._address)}: connect to the router again]"
        return wire.reply(said, request)


_OK = b"\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f"


def _may_tell_of_change(answer: bytes) -> bool:
    """Whether to look closer: a command that failed, or a write concern that did. Cheap, as every answer is asked."""
    return _OK not in answer[-512:] or (len(answer) < LARGE and b"\x03writeConcernError\x00" in answer)
