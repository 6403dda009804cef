"""What Prometheus reads: the status and the counts as numbers. No user, no text, no address is among them.

Imported only where the configuration has a [metrics] table. It answers in the event loop itself: a bot that hangs does
not answer here either.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kappa_bot.config import Named
from kappa_bot.control import Message
from kappa_bot.counts import BOUNDS_S, Counts, Times
from kappa_bot.exits import Exit, FatalError
from kappa_bot.health import OK
from kappa_bot.settings import Metrics

PREFIX = "kappa_bot_"
ROLES = ("starting", "standby", "active", "stopping")
REQUEST_S = 5.0
REQUEST_BYTES = 16384


class Collected(Collector):
    """Reads `status` and `counts` whenever it is asked."""

    def __init__(self, status: Callable[[], Message], counts: Counts) -> None:
        self._status = status
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        yield from self._of_status()
        yield from self._of_counts()

    def _of_status(self) -> Iterator[Metric]:
        status = self._status()
        role = GaugeMetricFamily(f"{PREFIX}role", "1 for the role that the bot has, 0 for the others.", labels=["role"])
        for each in ROLES:
            role.add_metric([each], float(each == status["role"]))
        yield role
        for name, value, meaning in (
            ("epoch", status["epoch"], "Epoch of the lease; none while it has none."),
            ("last_receive_age_seconds", status["last_receive_s"], "Since Telegram last showed that it serves it."),
            ("backlog", status["backlog"], "Updates stored but not yet processed."),
            ("conflicts_in_a_row", status["conflicts"], "Signs that another program uses its token."),
            ("telegram_up", status["telegram"] == OK, "Whether the last request to Telegram went well."),
            ("router_up", status["router"] == OK, "Whether the last operation through the router went well."),
        ):
            if value is not None:
                yield GaugeMetricFamily(PREFIX + name, meaning, value=float(value))

    def _of_counts(self) -> Iterator[Metric]:
        counts = self._counts
        for name, value, meaning in (
            ("updates_received", counts.received, "Updates stored, or found stored already."),
            ("updates_processed", counts.processed, "Updates processed."),
            ("updates_failed", counts.failed, "Updates whose users got an apology instead."),
            ("replies_sent", counts.sent, "Replies that Telegram accepted."),
            ("replies_dropped", counts.dropped, "Replies that Telegram will never accept."),
            ("reply_attempts_repeated", counts.repeated, "Attempts to send a reply after its first."),
            ("conflicts", counts.conflicts, "Signs that another program uses its token."),
            ("lease_lapses", counts.lapses, "Times that the lease was renewed only after it had lapsed."),
            ("lease_renewals_failed", counts.renewals_failed, "Renewals of the lease that failed."),
        ):
            yield CounterMetricFamily(PREFIX + name, meaning, value=value)
        refused = CounterMetricFamily(
            f"{PREFIX}deliveries_refused", "Deliveries refused, by status.", labels=["status"]
        )
        for status, number in counts.refused.items():
            refused.add_metric([str(status)], number)
        yield refused
        yield _histogram("store_seconds", "From receiving updates until they were durable.", counts.store_s)
        yield _histogram(
            "reply_seconds", "From a reply's place in the outbox to Telegram's acceptance.", counts.reply_s
        )


def _histogram(name: str, meaning: str, times: Times) -> Metric:
    labels = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
    buckets = list(zip(labels, map(float, accumulate(times.counts)), strict=True))
    return HistogramMetricFamily(PREFIX + name, meaning, buckets=buckets, sum_value=times.sum)


@contextlib.asynccontextmanager
async def serve(
    settings: Metrics, named_by: Named, status: Callable[[], Message], counts: Counts
) -> AsyncIterator[None]:
    """Answer for as long as the context lasts. FatalError where the address cannot be had."""
    registry = CollectorRegistry()
    registry.register(Collected(status, counts))
    ProcessCollector(registry=registry)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_answer(head.split(b" "), registry))
                await writer.drain()
        writer.close()

    host, port = settings.address
    try:
        server = await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES)
    except OSError as error:
        raise FatalError(
            Exit.CONFIG,
            f"{named_by}: cannot listen on {settings.listen}: {error.strerror or error}; free it, or name another",
        ) from None
    try:
        yield
    finally:
        server.close()


def _answer(words: list[bytes], registry: CollectorRegistry) -> bytes:
    status, kind, body = "404 Not Found", "text/plain", b"the metrics are at /metrics\n"
    if words[0] not in (b"GET", b"HEAD"):
        status, body = "405 Method Not Allowed", b""
    elif words[1].split(b"?")[0] == b"/metrics":
        status, kind, body = "200 OK", CONTENT_TYPE_LATEST, generate_latest(registry)
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if words[0] == b"HEAD" else body)
