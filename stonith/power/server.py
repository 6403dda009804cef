"""The broker's side of the protocol: connections, proofs, bounds. Whoever has proven nothing gets next to nothing.

Strangers are connections that have not yet proven who they are. They have 3 seconds and 4 KiB, and there is room for a
few dozen; when it is full the oldest must go, so that somebody who only holds connections open cannot keep a client
out. Each client has a bounded number of requests under way.
"""

import asyncio
import contextlib
import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from stonith import wire
from stonith.power.audit import Audit
from stonith.power.config import Client
from stonith.power.driver import State
from stonith.power.request import RequestError, about, look, perform, read, reply
from stonith.power.switch import NOT_SEEN, Outcome, Switch

T = TypeVar("T")

STRANGERS_MAX = 64
STRANGER_S = 3.0
REPLY_S = 3.0
UNDER_WAY_MAX = 8
"""Requests of one client."""
GRACE_S = 5.0
"""What a switch that is under way is given to end when the broker is told to stop."""


class Server:
    def __init__(self, switch: Switch, clients: Mapping[str, Client], audit: Audit) -> None:
        self._switch = switch
        self._clients = clients
        self._audit = audit
        self._nobody = Client("", secrets.token_bytes(32), ())
        self._strangers: dict[asyncio.StreamWriter, None] = {}  # the oldest first
        self._under_way: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []
        # a thread for every request that may be under way: no client waits for another's, however long the hypervisor
        # takes
        self._threads = ThreadPoolExecutor(UNDER_WAY_MAX * max(1, len(clients)), "request")

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Take connections at an address; returns it with the port it got. Raises OSError."""
        server = await asyncio.start_server(self._connected, host, port, limit=wire.LINE_MAX)
        self._servers.append(server)
        where = server.sockets[0].getsockname()
        return str(where[0]), int(where[1])

    async def close(self) -> None:
        """Take no more connections, and give what is under way a few seconds to end."""
        for server in self._servers:
            server.close()
        for writer in list(self._strangers):
            writer.transport.abort()
        end = time.monotonic() + GRACE_S
        while +self._under_way and time.monotonic() < end:
            await asyncio.sleep(0.02)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._audit.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._strangers[writer] = None
        if len(self._strangers) > STRANGERS_MAX:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.transport.abort()
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # hung up; an agent that was answered sooner at another address does just that
        except Exception as error:
            # one connection's trouble must not be another's, and its traceback might show what it was about
            print(f"kappa-powerd: a connection ended in an unknown way ({type(error).__name__})", file=sys.stderr)
        finally:
            self._strangers.pop(writer, None)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived, nonce = time.time(), secrets.token_hex(wire.NONCE_BYTES)
        peer = wire.printable((writer.get_extra_info("peername") or ("?",))[0])
        try:
            async with asyncio.timeout(STRANGER_S):
                writer.write(wire.challenge(nonce))
                line = await reader.readuntil(b"\n")
        except TimeoutError:
            return self._audit.refused(arrived=arrived, client="", peer=peer, reason="no request in time")
        except asyncio.LimitOverrunError:
            return self._audit.refused(arrived=arrived, client="", peer=peer, reason="a line without an end")
        arrived, began = time.time(), time.monotonic()
        parts = wire.split_request(line)
        if parts is None:
            self._audit.refused(arrived=arrived, client="", peer=peer, reason="not a request")
            return await _send(writer, wire.UNAUTHENTICATED, b"not a request")
        name, mac, body = parts
        client = self._clients.get(name, self._nobody)  # a client that is not known costs the same time as a wrong key
        if not wire.same(mac, wire.request_mac(client.key, nonce, body)) or client is self._nobody:
            self._audit.refused(arrived=arrived, client=name, peer=peer, reason="the key does not prove this client")
            return await _send(writer, wire.UNAUTHENTICATED, b"the key does not prove this client")
        self._strangers.pop(writer, None)
        answer = json.dumps(await self._answer(client, peer, body, arrived, began)).encode("ascii")
        return await _send(writer, wire.reply_mac(client.key, mac, answer), answer)

    async def _answer(self, client: Client, peer: str, body: bytes, arrived: float, began: float) -> dict[str, object]:
        def record(do: str, plug: str, outcome: Outcome) -> None:
            self._audit.request(
                arrived=arrived,
                took_s=time.monotonic() - began,
                client=client.name,
                peer=peer,
                action=do,
                plug=plug,
                outcome=outcome,
            )

        try:
            request = read(body, client)
            if self._under_way[client.name] >= UNDER_WAY_MAX:
                raise RequestError(f"{client.name} has {UNDER_WAY_MAX} requests under way already; wait for one to end")
        except RequestError as error:
            do, plug = about(body)
            record(do, plug, Outcome(False, NOT_SEEN, NOT_SEEN, str(error)))
            return {"ok": False, "do": do, "plug": plug, "reason": str(error)}

        deadline = began + request.within_s

        def work() -> Outcome:
            outcome = perform(self._switch, request, deadline)
            record(request.do, request.plug, outcome)
            return outcome

        def work_list() -> dict[str, object]:
            found = look(self._switch, client, deadline)
            trouble = str(found["driver"])
            record("list", "", Outcome(not trouble, NOT_SEEN, NOT_SEEN, trouble))
            return found

        late = Outcome(
            False, NOT_SEEN, NOT_SEEN, f"{request.do} is not done in time; the audit log will tell what became of it"
        )
        if request.do == "list":
            return await _within(self._begin(client, work_list), deadline) or reply(request, late)
        if request.wait:
            return reply(request, await _within(self._begin(client, work), deadline) or late)
        seen = (
            await _within(self._begin(client, partial(self._switch.status, request.plug, deadline)), deadline) or late
        )
        if seen.after.state is State.OFF and (refusal := self._switch.start_refused(request.plug)):
            seen = Outcome(False, seen.before, seen.after, refusal)
        elif seen.after.state is State.OFF:
            self._begin(client, work)
            return reply(request, Outcome(True, seen.before, seen.after, "its start is asked for"))
        elif seen.after.state is State.ON:
            seen = Outcome(True, seen.before, seen.after, "was on already")
        record(request.do, request.plug, seen)
        return reply(request, seen)

    def _begin(self, client: Client, job: Callable[[], T]) -> asyncio.Future[T]:
        """Start `job` in a thread. It counts as under way until it ends, whether or not anybody still waits for it."""
        self._under_way[client.name] += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, job)
        future.add_done_callback(lambda _: self._under_way.subtract((client.name,)))
        return future


async def _within(future: asyncio.Future[T], deadline: float) -> T | None:
    """What the job returned; None if it has not ended a little after its deadline."""
    done, _ = await asyncio.wait({future}, timeout=max(0.0, deadline - time.monotonic()) + 0.08)
    return future.result() if done else None


async def _send(writer: asyncio.StreamWriter, mac: bytes, body: bytes) -> None:
    writer.write(wire.reply_line(mac, body))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REPLY_S):
            await writer.drain()
