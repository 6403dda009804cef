"""What must hold of every run that the other checks made; these come last."""

from __future__ import annotations

from resource_agents.commands.conformance.registry import Inapplicable, check, insist
from resource_agents.commands.conformance.subject import Subject
from resource_agents.commands.running import Ended
from resource_agents.ocf import exits

GROUP = "every run"
TRACES = ("Traceback (most recent call last)", "panicked at ", "goroutine 1 [", 'Exception in thread "')
STATES = (exits.NOT_RUNNING, exits.RUNNING_PROMOTED)


def runs(subject: Subject) -> list[Ended]:
    """Those that ended by themselves."""
    return [one for one in subject.journal if not one.killed and not one.timed_out]


def count(wrong: list[str], of: int) -> str:
    return f"{len(wrong)} of {of}: {'; '.join(wrong[:3])}"


@check(GROUP)
def exit_codes_legal(subject: Subject) -> str:
    """The agent returns a well-defined status, always.

    Source: OCF 1.1, Resource Agent Actions; Exit Status Codes
    """
    every = runs(subject)
    wrong = [f"{one} ({one.last_words[:80]})" for one in every if one.code not in exits.LEGAL]
    insist(not wrong, count(wrong, len(every)))
    return f"all of {len(every)} runs: {', '.join(map(str, sorted({one.code for one in every})))}"


@check(GROUP)
def only_monitor_says_states(subject: Subject) -> str:
    """8, 9, 190 and 191 are a monitor's words, and a stop of what is stopped is 0, not 7.

    Source: OCF 1.1, Exit Status Codes
    """
    states = (*STATES, exits.FAILED_PROMOTED, exits.DEGRADED, exits.DEGRADED_PROMOTED)
    asked = [one for one in runs(subject) if one.action in ("start", "stop", "meta-data", "validate-all")]
    wrong = [str(one) for one in asked if one.code in states]
    insist(not wrong, count(wrong, len(asked)))
    return f"none of {len(asked)} other actions"


@check(GROUP)
def one_reason_each(subject: Subject) -> str:
    """Every failure says why in exactly one `ocf-exit-reason:` line on standard error, which crm_mon shows; a monitor
    that finds a state (7, 8) is no failure.

    Source: Pacemaker Administration, Resource Agents (OCF_EXIT_REASON_PREFIX)
    """
    failures = [one for one in runs(subject) if one.code > 0 and not (one.action == "monitor" and one.code in STATES)]
    if not failures:
        raise Inapplicable("no run failed")
    wrong = [f"{one} with {len(one.reasons)} reasons" for one in failures if len(list(filter(None, one.reasons))) != 1]
    insist(not wrong, count(wrong, len(failures)))
    return f"each of {len(failures)} failures"


@check(GROUP)
def no_reason_without_failure(subject: Subject) -> str:
    """A run that succeeded gives no exit reason.

    Source: Pacemaker Administration, Resource Agents (OCF_EXIT_REASON_PREFIX)
    """
    well = [one for one in runs(subject) if one.code == 0]
    wrong = [f"{one} ({one.last_words[:80]})" for one in well if one.reasons]
    insist(not wrong, count(wrong, len(well)))
    return f"none of {len(well)} successes"


@check(GROUP)
def no_traceback(subject: Subject) -> str:
    """No failure of the agent's own program reaches the operator instead of a reason.

    Source: OCF 1.1, Resource Agent Actions (a well-defined status, improper usage included)
    """
    every = runs(subject)
    wrong = [f"{one} ({one.last_words[:80]})" for one in every if any(trace in one.err + one.out for trace in TRACES)]
    insist(not wrong, count(wrong, len(every)))
    return f"none in {len(every)} runs"


@check(GROUP)
def timeouts_obeyed(subject: Subject) -> str:
    """Each action ends, with a code, before its time-out, after which Pacemaker kills it and counts a failure.

    Source: OCF 1.1, Resource Agent Meta-Data, Semantics (timeout)
    """
    every = [one for one in subject.journal if not one.killed]
    wrong = [f"{one} of {one.timeout_s:g} s" for one in every if one.timed_out]
    insist(not wrong, count(wrong, len(every)))
    slowest = max(every, key=lambda one: one.seconds, default=None)
    if slowest is None:
        raise Inapplicable("nothing was run")
    return f"slowest of {len(every)}: {slowest.action} {slowest.seconds * 1000:.0f} ms of {slowest.timeout_s:g} s"
