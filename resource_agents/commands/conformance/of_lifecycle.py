"""What needs working parameters: the service is started, stopped and killed."""

from __future__ import annotations

from resource_agents.commands.conformance.registry import WORKING, Broken, Inapplicable, check, insist
from resource_agents.commands.conformance.subject import RUNNING, Subject
from resource_agents.commands.conformance.supervisor import named
from resource_agents.commands.running import Ended
from resource_agents.ocf import exits

GROUP = "lifecycle"
KILLED_AT = (0.25, 0.5, 0.8)
SETTLED_S = 1.5
# What Pacemaker says to one instance of a promotable clone.
PROMOTABLE = {
    "OCF_RESKEY_CRM_meta_clone": "0",
    "OCF_RESKEY_CRM_meta_clone_max": "2",
    "OCF_RESKEY_CRM_meta_clone_node_max": "1",
    "OCF_RESKEY_CRM_meta_globally_unique": "false",
    "OCF_RESKEY_CRM_meta_promotable": "true",
    "OCF_RESKEY_CRM_meta_promoted_max": "1",
    "OCF_RESKEY_CRM_meta_promoted_node_max": "1",
    "OCF_RESKEY_CRM_meta_master_max": "1",
    "OCF_RESKEY_CRM_meta_master_node_max": "1",
}


def started(subject: Subject) -> Ended:
    said = subject.run("start")
    insist(said.code == 0, f"{said}; {said.last_words}")
    return said


def stopped(subject: Subject, when: str = "") -> None:
    said = subject.run("stop")
    insist(said.code == 0, f"{when}{said}; {said.last_words}")
    found = subject.run("monitor")
    insist(found.code == exits.NOT_RUNNING, f"{when}after stop {found}; {found.last_words}")


def runs(subject: Subject, when: str) -> None:
    found = subject.run("monitor", interval_s=10)
    insist(found.code in RUNNING, f"{when} {found}; {found.last_words}")


@check(GROUP, WORKING)
def start_returns_when_usable(subject: Subject) -> str:
    """`start` does not end before the resource is fully started: a monitor at the highest level finds it well at once.

    Source: OCF 1.1, Mandatory Actions (start)
    """
    said = subject.run("start")
    if said.code != 0:
        subject.unstartable = f"it does not start with these parameters ({said})"
        raise Broken(f"{said}; {said.last_words}")
    deepest = subject.meta.depths[-1]
    for level in (deepest, 0):
        found = subject.run("monitor", level=level, interval_s=10)
        insist(found.code in RUNNING, f"right after start, at level {level}, {found}; {found.last_words}")
    return f"start took {said.seconds * 1000:.0f} ms; level {deepest} right after it: well"


@check(GROUP, WORKING)
def start_twice(subject: Subject) -> str:
    """`start` of what runs already succeeds and changes nothing: the same processes go on.

    Source: OCF 1.1, Resource Agent Actions (idempotent); Mandatory Actions (start)
    """
    started(subject)
    before = {one.pid for one in subject.supervisor.offspring()}
    again = subject.run("start")
    insist(again.code == 0, f"the second {again}; {again.last_words}")
    after = {one.pid for one in subject.supervisor.offspring()}
    gone = before - after
    insist(not before or not gone, f"{len(gone)} of its {len(before)} processes are gone after the second start")
    insist(len(after) <= len(before) or not before, f"{len(before)} processes before, {len(after)} after")
    runs(subject, "after the second start")
    return f"0 and 0, {len(before)} processes before and after"


@check(GROUP, WORKING)
def monitor_changes_nothing(subject: Subject) -> str:
    """The service remains available during `monitor`, whatever the level, and is no other one after it.

    Source: OCF 1.1, Mandatory Actions (monitor)
    """
    started(subject)
    before = {one.pid for one in subject.supervisor.offspring()}
    for level in subject.meta.depths:
        found = subject.run("monitor", level=level, interval_s=10)
        insist(found.code in RUNNING, f"at level {level} {found}; {found.last_words}")
    after = {one.pid for one in subject.supervisor.offspring()}
    insist(before <= after, f"{len(before - after)} of its {len(before)} processes are gone after monitor")
    runs(subject, "after it")
    return f"levels {', '.join(map(str, subject.meta.depths))}; {len(before)} processes before and after"


@check(GROUP, WORKING)
def levels_of_running(subject: Subject) -> str:
    """A check level that is not implemented falls to the next lower one: what is well at the advertised levels is well
    at others.

    Source: OCF 1.1, Check Levels (recommended)
    """
    started(subject)
    for level in (5, 15, 99):
        found = subject.run("monitor", level=level, interval_s=10)
        insist(found.code in RUNNING, f"at level {level}, which is not advertised, {found}; {found.last_words}")
    return "well at levels 5, 15 and 99"


@check(GROUP, WORKING)
def parallel_probes_of_running(subject: Subject) -> str:
    """Monitors that run at the same time do not disturb each other.

    Source: OCF 1.1, Resource Agent Actions
    """
    started(subject)
    together = [subject.begin("monitor", interval_s=10) for _ in range(5)]
    codes = [subject.finish(one).code for one in together]
    insist(all(code in RUNNING for code in codes), f"five at once: {codes}")
    return f"{codes[0]} from each of five at once"


@check(GROUP, WORKING)
def stop_returns_when_down(subject: Subject) -> str:
    """After `stop` no component of the resource remains active: monitor says 7 at once, and no process is left.

    Source: OCF 1.1, Mandatory Actions (stop)
    """
    started(subject)
    said = subject.run("stop")
    insist(said.code == 0, f"{said}; {said.last_words}")
    found = subject.run("monitor")
    insist(found.code == exits.NOT_RUNNING, f"right after stop {found}; {found.last_words}")
    left = subject.left()
    insist(not left, f"still there after stop: {left}")
    return f"stop took {said.seconds * 1000:.0f} ms; 7 right after it, and no process"


@check(GROUP, WORKING)
def stop_twice(subject: Subject) -> str:
    """The second `stop` in a row succeeds as well.

    Source: OCF 1.1, Resource Agent Actions (idempotent); Mandatory Actions (stop)
    """
    started(subject)
    stopped(subject)
    stopped(subject, "the second time ")
    return "0 and 0, 7 after each"


@check(GROUP, WORKING)
def start_after_stop(subject: Subject) -> str:
    """After `stop` it is possible to start it again on the same node.

    Source: OCF 1.1, Mandatory Actions (stop)
    """
    started(subject)
    stopped(subject)
    started(subject)
    runs(subject, "after stop and start")
    return "start, stop, start: runs"


@check(GROUP, WORKING)
def start_with_wrong_parameters(subject: Subject) -> str:
    """`start` returns an error if the resource is not fully started: without what it needs it does not claim success,
    and a stop after it succeeds.

    Source: OCF 1.1, Mandatory Actions (start, stop)
    """
    required = [one.name for one in subject.meta.parameters if one.required]
    if not required:
        raise Inapplicable("no parameter is required")
    said = subject.run("start", {})
    insist(said.code != 0, f"start without {', '.join(required)}: 0")
    after = subject.run("stop", {})
    insist(after.code == 0, f"after a refused start (code {said.code}) {after}; {after.last_words}")
    left = subject.left()
    insist(not left, f"the refused start left {left}")
    return f"{said.code} without {', '.join(required)}; stop after it: 0"


def killed_on_the_way(subject: Subject, action: str) -> str:
    """Kill the action at several points of the time it takes, as at a time-out; then stop and start must work."""
    took = started(subject).seconds
    if action == "stop":
        took = subject.run("stop").seconds
        subject.put_away()
    else:
        stopped(subject)
    seen = 0
    for share in KILLED_AT:
        if action == "stop":
            started(subject)
        ended = subject.finish(subject.begin(action), kill_after_s=took * share)
        seen += ended.killed
        when = f"{action} killed after {took * share * 1000:.0f} of {took * 1000:.0f} ms, then "
        stopped(subject, when)
        left = subject.left()
        insist(not left, f"{when}stop: still there: {left}")
        again = subject.run("start")
        insist(again.code == 0, f"{when}stop: {again}; {again.last_words}")
        runs(subject, f"{when}stop and start:")
        stopped(subject, f"{when}stop, start, ")
    if not seen:
        raise Inapplicable(f"{action} was done each time before it could be killed ({took * 1000:.0f} ms)")
    return f"killed {seen} times on the way of {took * 1000:.0f} ms; stop and start worked after each"


@check(GROUP, WORKING)
def killed_in_start(subject: Subject) -> str:
    """After a start that was killed half-way (at its time-out, by a dying node) stop succeeds and it starts again.

    Source: OCF 1.1, Mandatory Actions (stop); Pacemaker Explained, Operations (timeout)
    """
    return killed_on_the_way(subject, "start")


@check(GROUP, WORKING)
def killed_in_stop(subject: Subject) -> str:
    """After a stop that was killed half-way stop succeeds and it starts again.

    Source: OCF 1.1, Mandatory Actions (stop); Pacemaker Explained, Operations (timeout)
    """
    return killed_on_the_way(subject, "stop")


@check(GROUP, WORKING)
def main_process_killed(subject: Subject) -> str:
    """When the main process was killed, monitor does not say that it runs, nor 7 while any component is still active;
    stop ends what is left, and it can be started again.

    Source: OCF 1.1, Mandatory Actions (stop); Exit Status Codes (7 only when completely stopped)
    """
    started(subject)
    if not subject.supervisor.offspring():
        raise Inapplicable("start leaves no process running")
    # What only helps start to its end (gratuitous ARP, say) is over by then.
    subject.supervisor.settle(SETTLED_S)
    main = subject.supervisor.main_processes()
    if not main:
        raise Inapplicable("no process goes on running")
    names = named(main)
    subject.supervisor.kill(main)
    left = subject.supervisor.offspring()
    orphans = named(left)
    found = subject.run("monitor", interval_s=10)
    insist(found.code not in RUNNING, f"{names} killed, yet {found}")
    if subject.supervisor.offspring() and found.code == exits.NOT_RUNNING:
        raise Broken(f"{names} killed, {orphans} still active, yet {found}; stop and start are then left to chance")
    stopped(subject, f"{names} killed, then ")
    left_after = subject.left()
    insist(not left_after, f"{names} killed, after stop still there: {left_after}")
    again = subject.run("start")
    insist(again.code == 0, f"{names} killed, stopped, then {again}; {again.last_words}")
    runs(subject, f"{names} killed, stopped, started:")
    return f"{found.code} once {names} was killed, with {len(left)} left; stop and start worked"


@check(GROUP, WORKING)
def stop_of_running_without_parameters(subject: Subject) -> str:
    """A stop whose parameters were taken away never claims success while the resource runs on: it stops it or fails.

    Source: OCF 1.1, Mandatory Actions (stop)
    """
    if not any(one.required for one in subject.meta.parameters):
        raise Inapplicable("no parameter is required: without any, its defaults may be meant")
    started(subject)
    before = len(subject.supervisor.offspring())
    said = subject.run("stop", {})
    found = subject.run("monitor")
    if said.code == 0 and found.code in RUNNING:
        raise Broken(f"stop without parameters: 0, yet monitor with them: {found.code} ({before} processes run)")
    return f"stop: {said.code}, monitor after it: {found.code}"


@check(GROUP, WORKING)
def reload_agent(subject: Subject) -> str:
    """`reload-agent` makes changed reloadable parameters effective, and the resource runs on.

    Source: OCF 1.1, Optional Actions (reload-agent)
    """
    if not subject.meta.has("reload-agent"):
        raise Inapplicable("reload-agent is not advertised")
    started(subject)
    said = subject.run("reload-agent")
    insist(said.code == 0, f"{said}; {said.last_words}")
    runs(subject, "after reload-agent")
    return "0, and it runs on"


@check(GROUP, WORKING)
def promote_and_demote(subject: Subject) -> str:
    """A start gives the unpromoted role; after `promote` monitor says 8, after `demote` 0; each is idempotent.

    Source: OCF 1.1, Optional Actions (promote, demote); Exit Status Codes
    """
    if not subject.meta.has("promote"):
        raise Inapplicable("it has no roles")
    begun = subject.run("start", change=PROMOTABLE)
    insist(begun.code == 0, f"{begun}; {begun.last_words}")
    found = subject.run("monitor", interval_s=10, change=PROMOTABLE)
    insist(found.code in (exits.OK, exits.DEGRADED), f"after start {found}, not the unpromoted role")
    for action, wanted in (("promote", (8, 191)), ("promote", (8, 191)), ("demote", (0, 190)), ("demote", (0, 190))):
        said = subject.run(action, change=PROMOTABLE)
        insist(said.code == 0, f"{said}; {said.last_words}")
        found = subject.run("monitor", interval_s=10, change=PROMOTABLE)
        insist(found.code in wanted, f"after {action} {found}; {found.last_words}")
    return "0 after start, 8 after promote, 0 after demote, twice each"
