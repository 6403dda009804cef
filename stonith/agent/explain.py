"""`fence_kappa explain`: what would happen if the machine had to be fenced now. For people; it only lists and looks.

Every address is asked for itself, where fencing would be content with the first that answers. A proven answer is final
for fencing, so one broker that would refuse spoils it though another would not: which of them greets first, nobody
knows beforehand.
"""

from __future__ import annotations

import time

from stonith import wire
from stonith.agent.actions import OK, ActionError, connect, say
from stonith.agent.ask import AskError, Broker, Call, name_of
from stonith.agent.options import Settings
from stonith.keyfile import KeyFileError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Address = tuple[str, int]

LOOKS = 2
"""What fencing needs at least: a look before the switch and a look after it."""


class View:
    """One address: what it showed. Times in seconds; `problem`: why it cannot be the one that fences, if it cannot."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.name = name_of(address)
        self.greeted_s = -1.0
        self.looked_s = 0.0
        self.proven = False
        self.may: list[str] = []
        self.driver = ""
        self.machine = ""
        self.state = ""
        self.instance = ""
        self.evidence = ""
        self.problem = ""


class TimedBroker(Broker):
    """Notes when the challenge came; the rest is as fencing does it."""

    greeted_s = -1.0

    def _first(self, waiting: list[Address], failed: Callable[[Address, OSError], None]) -> tuple[Call | None, str]:
        began = time.monotonic()
        call, nonce = super()._first(waiting, failed)
        if call is not None:
            self.greeted_s = time.monotonic() - began
        return call, nonce


def explain(settings: Settings) -> int:
    """Print it all; 0 when fencing would work now. Raises ActionError with what would go wrong."""
    from stonith.agent import page

    deadline = time.monotonic() + settings.timeout_s
    try:
        views = look_at_all(settings, connect(settings, deadline).key, deadline)
    except KeyFileError as error:
        raise ActionError(str(error)) from None
    wrong = verdict(settings, views)
    for line in page.lines(settings, views, not wrong):
        say(line)
    if wrong:
        raise ActionError(wrong)
    return OK


def look_at_all(settings: Settings, key: bytes, deadline: float) -> list[View]:
    """One address after the other, each with its share of the time that is left."""
    views = []
    for at, address in enumerate(settings.servers):
        left = max(0.0, deadline - time.monotonic())
        until = time.monotonic() + left / (len(settings.servers) - at)
        broker = TimedBroker([address], settings.client, key, until, settings.login_timeout_s)
        view = View(address)
        try:
            _look(broker, settings.plug, view)
        except AskError as error:
            seen = error.failures[-1] if error.failures else "nothing"
            view.problem = seen.partition(": ")[2] or seen
        view.greeted_s = broker.greeted_s
        views.append(view)
    return views


def _look(broker: TimedBroker, plug: str, view: View) -> None:
    reply = broker.ask("list")
    view.proven = True
    rows = reply.get("plugs")
    if reply.get("do") != "list" or reply.get("ok") is not True or not isinstance(rows, list):
        view.problem = wire.printable(reply.get("reason") or "answers a question for its list with something else")
        return
    machines = {row["plug"]: row.get("machine") for row in rows if isinstance(row, dict) and _named(row.get("plug"))}
    view.may = sorted(machines)
    view.driver = wire.printable(reply.get("driver") or "")
    if view.driver:
        view.problem = f"cannot switch now: {view.driver}"
    elif not view.may:
        view.problem = "lets this client switch nothing"
    elif plug and plug not in machines:
        view.problem = f"gives this client no right to {plug}"
    if not plug or plug not in machines:
        return
    view.machine = wire.printable(machines[plug] or "?")
    began = time.monotonic()
    reply = broker.ask("status", plug)
    view.looked_s = time.monotonic() - began
    state = reply.get("state")
    view.state = (
        state if state in ("on", "off") and reply.get("ok") is True and reply.get("plug") == plug else "unknown"
    )
    view.instance = wire.printable(reply.get("instance") or "")
    view.evidence = wire.printable(reply.get("evidence") or reply.get("reason") or "no evidence")
    if view.state == "unknown" and not view.problem:
        view.problem = f"does not know the state of {plug}: {view.evidence}"


def _named(plug: object) -> bool:
    return isinstance(plug, str) and wire.is_name(plug)


def verdict(settings: Settings, views: list[View]) -> str:
    """Why fencing would not work now; empty when it would."""
    proven = [view for view in views if view.proven]
    if not proven:
        seen = "; ".join(f"{view.name}: {view.problem}" for view in views)
        return f"no address has a power broker that knows this client, {settings.client} ({seen}); fencing would fail"
    for view in proven:
        if view.problem:
            return f"{view.name} {view.problem}; fencing that comes to it would fail"
    if disagreement := disagree(proven):
        return disagreement
    return ""


def disagree(views: list[View]) -> str:
    """Two brokers that are not of one mind about a machine do not look at the same one."""
    for other in views[1:]:
        first = views[0]
        for what, one, two in (
            ("is", first.state, other.state),
            ("runs as", first.instance, other.instance),
            ("is the machine", first.machine, other.machine),
        ):
            if one != two:
                return (
                    f"the brokers disagree: by {first.name} it {what} {one or 'nothing'}, by {other.name}"
                    f" {two or 'nothing'}; see which of them looks at the right hypervisor"
                )
    return ""


def least_s(settings: Settings, views: list[View]) -> float:
    """As measured just now; the switch itself, which was not tried, comes on top."""
    usable = [view.greeted_s + LOOKS * view.looked_s for view in views if view.proven and not view.problem]
    return settings.delay_s + min(usable, default=0.0)


def most_s(settings: Settings) -> float:
    """By then it is done, or has failed."""
    return settings.delay_s + settings.timeout_s + settings.power_wait_s
