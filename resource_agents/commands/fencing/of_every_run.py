"""What must hold of every run that the other checks made; these come last."""

from __future__ import annotations

from resource_agents.commands.conformance.of_every_run import TRACES, count
from resource_agents.commands.conformance.registry import Inapplicable, insist
from resource_agents.commands.fencing.device import FAILED, OFF, OK, Device, why
from resource_agents.commands.fencing.registry import check

GROUP = "every run"


@check(GROUP)
def exit_codes_legal(device: Device) -> str:
    """0 or 1; 2 is a word of status and monitor alone.

    Source: Fence Agent API, Agent Operations and Return Values
    """
    every = [one for one in device.journal if not one.timed_out]
    wrong = []
    for one in every:
        if one.code not in ((OK, FAILED, OFF) if one.action in ("status", "monitor") else (OK, FAILED)):
            wrong.append(f"{one} ({why(one)[:80]})")
    insist(not wrong, count(wrong, len(every)))
    return f"all of {len(every)} runs: {', '.join(map(str, sorted({one.code for one in every})))}"


@check(GROUP)
def no_traceback(device: Device) -> str:
    """No failure of the agent's own program reaches the operator instead of a reason.

    Source: Fence Agent API, Agent Operations and Return Values (a well-defined value, whatever happens)
    """
    every = device.journal
    wrong = [f"{one} ({why(one)[:80]})" for one in every if any(trace in one.err + one.out for trace in TRACES)]
    insist(not wrong, count(wrong, len(every)))
    return f"none in {len(every)} runs"


@check(GROUP)
def failures_say_why(device: Device) -> str:
    """A failure says something on standard error: it is all that the cluster's log has of it.

    Source: Pacemaker, pacemaker-fenced logs the agent's standard error
    """
    failures = [one for one in device.journal if one.code == FAILED and not one.timed_out]
    if not failures:
        raise Inapplicable("no run failed")
    wrong = [str(one) for one in failures if not one.err.strip()]
    insist(not wrong, count(wrong, len(failures)))
    return f"each of {len(failures)} failures"


@check(GROUP)
def ended_in_time(device: Device) -> str:
    """Every action ends by itself before the cluster's time-out for it, 60 s where none is configured.

    Source: Fence Agent API, Implementation Best-Practices (Timeout is a failure); Pacemaker, stonith-timeout
    """
    every = device.journal
    wrong = [f"{one} of {one.timeout_s:g} s" for one in every if one.timed_out]
    insist(not wrong, count(wrong, len(every)))
    slowest = max(every, key=lambda one: one.seconds, default=None)
    if slowest is None:
        raise Inapplicable("nothing was run")
    return f"slowest of {len(every)}: {slowest.action} {slowest.seconds * 1000:.0f} ms of {slowest.timeout_s:g} s"
