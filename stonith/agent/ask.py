"""Ask the power broker one thing, over whichever of its addresses answers first, and believe only a proven answer.

A ring may be what failed, and a connection into a dead ring does not fail: it waits. So the addresses are not tried one
after the other's time-out; each is given a short start before the next, and the first that shows a challenge is
asked. The request itself goes to one address at a time.
"""

from __future__ import annotations

import _socket  # `socket` itself brings selectors and enum with it: half the time that a whole start takes
import errno
import os
import select
import time

from stonith import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Address = tuple[str, int]

HEAD_START_S = 0.2
"""What one address is given before the next is tried beside it."""

READING = select.POLLIN | select.POLLERR | select.POLLHUP
CONNECTING = select.POLLOUT | select.POLLERR | select.POLLHUP


class AskError(Exception):
    """Nobody gave an answer that can be believed. One sentence: each address and what was seen there.

    failures: that of each address by itself.
    """

    def __init__(self, failures: list[str]) -> None:
        super().__init__("no power broker gave an answer that can be believed (" + "; ".join(failures) + ")")
        self.failures = failures


class Call:
    """One connection on its way to a challenge."""

    __slots__ = ("address", "challenge", "connected", "socket")

    def __init__(self, address: Address) -> None:
        family = _socket.AF_INET6 if ":" in address[0] else _socket.AF_INET
        self.address = address
        self.challenge = b""
        self.connected = False
        self.socket = _socket.socket(family, _socket.SOCK_STREAM)
        self.socket.setblocking(False)
        code = self.socket.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise OSError(code, os.strerror(code))

    def advance(self) -> str | None:
        """Go on with a connection that is ready for it. Returns the nonce once the broker's challenge is whole."""
        if not self.connected:
            code = self.socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
            self.connected = True
            return None
        chunk = self.socket.recv(wire.LINE_MAX)
        self.challenge += chunk
        if not chunk:
            raise OSError(0, "hung up before a challenge: too many clients, or not a power broker")
        if b"\n" in self.challenge or len(self.challenge) > 128:
            nonce = wire.read_challenge(self.challenge)
            if nonce is None:
                raise OSError(0, "answers, but not as a power broker")
            return nonce
        return None


class Broker:
    """The power broker as one client with one key sees it."""

    def __init__(
        self,
        servers: Sequence[Address],
        client: str,
        key: bytes,
        deadline: float,
        greeting_s: float = 0.0,
        reply_s: Mapping[str, float] | None = None,
    ) -> None:
        """`deadline`: the time.monotonic() by which every answer must be here.

        Within it, and where not 0: `greeting_s` for the first challenge, `reply_s` for the reply to each verb.
        """
        self._servers = list(servers)
        self._client = client
        self.key = key
        self._deadline = deadline
        self._greeting_s = greeting_s
        self._reply_s = reply_s or {}

    def left_s(self) -> float:
        return self._deadline - time.monotonic()

    def grant(self, seconds: float) -> None:
        """More time, for what was waited on purpose."""
        self._deadline += seconds

    def ask(self, do: str, plug: str = "", wait: bool = True) -> dict[str, object]:
        """Ask for `do` and return the authenticated reply, which may well be a refusal. Raises AskError."""
        waiting, failures = list(self._servers), []

        def failed(address: Address, error: OSError) -> None:
            failures.append(f"{name_of(address)}: {(error.strerror or str(error)).lower()}")

        while waiting:
            call, nonce = self._first(waiting, failed)
            if call is None:
                break
            try:
                return self._exchange(call, nonce, do, plug, wait, more=bool(waiting))
            except _socket.timeout:
                failed(call.address, OSError(errno.ETIMEDOUT, "no reply to the request in time"))
            except OSError as error:
                failed(call.address, error)
            finally:
                call.socket.close()
        raise AskError(failures)

    def _first(self, waiting: list[Address], failed: Callable[[Address, OSError], None]) -> tuple[Call | None, str]:
        """Take from `waiting` the first address that shows a challenge, and those that fail before it."""
        calls: dict[int, Call] = {}
        poll = select.poll()
        untried = list(waiting)
        next_start = 0.0
        deadline = self._deadline
        if self._greeting_s:
            deadline = min(deadline, time.monotonic() + self._greeting_s)

        def drop(address: Address, error: OSError, call: Call | None = None) -> None:
            failed(address, error)
            waiting.remove(address)
            if call is not None:
                poll.unregister(call.socket)
                del calls[call.socket.fileno()]
                call.socket.close()

        try:
            while untried or calls:
                now = time.monotonic()
                if now >= deadline:
                    break
                if untried and (not calls or now >= next_start):
                    address = untried.pop(0)
                    next_start = now + HEAD_START_S
                    try:
                        call = Call(address)
                    except OSError as error:
                        drop(address, error)
                        continue
                    calls[call.socket.fileno()] = call
                    poll.register(call.socket, CONNECTING)
                until = min(deadline, next_start) if untried else deadline
                for handle, _ in poll.poll(max(0, int((until - now) * 1000) + 1)):
                    call = calls[handle]
                    try:
                        nonce = call.advance()
                    except OSError as error:
                        drop(call.address, error, call)
                        continue
                    if nonce is not None:
                        del calls[handle]
                        waiting.remove(call.address)
                        return call, nonce
                    poll.modify(call.socket, READING)
            for address in list(waiting):
                drop(address, OSError(0, "no answer in time"))
            return None, ""
        finally:
            for call in calls.values():
                call.socket.close()

    def _exchange(self, call: Call, nonce: str, do: str, plug: str, wait: bool, more: bool) -> dict[str, object]:
        """Send the request, and read and prove the reply. Raises OSError with what was seen instead.

        While there are `more` addresses to ask, this one has half of the time: it may have failed after its
        challenge, and asking for the same thing twice does no harm.
        """
        now = time.monotonic()
        left = self._deadline - now
        if self._reply_s.get(do):
            left = min(left, self._reply_s[do])
        patience = now + (left / 2 if more else left)
        # the broker is given a little less than there is, so that its own reason gets here before our patience ends
        within_ms = max(1, int(1000 * (left - min(0.5, 0.1 * left))))
        # everything in it is a checked name or a number: nothing to quote, and no reason to load a JSON writer
        body = (
            f'{{"nonce":"{os.urandom(wire.NONCE_BYTES).hex()}","do":"{do}","plug":"{plug}",'
            f'"within_ms":{within_ms},"wait":{"true" if wait else "false"}}}'
        ).encode("ascii")
        asked = wire.request_mac(self.key, nonce, body)
        _bound(call, patience)
        call.socket.sendall(wire.request_line(self._client, asked, body))
        import json  # loaded while the broker is at work

        line = b""
        while not line.endswith(b"\n"):
            _bound(call, patience)
            chunk = call.socket.recv(wire.REPLY_MAX)
            line += chunk
            if not chunk:
                raise OSError(0, "hung up without a reply")
            if len(line) > wire.REPLY_MAX:
                raise OSError(0, "sent a reply without an end")
        parts = wire.split_reply(line)
        if parts is None:
            raise OSError(0, "sent a reply that is not one")
        mac, reply = parts
        if mac == wire.UNAUTHENTICATED:
            raise OSError(
                0, "refused, without proof of who it is: " + wire.printable(reply.decode("utf-8", "replace"), 200)
            )
        if not wire.same(mac, wire.reply_mac(self.key, asked, reply)):
            raise OSError(
                0, "sent a reply that this client's key does not prove; is it the right key, the right broker?"
            )
        try:
            told = json.loads(reply)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise OSError(0, "sent a proven reply that is not a JSON object")
        return told


def _bound(call: Call, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise OSError(errno.ETIMEDOUT, "no reply to the request in time")
    call.socket.settimeout(left)


def name_of(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
