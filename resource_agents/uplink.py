"""ocf:kappa:uplink: node attributes that say what this node can reach, for location rules; usually a clone."""

import time

from resource_agents.host.attributes import ABSENT, UNKNOWN, Held, publish, read, write
from resource_agents.host.url import http_address, web_address
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import GENERIC, NOT_RUNNING, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter

ATTRIBUTES = ("telegram_attribute", "router_attribute", "latency_attribute")
NOT_MEASURED = "none"


def monitor(operation: Operation) -> None:
    """Measure, and write what changed for good. A probe only tells whether it was started. What cannot be reached is no
    failure of this resource: its attribute says 0, and location rules do the rest."""
    held = _started(operation)
    if held is None:
        raise Failure(NOT_RUNNING, "uplink is stopped: it keeps no attribute on this node")
    if operation.interval_s:
        _keep(operation, held)


def again(operation: Operation) -> None:
    """Level 10: write all of them again. A cluster that was restarted under a resource that was not has forgotten
    them."""
    held = _started(operation) or {}
    for name, one in held.items():
        if one.value != UNKNOWN:
            publish(operation, operation.text("updater"), name, one.value)


def _started(operation: Operation) -> "dict[str, Held] | None":
    try:
        return read(operation.state_file("attributes"))
    except ValueError as wrong:
        raise Failure(GENERIC, f"uplink: {wrong}; stop removes it") from None


def _keep(operation: Operation, held: "dict[str, Held]") -> None:
    record = operation.state_file("attributes")
    before = [one.line() for one in held.values()]
    results, dampen_s = operation.number("results"), operation.seconds("dampen")
    measured = _measure(operation)
    due = [
        name
        for name, (value, _) in measured.items()
        if held.setdefault(name, Held()).changed(value, time.monotonic(), results, dampen_s)
    ]
    # Until it is written for certain nobody knows what the cluster holds; should this be killed, the next one writes.
    held.update((name, Held()) for name in due)
    if before != [one.line() for one in held.values()]:
        write(record, held)
    try:
        for name in due:
            value, why = measured[name]
            publish(operation, operation.text("updater"), name, value)
            held[name] = Held(value)
            operation.info(f"uplink: {name} is now {'not defined' if value == ABSENT else value}: {why}")
    finally:
        if due:
            write(record, held)


def _measure(operation: Operation) -> "dict[str, tuple[str, str]]":
    """Attribute → its value now, and why it is so."""
    unasked = (ABSENT, "it is not measured")
    telegram, latency = unasked, unasked
    if operation.text("telegram_url") != NOT_MEASURED:
        telegram, latency = _telegram(operation)
    router = _router(operation) if operation.text("router") != NOT_MEASURED else unasked
    found = dict(zip(map(operation.text, ATTRIBUTES), (telegram, router, latency)))
    found.pop(NOT_MEASURED, None)
    return found


def _telegram(operation: Operation) -> "tuple[tuple[str, str], tuple[str, str]]":
    from resource_agents.host.reach import reach
    from resource_agents.host.sockets import Unanswered

    scheme, host, port, _ = web_address(operation.text("telegram_url"))
    operation.doing = f"reaching {host}:{port}"
    deadline = operation.deadline.part(0.4, operation.seconds("answer_within"))
    try:
        took_ms = reach(scheme, host, port, operation.text("telegram_check"), deadline) * 1000
    except Unanswered as unanswered:
        why = f"{host}:{port} {unanswered}"
        return ("0", why), (ABSENT, why)
    why = f"{host}:{port} answered within {took_ms:.0f} ms"
    return ("1", why), (str(_rounded(took_ms)), why)


def _rounded(milliseconds: float) -> int:
    """Up to the next of 10, 20, 50, 100, ...: no attribute needs writing for each millisecond more or less."""
    step = 10
    while True:
        for one in (step, 2 * step, 5 * step):
            if milliseconds <= one:
                return one
        step *= 10


def _router(operation: Operation) -> "tuple[str, str]":
    from resource_agents.host.router import hello
    from resource_agents.host.sockets import Unanswered

    where = operation.text("router")
    host, port, _ = http_address(f"http://{where}")
    operation.doing = f"the handshake with {where}"
    try:
        said = hello(host, port, operation.deadline.part(0.5, operation.seconds("answer_within")))
    except Unanswered as unanswered:
        return "0", f"{where} {unanswered}"
    if said.get("ok") != 1 or said.get("msg") != "isdbgrid":
        return "0", f"{where} does not answer as a router"
    return _behind(operation, f"{where} answers as a router")


def _behind(operation: Operation, so_far: str) -> "tuple[str, str]":
    """A router answers the handshake out of its own head: whether this node reaches what it routes to is another
    question. One of those machines is enough: which of them serve is the data tier's own affair, the same from every
    node."""
    from resource_agents.host.reach import reach
    from resource_agents.host.sockets import Unanswered

    rest = [one for one in operation.text("data_tier").split(",") if one.strip()]
    if not rest:
        return "1", so_far
    deadline, seen = operation.deadline.part(0.8, operation.seconds("answer_within")), ""
    while rest:
        where, rest = rest[0].strip(), rest[1:]
        host, port, _ = http_address(f"http://{where}")
        operation.doing = f"reaching {where} of the data tier"
        try:
            # One that is dead must not take the time of those after it.
            reach("http", host, port, "connect", deadline.part(1 / (len(rest) + 1)))
            return "1", f"{so_far}, and {where} is reached"
        except Unanswered as unanswered:
            seen = f"{seen}{', ' if seen else ''}{where} {unanswered}"
    return "0", f"{so_far}, but this node reaches nothing of the data tier: {seen}"


def start(operation: Operation) -> None:
    from resource_agents.host.spawn import program

    program(operation.text("updater"))
    held = _started(operation) or {}
    for attribute in ATTRIBUTES:
        name = operation.text(attribute)
        if name != NOT_MEASURED:
            held.setdefault(name, Held())
    # Noted down first: should this be interrupted, stop knows what to remove.
    write(operation.state_file("attributes"), held)
    _keep(operation, held)


def stop(operation: Operation) -> None:
    """Remove the attributes. Where Pacemaker's attribute manager cannot be told, the attributes end with its own life,
    and shooting the node for them would be out of all proportion: stop says so, and succeeds."""
    from resource_agents.host.processes import forget

    path = operation.state_file("attributes")
    try:
        recorded = read(path)
    except (ValueError, OSError):
        recorded = None
    # Started or not: a record may have been lost while the attributes were not.
    names = list(recorded) if recorded else [operation.text(attribute) for attribute in ATTRIBUTES]
    names = [name for name in names if name != NOT_MEASURED and not _wrong_name(name)]
    updater = operation.text("updater")
    for number, name in enumerate(names):
        # A program that hangs takes no more than its part of the time: the stop itself must come to its end.
        share = operation.deadline.left() * 0.8 / (len(names) - number)
        try:
            publish(operation, updater, name, ABSENT, min(5.0, share))
        except Failure as failed:
            if recorded:
                operation.warning(f"{failed.reason}; it stays until this node leaves the cluster")
    forget(path)


def validate(operation: Operation) -> None:
    from resource_agents.host.spawn import program

    program(operation.text("updater"))


def _agree(operation: Operation) -> None:
    names = [name for name in map(operation.text, ATTRIBUTES) if name != NOT_MEASURED]
    if len(set(names)) < len(names):
        raise ValueError("two of telegram_attribute, router_attribute and latency_attribute have the same name")


def _wrong_name(raw: str) -> str:
    fine = raw.isascii() and raw[:1].isalpha() and all(c.isalnum() or c in "-_." for c in raw) and len(raw) <= 100
    return "" if fine else "is no name of a node attribute (letters, digits, - _ . and a letter first)"


def _wrong_url(raw: str) -> str:
    try:
        if raw != NOT_MEASURED:
            web_address(raw)
    except ValueError as wrong:
        return str(wrong)
    return ""


def _wrong_address(raw: str) -> str:
    if raw == NOT_MEASURED:
        return ""
    try:
        if "/" in raw or not raw.rpartition(":")[2].isdigit():
            raise ValueError("is not host:port")
        http_address(f"http://{raw}")
    except ValueError as wrong:
        return str(wrong)
    return ""


def _wrong_addresses(raw: str) -> str:
    for one in raw.split(","):
        wrong = "is not host:port" if one.strip() == NOT_MEASURED else _wrong_address(one.strip())
        if wrong:
            return wrong
    return ""


def _attribute(name: str, default: str, short: str, long: str) -> Parameter:
    return Parameter(
        name, "string", default, short, f"{long} {NOT_MEASURED} keeps none.", unique_group=name, check=_wrong_name
    )


AGENT = Agent(
    name="uplink",
    short="What this node can reach, as node attributes",
    long="""Keeps node attributes that say whether this node reaches Telegram and a MongoDB router, and how quickly, for
location rules: a node that lost its uplink then gives its services up in good order, without being fenced. Run it as a
clone. Monitor measures (depth 0) and writes an attribute once its value has changed for good; depth 10 writes all of
them again. That something cannot be reached is not a failure of this resource. Stop removes the attributes. For
example: pcs constraint location GROUP rule score=-INFINITY kappa-telegram ne 1 or not_defined kappa-telegram""",
    parameters=(
        Parameter(
            "telegram_url",
            "string",
            "https://api.telegram.org",
            "Telegram's address",
            "Base URL of the Bot API, without a token: its host and port are what is reached. none measures nothing.",
            reloadable=True,
            check=_wrong_url,
        ),
        Parameter(
            "telegram_check",
            "select",
            "connect",
            "How to tell that Telegram is reached",
            "connect: a TCP connection is enough. tls: also a certificate for the host that this node trusts. http: "
            "also an answer to a HEAD request with a status below 500.",
            options=("connect", "tls", "http"),
            reloadable=True,
        ),
        Parameter(
            "router",
            "string",
            "127.0.0.1:27017",
            "The router's address",
            "host:port of the MongoDB router (mongos) that must answer the handshake. none does not measure it.",
            reloadable=True,
            check=_wrong_address,
        ),
        Parameter(
            "data_tier",
            "string",
            "",
            "What is behind the router",
            "host:port[,host:port...] of config servers or members of shards. Where given, the router counts as "
            "reached only while at least one of them takes a connection from this node. Empty: the router's own answer "
            "is enough.",
            reloadable=True,
            check=_wrong_addresses,
        ),
        _attribute("telegram_attribute", "kappa-telegram", "Attribute: Telegram", "1 when it is reached, else 0."),
        _attribute("router_attribute", "kappa-router", "Attribute: router", "1 when it is reached, else 0."),
        _attribute(
            "latency_attribute",
            "kappa-latency-ms",
            "Attribute: latency",
            "Milliseconds until Telegram answered, rounded up to 10, 20, 50, 100 and so on; not defined when it "
            "is not reached.",
        ),
        Parameter(
            "answer_within",
            "time",
            "2s",
            "When no answer is an answer",
            "For how long each of them may keep a measurement waiting.",
            reloadable=True,
        ),
        Parameter(
            "results",
            "integer",
            "3",
            "Equal results before a change",
            "An attribute changes once this many measurements in a row agree on another value.",
            minimum=1,
            maximum=1000,
            reloadable=True,
        ),
        Parameter(
            "dampen",
            "time",
            "15s",
            "Time before a change",
            "An attribute changes at the latest when its value has not been measured for this long.",
            reloadable=True,
        ),
        Parameter("updater", "program", "attrd_updater", "Pacemaker's attrd_updater", "Path or name of the program."),
    ),
    timeouts={"start": 20, "stop": 20, "monitor": 10},
    start=start,
    stop=stop,
    monitors={0: (5, monitor), 10: (60, again)},
    validate=validate,
    agree=_agree,
)
