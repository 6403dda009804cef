"""The stand-in's life: wait for the data tier, listen, route, and go when told to."""

import asyncio
import contextlib
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from kappa_lab.mongodb import scram, wire
from kappa_lab.mongodb.address import Address, spell
from kappa_lab.mongodb.channel import LostError, connect
from kappa_lab.mongodb.log import Log
from kappa_lab.mongodb.options import FIND_HOST_MS, SHUTDOWN_MS, Options
from kappa_lab.mongodb.router import Router
from kappa_lab.mongodb.watch import CONNECT_TIMEOUT, Watch
from kappa_lab.mongodb.wire import MalformedError

EXIT_NET_ERROR = 48
"""mongos's own, when it cannot listen."""

RETRY = 2.0
"""Seconds between two tries to read from the data tier before the router listens, as mongos has it."""


class ListenError(Exception):
    """Why the router cannot listen."""


class RefusedError(Exception):
    """The data tier answers, but not to this router."""


def bind(options: Options) -> list[socket.socket]:
    """Take the addresses, without listening yet: until the data tier answers clients are refused, as mongos does it.

    Raises ListenError.
    """
    sockets: list[socket.socket] = []
    for address in options.addresses:
        try:
            family, _, _, _, where = socket.getaddrinfo(address, options.port, type=socket.SOCK_STREAM)[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(where)
        except OSError as error:
            for taken in sockets:
                taken.close()
            raise ListenError(f"{spell((address, options.port))}: {error.strerror}") from None
    return sockets


async def run(options: Options, key: str, sockets: list[socket.socket], log: Log, ready: Callable[[], None]) -> int:
    """Route until a signal says otherwise; returns the exit code. `ready` is called when clients are answered."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    loop.add_signal_handler(signal.SIGUSR1, log.rotate)
    loop.set_exception_handler(lambda _, context: log.fail("CONTROL", "Unexpected", what=_one_line(context)))
    _many_connections()

    watch = Watch(options.set_name, options.seeds, log)
    router = Router(watch, log, options.parameters[FIND_HOST_MS] / 1000)
    watch.start()
    servers: list[asyncio.Server] = []
    try:
        if not await _unless(told, until_readable(watch, key, log)):
            log.say("CONTROL", "Shutdown called before the router finished starting up")
            return 0
        try:
            for sock in sockets:
                servers.append(await loop.create_server(router.accept, sock=sock, backlog=options.backlog))
        except OSError as error:
            log.fail("CONTROL", "Error setting up listener", error=error.strerror)
            return EXIT_NET_ERROR
        log.say("NETWORK", "Waiting for connections", port=options.port, addresses=options.addresses)
        ready()
        await told.wait()
        quiesce = options.parameters[SHUTDOWN_MS] / 1000
        log.say("CONTROL", "Entering quiesce mode", seconds=quiesce)
        router.quiesce_until = time.monotonic() + quiesce
        await asyncio.sleep(quiesce)
    finally:
        for server in servers:
            server.close()
        for sock in sockets:
            sock.close()
        await router.stop()
        await watch.stop()
    log.say("CONTROL", "Now exiting")
    return 0


async def until_readable(watch: Watch, key: str, log: Log) -> None:
    """Return once some member of the set lets this router read; a real one reads its configuration there before it
    listens, from any member, primary or not. Waits for as long as it takes.
    """
    while True:
        # that no member answers is in the log already, from those who ask them
        await watch.until_a_member()
        why = ""
        for address in watch.members():
            try:
                await read_once(address, key)
            except (LostError, MalformedError, RefusedError, scram.ScramError, TimeoutError) as error:
                why = f"{spell(address)}: {error or 'no answer in time'}"
            else:
                return
        log.caution("SHARDING", "Error initializing sharding state, sleeping for 2 seconds and trying again", why=why)
        await asyncio.sleep(RETRY)


async def read_once(address: Address, key: str) -> None:
    """Log in to a member with the keyfile, and read.

    Raises LostError, MalformedError, TimeoutError, and RefusedError or ScramError when the keyfile will not do.
    """
    channel = await connect(*address, timeout=CONNECT_TIMEOUT)

    async def ask(command: wire.Document) -> wire.Document:
        await channel.write(wire.message(command))
        said = wire.document(await channel.read())
        if said.get("ok") != 1:
            raise RefusedError(f"{said.get('errmsg')} ({said.get('codeName')})")
        return said

    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            if key:
                talk = scram.Conversation(scram.SYSTEM_USER, key)
                start = {"saslStart": 1, "mechanism": scram.MECHANISM, "payload": talk.first(), "$db": "local"}
                said = await ask({**start, "options": {"skipEmptyExchange": True}})
                proof = {"saslContinue": 1, "conversationId": said["conversationId"], "$db": "local"}
                said = await ask({**proof, "payload": talk.final(said["payload"])})
                talk.verify(said["payload"])
            anywhere = {"$readPreference": {"mode": "nearest"}}
            await ask({"find": "shards", "limit": 1, "singleBatch": True, "$db": "config", **anywhere})
    finally:
        channel.abort("read")


async def _unless(told: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether `work` ended before the router was told to go."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(told.wait())
    await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
    for one in (task, stop):
        if not one.done():
            one.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await one
    if task.cancelled():
        return False
    task.result()
    return True


def _many_connections() -> None:
    """Two descriptors a client: take as many as the host gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _one_line(context: dict[str, object]) -> str:
    error = context.get("exception")
    return " ".join(f"{context.get('message')}: {type(error).__name__ if error else ''} {error or ''}".split())
