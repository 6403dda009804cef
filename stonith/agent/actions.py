"""What each action of `fence_kappa` asks for, and which exit code the answer is worth.

Only a positive, authenticated answer is ever worth a success. Whatever is missing, contradictory, late or not
understood is unknown, and unknown is a failure with one line on standard error: what was asked, what was seen, what
to do.
"""

from __future__ import annotations

import os
import time

from stonith import wire
from stonith.agent.ask import AskError, Broker
from stonith.agent.options import Settings
from stonith.keyfile import KeyFileError, read_key

RETRY_S = 0.5
"""Between two attempts to switch on."""

OK, FAILED, OFF = 0, 1, 2
"""Exit codes. 2 is said by status alone: the machine is proven off."""


class ActionError(Exception):
    """Why an action failed: what was seen; what to do."""


def run(settings: Settings) -> int:
    """Do the action and return its exit code. Raises ActionError."""
    if settings.delay_s and settings.action in ("off", "reboot"):
        time.sleep(settings.delay_s)
    deadline = time.monotonic() + settings.timeout_s
    try:
        return _ACTIONS[settings.action](connect(settings, deadline), settings)
    except KeyFileError as error:
        raise ActionError(str(error)) from None
    except AskError as error:
        raise ActionError(
            f"{error}; see that kappa-powerd runs there and knows this client, {settings.client}"
        ) from None


def connect(settings: Settings, deadline: float) -> Broker:
    """The broker as these settings reach it. Raises KeyFileError."""
    if settings.key_script:
        from stonith.agent.keyscript import key_of

        key = key_of(settings.key_script, deadline - settings.timeout_s / 2)
    else:
        key = read_key(settings.key_file)
    switch_s, look_s = settings.power_timeout_s, settings.shell_timeout_s
    reply_s = {"off": switch_s, "on": switch_s, "status": look_s, "list": look_s}
    return Broker(settings.servers, settings.client, key, deadline, settings.login_timeout_s, reply_s)


def _ask(broker: Broker, do: str, plug: str = "", wait: bool = True) -> dict[str, object]:
    """Ask, and return a reply that grants what was asked and speaks of nothing else."""
    reply = broker.ask(do, plug, wait)
    if reply.get("do") != do or reply.get("plug", "") != plug:
        raise ActionError(
            "the power broker answered another question than was asked; upgrade agent and broker to one version"
        )
    if reply.get("ok") is not True:
        reason = wire.printable(reply.get("reason") or "the power broker gave no reason")
        raise ActionError(f"{reason}; the broker's audit log has the whole of it")
    return reply


def _status(broker: Broker, settings: Settings) -> int:
    reply = _ask(broker, "status", settings.plug)
    state = reply.get("state")
    if state == "on":
        say("Status: ON")
        return OK
    if state == "off":
        say("Status: OFF")
        return OFF
    raise ActionError(f"its state is unknown: {_evidence(reply)}; ask the hypervisor by hand what became of it")


def _off(broker: Broker, settings: Settings) -> int:
    plug = settings.plug
    reply = _ask(broker, "off", plug)
    if reply.get("state") != "off":
        raise ActionError(
            f"what ran was switched off, but now its state is {_word(reply)}: {_evidence(reply)}; see what starts it"
        )
    reply = _look_again(broker, settings, "off", reply)
    say(f"Success: {plug} is off: {_evidence(reply)}")
    return OK


def _look_again(broker: Broker, settings: Settings, wanted: str, reply: dict[str, object]) -> dict[str, object]:
    """After `power_wait`, for machines whose switch is said to be done before it is: is it still so?"""
    if not settings.power_wait_s:
        return reply
    _pause(broker, settings.power_wait_s)
    again = _ask(broker, "status", settings.plug)
    if again.get("state") != wanted:
        raise ActionError(
            f"it was {wanted}, but {settings.power_wait_s:g} s later its state is {_word(again)}: {_evidence(again)};"
            " see what switches it beside the cluster"
        )
    return again


def _pause(broker: Broker, seconds: float) -> None:
    time.sleep(seconds)
    broker.grant(seconds)


def _reboot(broker: Broker, settings: Settings) -> int:
    """The off half decides. The boot is asked for, not waited for: the cluster can go on once the machine is dead."""
    plug = settings.plug
    reply = _ask(broker, "off", plug)
    state = reply.get("state")
    if state not in ("off", "on"):  # on: what ran is proven gone, and somebody else has started it anew
        raise ActionError(
            f"its state is {_word(reply)}: {_evidence(reply)}; ask the hypervisor by hand what became of it"
        )
    say(f"Success: {plug} was switched off: {_evidence(reply)}")
    if state == "off":
        if settings.power_wait_s:
            _pause(broker, settings.power_wait_s)
        try:
            _switch_on(broker, settings, wait=False)
        except (ActionError, AskError) as error:
            complain(
                f"reboot of {plug}: it is off, as it must be, but was not started again: {error}; start it by hand"
            )
    return OK


def _switch_on(broker: Broker, settings: Settings, wait: bool) -> dict[str, object]:
    """Ask for it, again if it was refused, as often as `retry_on` says and the time allows."""
    for left in range(settings.retry_on - 1, -1, -1):
        try:
            return _ask(broker, "on", settings.plug, wait)
        except (ActionError, AskError):
            if not left or broker.left_s() < 2 * RETRY_S:
                raise
            time.sleep(RETRY_S)
    raise ActionError("it was not asked for; retry_on must be 1 at least")


def _on(broker: Broker, settings: Settings) -> int:
    plug = settings.plug
    reply = _switch_on(broker, settings, wait=True)
    if reply.get("state") != "on":
        raise ActionError(
            f"its state is {_word(reply)}: {_evidence(reply)}; ask the hypervisor by hand why it does not run"
        )
    reply = _look_again(broker, settings, "on", reply)
    say(f"Success: {plug} is on: {_evidence(reply)}")
    return OK


def _list(broker: Broker, _: Settings) -> int:
    # also while the hypervisor is away: a Pacemaker whose first list of a device fails asks it for no other
    for row in _rows(_ask(broker, "list")):
        say(f"{row['plug']},{row['machine']}")
    return OK


def _list_status(broker: Broker, _: Settings) -> int:
    for row in _rows(_ask(broker, "list")):
        state = row.get("state")
        say(f"{row['plug']},{row['machine']},{state.upper() if state in ('on', 'off') else 'UNKNOWN'}")
    return OK


def _monitor(broker: Broker, settings: Settings) -> int:
    """Can this device fence? The broker answers, knows this client, and its hypervisor answers it."""
    plug = settings.plug
    reply = _ask(broker, "list")
    rows = _rows(reply)
    if reply.get("driver") != "":
        raise ActionError(
            f"the power broker cannot switch now: {wire.printable(reply.get('driver'))}; see to the hypervisor"
        )
    if not rows:
        raise ActionError(
            "this client may switch nothing; name its peers under `may` in the power broker's configuration"
        )
    if plug and not any(row["plug"] == plug and row.get("state") in ("on", "off") for row in rows):
        raise ActionError(f"the power broker sees no state of {plug}; list-status shows what it sees")
    return OK


def _rows(reply: dict[str, object]) -> list[dict[str, str]]:
    rows = reply.get("plugs")
    if not isinstance(rows, list):
        raise ActionError("the power broker's list is none; upgrade agent and broker to one version")
    good = []
    for row in rows:
        if not isinstance(row, dict) or not all(
            isinstance(row.get(k), str) and wire.is_name(row[k]) for k in ("plug", "machine")
        ):
            raise ActionError("the power broker's list holds what is no name; upgrade agent and broker to one version")
        good.append(row)
    return good


def _word(reply: dict[str, object]) -> str:
    state = reply.get("state")
    return state if state in ("on", "off") else "unknown"


def _evidence(reply: dict[str, object]) -> str:
    return wire.printable(reply.get("evidence") or "the power broker gave no evidence")


def say(line: str) -> None:
    # not print(): what is buffered may fail at exit, after the exit code has been chosen
    os.write(1, (line + "\n").encode("utf-8", "replace"))


def complain(line: str) -> None:
    """One line on standard error; where nobody listens, nothing."""
    try:  # noqa: SIM105  what contextlib brings with it costs more than this
        os.write(2, ("fence_kappa: " + wire.printable(line, 1500) + "\n").encode("utf-8", "replace"))
    except OSError:
        pass


_ACTIONS = {
    "status": _status,
    "off": _off,
    "on": _on,
    "reboot": _reboot,
    "list": _list,
    "list-status": _list_status,
    "monitor": _monitor,
}
