"""One proven client's request: read it, hold it against the client's rights, do it, put the outcome in a reply.

Nothing here knows of sockets. What is not exactly a request that the protocol has is refused, with the reason.
"""

import json
from dataclasses import dataclass

from stonith.power.config import Client
from stonith.power.switch import NOT_SEEN, Outcome, Switch
from stonith.wire import ACTIONS, NONCE_BYTES, is_name

WITHIN_MAX_MS = 120_000


class RequestError(Exception):
    """Why a request is refused, in one line."""


@dataclass(frozen=True)
class Request:
    do: str
    plug: str
    """Empty for `list` alone."""
    within_s: float
    wait: bool


def read(body: bytes, client: Client) -> Request:
    """The request in a proven body, if this client may make it. Raises RequestError."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError("the request is not JSON") from None
    if not isinstance(told, dict) or set(told) != {"nonce", "do", "plug", "within_ms", "wait"}:
        raise RequestError("the request must have exactly nonce, do, plug, within_ms and wait")
    nonce, do, plug, within_ms, wait = (told[key] for key in ("nonce", "do", "plug", "within_ms", "wait"))
    if not isinstance(nonce, str) or len(nonce) != 2 * NONCE_BYTES:
        raise RequestError("nonce is not one")
    if not isinstance(do, str) or do not in ACTIONS:
        raise RequestError("do is none of " + ", ".join(ACTIONS))
    if type(within_ms) is not int or not 0 < within_ms <= WITHIN_MAX_MS:
        raise RequestError(f"within_ms is not a number from 1 to {WITHIN_MAX_MS}")
    if not isinstance(wait, bool) or not (wait or do == "on"):
        raise RequestError("wait must be true, or for `on` false")
    if not isinstance(plug, str) or (do == "list") != (plug == ""):
        raise RequestError("plug must name a machine, and be empty for `list`")
    if plug and plug not in client.may:  # and no word on whether there is such a plug
        raise RequestError(
            f"{client.name} has no right to {plug!r}; `may` in the power broker's configuration gives it"
        )
    return Request(do, plug, within_ms / 1000, wait)


def about(body: bytes) -> tuple[str, str]:
    """What a proven body that is refused was about, as far as that can be told; for the refusal and the audit."""
    try:
        told = json.loads(body)
        do, plug = told["do"], told["plug"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "", ""
    return (
        do if isinstance(do, str) and do in ACTIONS else "",
        plug if isinstance(plug, str) and is_name(plug) else "",
    )


def perform(switch: Switch, request: Request, deadline: float) -> Outcome:
    """Do what is asked of one plug. Blocks until it is done, until `deadline` (time.monotonic()) at most."""
    act = {"status": switch.status, "off": switch.off, "on": switch.on}[request.do]
    try:
        return act(request.plug, deadline)
    except Exception as error:  # a driver that breaks its promise never to; nothing is proven then
        return Outcome(False, NOT_SEEN, NOT_SEEN, f"the driver failed in a way it should not ({type(error).__name__})")


def look(switch: Switch, client: Client, deadline: float) -> dict[str, object]:
    """The reply to `list`: the client's plugs, what is seen of each, and whether the hypervisor can be asked at all."""
    trouble = switch.trouble(deadline)
    rows = []
    for plug in client.may:
        sight = NOT_SEEN if trouble else switch.status(plug, deadline).after
        rows.append(
            {"plug": plug, "machine": switch.machine(plug), "state": sight.state.value, "instance": sight.instance}
        )
    return {"ok": True, "do": "list", "plug": "", "driver": trouble, "plugs": rows, "reason": trouble}


def reply(request: Request, outcome: Outcome) -> dict[str, object]:
    return {
        "ok": outcome.ok,
        "do": request.do,
        "plug": request.plug,
        "before": outcome.before.state.value,
        "state": outcome.after.state.value,
        "instance": outcome.before.instance or outcome.after.instance,
        "evidence": outcome.after.evidence,
        "reason": outcome.reason,
    }
