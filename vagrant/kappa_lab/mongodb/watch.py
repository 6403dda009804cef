"""Who is the primary? One greeting a member stays open and is answered the moment that something changes.

The rules are those of the drivers' Server Discovery and Monitoring specification, as MongoDB's routers follow them: a
member that calls itself primary is believed unless another has been seen with a later election; the primary's own list
of hosts is the list of members.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from kappa_lab.mongodb import wire
from kappa_lab.mongodb.address import Address, parse, spell
from kappa_lab.mongodb.channel import Channel, LostError, connect
from kappa_lab.mongodb.log import Log
from kappa_lab.mongodb.wire import MalformedError

HEARTBEAT = 10.0
"""Seconds that a member may hold a greeting back while nothing changes."""

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection to a member, and for an answer beyond HEARTBEAT: then it is unknown."""

RETRY = 0.5
"""Seconds between two tries at a member that does not answer."""

Document = dict[str, Any]


class Watch:
    """Follows a replica set for as long as it runs; `primary` is where to send commands now, or None."""

    def __init__(self, set_name: str, seeds: tuple[Address, ...], log: Log) -> None:
        self.set_name = set_name
        self.primary: Address | None = None
        self.member: Mapping[str, Any] = {}
        """The last greeting of a member of the set, whatever its role."""
        self.on_primary: Callable[[Address | None], None] = lambda _: None
        """Told of every change of the primary."""
        self.on_silent: Callable[[Address, str], None] = lambda _a, _w: None
        """Told of a member that answers no longer."""
        self._log = log
        self._seeds = seeds
        self._latest: tuple[bytes, int] = (b"", 0)
        self._followers: dict[Address, asyncio.Task[None]] = {}
        self._channels: dict[Address, Channel] = {}
        self._hurry: dict[Address, asyncio.Event] = {}
        self._reported: dict[Address, str] = {}
        self._doubted: set[Address] = set()
        self._changed = asyncio.Event()

    def start(self) -> None:
        for address in self._seeds:
            self._follow(address)

    async def stop(self) -> None:
        tasks = list(self._followers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def until_primary(self, seconds: float) -> Address | None:
        """The primary, as soon as there is one within `seconds`; None when there was none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0)):
                while self.primary is None:
                    self.ask_again()
                    self._changed.clear()
                    await self._changed.wait()
        return self.primary

    async def until_a_member(self) -> Mapping[str, Any]:
        """The greeting of any member of the set; waits for as long as it takes."""
        while not self.member:
            self._changed.clear()
            await self._changed.wait()
        return self.member

    def members(self) -> list[Address]:
        """Where a member of the set may answer, the primary first."""
        return sorted(self._followers, key=lambda address: address != self.primary)

    def doubt(self, address: Address, why: str) -> None:
        """A command found this primary wanting: ask the member anew before anything else is sent to it."""
        if self.primary == address:
            self._set_primary(None, f"{spell(address)}: {why}")
        channel = self._channels.get(address)
        if channel:
            # the greeting that is being held back may have been true when it began: ask a new one
            self._doubted.add(address)
            channel.abort(why)
        self.ask_again()

    def ask_again(self) -> None:
        """Do not wait out the pause between two tries."""
        for event in self._hurry.values():
            event.set()

    # one task a member

    def _follow(self, address: Address) -> None:
        if address not in self._followers:
            self._hurry[address] = asyncio.Event()
            self._followers[address] = asyncio.create_task(self._follow_for_ever(address))

    def _unfollow(self, address: Address) -> None:
        self._hurry.pop(address, None)
        self._reported.pop(address, None)
        self._followers.pop(address).cancel()

    async def _follow_for_ever(self, address: Address) -> None:
        while True:
            why = ""
            try:
                await self._follow_once(address)
            except (LostError, MalformedError) as error:
                why = str(error)
            except TimeoutError:
                why = f"no answer to a greeting within {HEARTBEAT + CONNECT_TIMEOUT:.0f} s"
            if address in self._doubted:
                self._doubted.discard(address)
                await asyncio.sleep(RETRY / 5)
                continue
            self._silent(address, why)
            hurry = self._hurry[address]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY):
                    await hurry.wait()
                    # whoever waits for a primary hurries each try; this many a second are enough
                    await asyncio.sleep(RETRY / 5)
            hurry.clear()

    async def _follow_once(self, address: Address) -> None:
        channel = await connect(*address, timeout=CONNECT_TIMEOUT)
        self._channels[address] = channel
        greeting: Document = {"hello": 1, "$db": "admin", "client": CLIENT}
        try:
            while True:
                async with asyncio.timeout(HEARTBEAT + CONNECT_TIMEOUT):
                    await channel.write(wire.message(greeting))
                    said = wire.document(await channel.read())
                if not said.get("ok"):
                    raise MalformedError(f"it refuses a greeting: {said.get('errmsg')}")
                self._heard(address, said)
                greeting = {"hello": 1, "$db": "admin"}
                if "topologyVersion" in said:
                    greeting.update(topologyVersion=said["topologyVersion"], maxAwaitTimeMS=int(HEARTBEAT * 1000))
                else:
                    await asyncio.sleep(RETRY)
        finally:
            channel.abort("no longer followed")
            self._channels.pop(address, None)

    def _heard(self, address: Address, said: Document) -> None:
        if said.get("setName") != self.set_name:
            what = said.get("setName") or said.get("info") or "no replica set's member"
            self._silent(address, f"this is not of the set {self.set_name}: {what}")
            return
        self._reported.pop(address, None)
        self.member = said
        self._changed.set()
        if said.get("isWritablePrimary"):
            election = (getattr(said.get("electionId"), "binary", b""), int(said.get("setVersion", 0)))
            if election < self._latest:
                return  # it has not heard yet of the election that it lost
            self._latest = election
            self._set_primary(address, "elected")
            self._adopt(said)
        elif self.primary == address:
            self._set_primary(None, f"{spell(address)} is primary no longer")

    def _adopt(self, said: Document) -> None:
        """Follow exactly those that the primary calls members."""
        hosts = {parse(host) for kind in ("hosts", "passives", "arbiters") for host in said.get(kind, ())}
        for address in hosts:
            self._follow(address)
        for address in [a for a in self._followers if a not in hosts and a != self.primary]:
            self._unfollow(address)

    def _silent(self, address: Address, why: str) -> None:
        if self._reported.get(address) != why:
            self._reported[address] = why
            self._log.caution("NETWORK", "A member does not answer", member=spell(address), why=why)
        if self.primary == address:
            self._set_primary(None, f"{spell(address)}: {why}")
        self.on_silent(address, why)

    def _set_primary(self, address: Address | None, why: str) -> None:
        if address == self.primary:
            return
        self.primary = address
        self._changed.set()
        self._log.say("NETWORK", "Primary changed", primary=spell(address) if address else None, why=why)
        self.on_primary(address)


CLIENT = {
    "driver": {"name": "kappa-lab mongos stand-in", "version": "1"},
    "os": {"type": "Linux"},
    "application": {"name": "kappa-lab mongos stand-in"},
}
