"""The bot as a whole: standby, then active, then standby or the end, as it is told; and how it is, when asked.

A tenure is the time between taking the lease and giving it back. Its five tasks (lease, writer, receiver, processor,
sender) live and end together: if one of them fails, so does the tenure, and the program ends with the reason.
"""

import asyncio
import contextlib
import functools
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import PyMongoError
from telegram.error import TelegramError

from kappa_bot import checking, control
from kappa_bot.clock import boottime
from kappa_bot.config import Config, Named, wrong
from kappa_bot.counts import counts
from kappa_bot.database import LEASE, POLLER, Client, Database, connect, hopeless, one_line
from kappa_bot.handlers import build_application
from kappa_bot.health import OK, Way
from kappa_bot.lease import Lease
from kappa_bot.logs import log, whereabouts
from kappa_bot.polling import Polling
from kappa_bot.processor import Processor
from kappa_bot.receiving import Receiver
from kappa_bot.sender import Sender
from kappa_bot.tasks import cause, end, ended, within
from kappa_bot.telegram_api import TelegramApi
from kappa_bot.wordlist import WordList
from kappa_bot.writer import Writer

if TYPE_CHECKING:
    from kappa_bot.webhook import WebhookReceiver

DRAIN_S = 0.7
"""How long a stop or a demotion may go on finishing what is held; the rest is in MongoDB for the next bot."""

STANDBY_LOOK_S = 1.0
"""How often a standby makes sure of its way to MongoDB."""

STANDBY, ACTIVE, STOP = "standby", "active", "stop"


class Tenure:
    """What exists only while this bot is the poller."""

    def __init__(self, service: "Service", session: Any) -> None:
        config, database = service.config, service.database
        self.began = boottime()
        router = service.router
        self.lease = Lease(database, config.lease_ttl_s, router, session.session_id["id"])
        self.writer = Writer(database, self.lease, session, router)
        self.receiver = self._receiver(service)
        words = WordList(config.words_file)
        self.processor = Processor(database, self.writer, service.application, service.id_key, router, words)
        self.sender = Sender(service.api, database, self.lease, self.writer, router, config.map)
        self.receiver.on_received = self.processor.wake
        self.processor.on_replies = self.sender.wake

    def _receiver(self, service: "Service") -> Receiver:
        telegram, api, lease, writer = service.config.telegram, service.api, self.lease, self.writer
        if service.by_webhook is not None:
            return service.by_webhook(api, lease, writer, service.config)
        return Polling(
            api, service.database, lease, writer, service.router, telegram.poll_timeout_s, telegram.token_file
        )

    @property
    def active(self) -> bool:
        return self.lease.valid and self.receiver.last_receive is not None


class Service:
    """One process of the bot."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.id_key = config.id_key()
        self.client: Client = connect(config)
        self.database: Database = self.client[config.mongodb.database]
        self.api = TelegramApi(config.token(), config.telegram.base_url, self._guard)
        self.application = build_application(self.api.bot)
        self._tenure: Tenure | None = None
        self._wanted = STANDBY
        self._ordered = asyncio.Event()
        self._stopping = False
        self.router = Way("the router")
        self.by_webhook: type[WebhookReceiver] | None = None
        if config.webhook is not None:
            # Here, before a promotion waits for it; and only here: polling does without an HTTP server.
            with _library("aiohttp", config.names("telegram", "receive")):
                from kappa_bot import webhook

            self.by_webhook = webhook.WebhookReceiver
            # Nor is a promotion the time to find out that these are wrong.
            config.webhook_secret()
            config.webhook_certificate()

    def _guard(self) -> None:
        """Asked before every request to Telegram: without a good lease none is sent."""
        if self._tenure is None:
            raise RuntimeError("no request is sent by a standby")
        self._tenure.lease.check()

    # How it is

    @property
    def role(self) -> str:
        if self._stopping:
            return "stopping"
        if self._tenure is not None:
            return "active" if self._tenure.active else "starting"
        return "standby" if self._wanted == STANDBY else "starting"

    def status(self) -> control.Message:
        """As PROTOCOL.md has it."""
        tenure = self._tenure
        received = tenure.receiver.last_receive if tenure is not None else None
        telegram, router = OK, self.router.state
        if tenure is not None:
            polls, sends = tenure.receiver.telegram.state, tenure.sender.telegram.state
            telegram = polls if polls != OK else sends
        return {
            "ok": True,
            "role": self.role,
            "pid": os.getpid(),
            "epoch": tenure.lease.epoch if tenure is not None else None,
            "last_receive_s": round(boottime() - received, 3) if received is not None else None,
            "backlog": tenure.processor.backlog if tenure is not None else 0,
            "conflicts": tenure.receiver.conflicts if tenure is not None else 0,
            "telegram": telegram,
            "router": router,
            "reason": self._reason(tenure, telegram, router),
        }

    def _reason(self, tenure: Tenure | None, telegram: str, router: str) -> str:
        """Why it is not as it should be, in one line; empty when it is."""
        if tenure is None:
            return "" if router == OK else f"router: {router}"
        if tenure.receiver.stranger:
            return tenure.receiver.stranger
        if tenure.lease.trouble:
            return tenure.lease.trouble
        if router != OK:
            return f"router: {router}"
        return "" if telegram == OK else f"Telegram: {telegram}"

    # What it is told

    async def answer(self, do: str, wait_s: float) -> control.Message:
        """The control socket's requests."""
        orders = {"promote": ACTIVE, "demote": STANDBY, "stop": STOP}
        if do in orders:
            if self._wanted == STOP and do != "stop":
                return {**self.status(), "ok": False, "error": "this bot is stopping"}
            self._order(orders[do])
            await self._until(do, wait_s)
        elif do == "check":
            checked = await self._check(wait_s)
            return {**self.status(), "checked": checked}
        elif do != "status":
            raise ValueError(f"unknown request {do!r}: known are status, check, promote, demote, stop")
        return self.status()

    async def _check(self, wait_s: float) -> control.Message:
        """Ask both sides now. Telegram only by whoever may: a standby is silent towards it."""
        tenure = self._tenure
        telegram: checking.Ask | str
        if tenure is None:
            telegram = self.role
        elif tenure.lease.epoch is None:
            telegram = tenure.lease.trouble or "this bot does not hold the lease"
        else:
            telegram = functools.partial(checking.telegram_now, tenure.lease, tenure.receiver.ask_now)
        router = functools.partial(checking.router_now, self.database, wait_s)
        return await checking.look(telegram, router, wait_s)

    async def _until(self, do: str, wait_s: float) -> None:
        goal = {"promote": "active", "demote": "standby", "stop": "gone"}[do]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self.role != goal:
                    await asyncio.sleep(0.01)

    def _order(self, wanted: str) -> None:
        if wanted != self._wanted and self._wanted != STOP:
            log.info("told to be %s", {STOP: "gone"}.get(wanted, wanted))
            self._wanted = wanted
            self._ordered.set()

    # What it does

    async def run(self, standby: bool = False) -> None:
        """Until told to stop. FatalError with what ended it otherwise."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_complain)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._order, STOP)
        self._wanted = STANDBY if standby else ACTIVE
        async with self._metrics(), control.serve(self.config.socket, self.answer):
            # What is loaded by now stays for good: no collection need look at it again.
            gc.freeze()
            try:
                while self._wanted != STOP:
                    self._ordered.clear()
                    await (self._stand_by() if self._wanted == STANDBY else self._serve())
                self._stopping = True
            finally:
                await self._close()

    def _metrics(self) -> contextlib.AbstractAsyncContextManager[None]:
        if self.config.metrics is None:
            return contextlib.nullcontext()
        named_by = self.config.names("metrics", "listen")
        with _library("prometheus-client", named_by):
            from kappa_bot import metrics

        return metrics.serve(self.config.metrics, named_by, self.status, counts)

    async def _stand_by(self) -> None:
        """Connected, authenticated, silent: until told otherwise."""
        log.info("standby")
        while not self._ordered.is_set():
            try:
                with pymongo.timeout(STANDBY_LOOK_S * 2):
                    await self.database[LEASE].find_one({"_id": POLLER})
                self.router.works()
            except PyMongoError as error:
                fatal = hopeless(error, self.config)
                if fatal is not None:
                    raise fatal from None
                self.router.fails(one_line(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ordered.wait(), STANDBY_LOOK_S)

    async def _serve(self) -> None:
        """One tenure: take the lease, work until told otherwise, finish, give the lease back."""
        async with self.client.start_session() as session:
            tenure = self._tenure = Tenure(self, session)
            ordered = asyncio.create_task(self._ordered.wait())
            try:
                acquired = asyncio.create_task(self._acquire(tenure.lease))
                await asyncio.wait({acquired, ordered}, return_when=asyncio.FIRST_COMPLETED)
                if await ended(acquired):
                    await self._work(tenure, ordered)
            finally:
                ordered.cancel()
                await tenure.lease.release()
                self._tenure = None
                self._stopping = False

    async def _acquire(self, lease: Lease) -> None:
        while True:
            try:
                await lease.acquire()
                return
            except PyMongoError as error:
                fatal = hopeless(error, self.config)
                if fatal is not None:
                    raise fatal from None
                self.router.fails(one_line(error))
                lease.trouble = f"the lease cannot be asked for: {self.router.state}"
                await asyncio.sleep(0.1)

    async def _work(self, tenure: Tenure, ordered: "asyncio.Task[Any]") -> None:
        tasks = {
            name: asyncio.create_task(work, name=name)
            for name, work in (
                ("lease", tenure.lease.keep()),
                ("writer", tenure.writer.run()),
                ("receiver", tenure.receiver.run()),
                ("processor", tenure.processor.run()),
                ("sender", tenure.sender.run()),
                ("herald", self._herald(tenure)),
            )
        }
        herald = tasks.pop("herald")
        try:
            await asyncio.wait({*tasks.values(), ordered}, return_when=asyncio.FIRST_COMPLETED)
            if not any(task.done() for task in tasks.values()):
                self._stopping = True
                await self._drain(tenure, tasks)
            for task in tasks.values():
                if task.done() and not task.cancelled() and task.exception() is not None:
                    raise cause(task)
        finally:
            await end((herald, *tasks.values()))

    async def _herald(self, tenure: Tenure) -> None:
        while not tenure.active:
            await asyncio.sleep(0.005)
        log.info(
            "active, epoch %d: %s %.0f ms after the tenure began, %.0f ms after the process did",
            tenure.lease.epoch,
            tenure.receiver.serves_once,
            (boottime() - tenure.began) * 1000,
            process_age() * 1000,
        )

    async def _drain(self, tenure: Tenure, tasks: "dict[str, asyncio.Task[None]]") -> None:
        """Finish what is held: receive no more, answer what is stored, acknowledge it. All of that needs the lease:
        where it has lapsed there is nothing to wait for, and somebody may be waiting for this bot's end."""
        if not tenure.lease.valid:
            return

        async def finish() -> None:
            await tenure.receiver.finish()
            await end([tasks["receiver"]])
            await tenure.processor.drained()
            await tenure.sender.drained()

        await within(DRAIN_S, finish())
        await within(DRAIN_S, tenure.sender.landed())
        await within(DRAIN_S / 2, tenure.receiver.confirm())
        # A transaction that is cut off in the middle would keep the lease locked.
        await within(DRAIN_S / 2, tenure.writer.settled())

    async def _close(self) -> None:
        async def close() -> None:
            with contextlib.suppress(TelegramError, OSError):
                await self.api.close()
            await self.client.close()

        await within(0.5, close())


@contextlib.contextmanager
def _library(name: str, named_by: Named) -> Iterator[None]:
    """For what is imported only where the configuration asks for it."""
    try:
        yield
    except ImportError as error:
        raise wrong(f"{named_by}: this needs the Python package {name}, which is not installed: {error}") from None


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if error is not None:
        log.error("unforeseen in a task: %s", whereabouts(error))


def process_age() -> float:
    """Seconds since this process was started (to a hundredth)."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return boottime() - ticks / os.sysconf("SC_CLK_TCK")


def run(config: Config, standby: bool) -> None:
    async def main() -> None:
        await Service(config).run(standby)

    factory: Callable[[], Coroutine[Any, Any, None]] = main
    asyncio.run(factory())
