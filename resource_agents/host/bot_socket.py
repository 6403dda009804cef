"""The bot's control socket (kappa_bot/PROTOCOL.md): one JSON line asked, one JSON line answered, then it closes."""

import json

from resource_agents.host.sockets import Unanswered, connect, line, send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.ocf.operation import Deadline

VERSION = 1


class Status:
    """What the bot says of itself. `last_receive_s`: seconds since Telegram last answered a getUpdates with 200, None
    before the first. `telegram`, `router`: "ok", or one line of what is wrong; what a check has just met
    goes before what the bot's last use of it did. `reason`: one line, or ""."""

    __slots__ = ("backlog", "conflicts", "epoch", "last_receive_s", "pid", "reason", "role", "router", "telegram")

    def __init__(self, reply: "dict[str, object]") -> None:
        self.role = _text(reply, "role")
        self.pid = _count(reply, "pid")
        self.epoch = reply.get("epoch")
        self.last_receive_s = _seconds(reply)
        self.backlog = _count(reply, "backlog")
        self.conflicts = _count(reply, "conflicts")
        self.telegram = _side(reply, "telegram")
        self.router = _side(reply, "router")
        self.reason = _text(reply, "reason")


class Refused(Unanswered):
    """The bot understood that something was asked, and says no."""


def status(path: str, deadline: "Deadline") -> Status:
    """Raises Unanswered for everything that is not a status."""
    return _status(ask(path, "status", deadline))


def check(path: str, deadline: "Deadline") -> Status:
    """Have it ask Telegram and the router now. Raises Unanswered. Of a bot too old to, its status."""
    # Each side may take so long; what is left is for the way there and back.
    wait_s = min(10.0, deadline.left() * 0.7)
    try:
        return _status(ask(path, "check", deadline, {"wait_s": round(wait_s, 3)}))
    except Refused:
        return status(path, deadline)


def _status(reply: "dict[str, object]") -> Status:
    if reply.get("role") not in ("starting", "standby", "active", "stopping"):
        raise Unanswered(f"answers with an unknown role {reply.get('role')!r}")
    return Status(reply)


def order(path: str, do: str, deadline: "Deadline") -> Status:
    """Have it promote or demote, and return how it is once it has, or shortly before the deadline. Raises
    Unanswered."""
    # The bot itself says "not yet" at the end of the wait; it needs a moment to.
    wait_s = min(600.0, deadline.left() * 0.95)
    return Status(ask(path, do, deadline, {"wait_s": round(wait_s, 3)}))


def ask(path: str, do: str, deadline: "Deadline", more: "dict[str, object] | None" = None) -> "dict[str, object]":
    """Send a request and return the reply, its "ok" already checked. Raises Unanswered."""
    with connect(path, deadline) as link:
        send(link, json.dumps({"v": VERSION, "do": do, **(more or {})}).encode() + b"\n", deadline)
        data = line(link, deadline)
    try:
        reply = json.loads(data)
    except (ValueError, RecursionError):
        raise Unanswered("answers with something that is not JSON") from None
    if not isinstance(reply, dict) or reply.get("v") != VERSION:
        raise Unanswered("answers in another version of the protocol")
    if reply.get("ok") is not True:
        raise Refused(f"refuses: {reply.get('error', 'no reason given')}")
    return reply


def _text(reply: "dict[str, object]", key: str) -> str:
    value = reply.get(key, "")
    if not isinstance(value, str):
        raise Unanswered(f"answers with an unusable {key}")
    return value


def _side(reply: "dict[str, object]", key: str) -> str:
    used, checked = _text(reply, key), reply.get("checked")
    now = _text(checked, key) if isinstance(checked, dict) else ""
    return used if now in ("", "ok") or now.startswith("not asked") else now


def _count(reply: "dict[str, object]", key: str) -> int:
    value = reply.get(key, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unanswered(f"answers with an unusable {key}")
    return value


def _seconds(reply: "dict[str, object]") -> "float | None":
    value = reply.get("last_receive_s")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise Unanswered("answers with an unusable last_receive_s")
    return float(value)
