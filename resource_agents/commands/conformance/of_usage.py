"""What can be asked of an agent without starting anything."""

from __future__ import annotations

import shutil

from resource_agents.commands.conformance.registry import METADATA, UNTOUCHED, WORKING, Inapplicable, check, insist
from resource_agents.commands.conformance.subject import Subject
from resource_agents.ocf import exits

GROUP = "stopped"
NONE = "/nonexistent/conform"
REFUSED = (exits.ARGS, exits.CONFIGURED)
WRONG = {"integer": "conform-no-number", "boolean": "conform-neither", "select": "conform-no-option"}
HOST_CODES = (exits.INSTALLED, exits.PERMISSION)


def wrong_values(subject: Subject) -> dict[str, str]:
    """For each parameter something it cannot be, as far as its type tells; nonsense for the rest."""
    return {one.name: WRONG.get(one.kind, "conform\\nonsense'\"$(false)") for one in subject.meta.parameters}


def probeable(subject: Subject) -> None:
    missing = [one.name for one in subject.meta.parameters if one.required and one.name not in subject.parameters]
    if missing:
        raise Inapplicable(f"needs --param {missing[0]}=...")
    if subject.asks_for_parameters and not subject.parameters:
        raise Inapplicable(f"needs --param: without any it says {subject.asks_for_parameters}")


@check(GROUP)
def unknown_action(subject: Subject) -> str:
    """An action that the agent does not support, or none at all, gives 3 or another defined error, never success.

    Source: OCF 1.1, Resource Agent Actions; Exit Status Codes
    """
    said = subject.run("conform-no-such-action")
    insist(said.code == exits.UNIMPLEMENTED, f"{said}, not 3")
    nothing = subject.run([])
    insist(nothing.code in exits.LEGAL - {0}, f"without any action: {nothing.code}")
    return f"3; without any action {nothing.code}"


@check(GROUP)
def mandatory_actions(subject: Subject) -> str:
    """Start, stop, monitor and meta-data are there: none of them is answered with 3.

    Source: OCF 1.1, Mandatory Actions
    """
    # start would act on the host: that it exists is seen where it runs.
    said = [
        subject.run(action)
        for action in (("monitor", "meta-data") if subject.already else ("monitor", "stop", "meta-data"))
    ]
    missing = [str(one) for one in said if one.code == exits.UNIMPLEMENTED or one.code not in exits.LEGAL]
    insist(not missing, "; ".join(missing))
    return ", ".join(map(str, said))


@check(GROUP, UNTOUCHED)
def never_started_monitor(subject: Subject) -> str:
    """`monitor` returns 7 where the service is completely stopped, also before it was ever started.

    Source: OCF 1.1, Exit Status Codes
    """
    probeable(subject)
    said = subject.run("monitor", interval_s=0)
    insist(said.code == exits.NOT_RUNNING, f"{said}; {said.last_words}")
    return f"7 in {said.seconds * 1000:.0f} ms"


@check(GROUP, UNTOUCHED)
def stop_of_stopped(subject: Subject) -> str:
    """`stop` succeeds if the resource is already stopped, twice in a row as well.

    Source: OCF 1.1, Mandatory Actions; Resource Agent Actions (idempotent)
    """
    probeable(subject)
    for _ in range(2):
        said = subject.run("stop")
        insist(said.code == 0, f"{said}; {said.last_words}: a failed stop fences the node")
    return "0 and 0"


@check(GROUP, UNTOUCHED)
def stop_without_parameters(subject: Subject) -> str:
    """`stop` of something stopped succeeds although parameters are missing: the failed stop of a resource whose
    configuration was broken meanwhile fences the node.

    Source: OCF 1.1, Mandatory Actions (stop); Pacemaker Administration, Resource Agents
    """
    required = [one.name for one in subject.meta.parameters if one.required]
    if not required:
        probed = subject.run("monitor", {})
        if probed.code != exits.NOT_RUNNING:
            raise Inapplicable(f"with defaults alone {probed}: what runs there was left alone")
    said = subject.run("stop", {})
    insist(said.code == 0, f"{said}; {said.last_words}")
    return f"0 without {', '.join(required)}" if required else "0 with defaults alone"


@check(GROUP, UNTOUCHED)
def stop_with_wrong_parameters(subject: Subject) -> str:
    """`stop` of something stopped succeeds although every parameter is wrong.

    Source: OCF 1.1, Mandatory Actions (stop); Pacemaker Administration, Resource Agents
    """
    if not subject.meta.parameters:
        raise Inapplicable("it has no parameters")
    said = subject.run("stop", wrong_values(subject))
    insist(said.code == 0, f"{said}; {said.last_words}")
    return f"0 with {len(subject.meta.parameters)} wrong values"


@check(GROUP, UNTOUCHED)
def stop_without_programs(subject: Subject) -> str:
    """`stop` of something stopped succeeds on a node where the programs are missing: an empty PATH, and every
    parameter that names a program naming one that is not there.

    Source: OCF 1.1, Mandatory Actions (stop); Pacemaker Administration, Resource Agents
    """
    probeable(subject)
    said = subject.run("stop", change={"PATH": NONE})
    insist(said.code == 0, f"with an empty PATH {said}; {said.last_words}")
    programs = {}
    for one in subject.meta.parameters:
        value = subject.parameters.get(one.name, one.default or "")
        if one.kind == "string" and value not in ("true", "false") and shutil.which(value):
            programs[one.name] = NONE
    if programs:
        said = subject.run("stop", {**subject.parameters, **programs}, change={"PATH": NONE})
        insist(said.code == 0, f"with {', '.join(programs)} missing {said}; {said.last_words}")
    return f"0 with an empty PATH{''.join(f' and no {name}' for name in programs)}"


@check(GROUP, METADATA)
def wrong_parameters_refused(subject: Subject) -> str:
    """A parameter of the wrong type or a missing required one is refused with 2 or 6, by validate-all if there is one,
    and is never taken.

    Source: OCF 1.1, Optional Actions (validate-all); Exit Status Codes
    """
    if not subject.meta.has("validate-all"):
        raise Inapplicable("validate-all is not advertised")
    cases: list[tuple[str, dict[str, str]]] = []
    for one in subject.meta.parameters:
        if one.required:
            cases.append((f"no {one.name}", {k: v for k, v in subject.parameters.items() if k != one.name}))
        if one.kind in WRONG:
            cases.append((f"{one.name}={WRONG[one.kind]}", {**subject.parameters, one.name: WRONG[one.kind]}))
    if not cases:
        raise Inapplicable("every parameter is optional text, so nothing is wrong by its type")
    taken, other = [], []
    for what, parameters in cases[:12]:
        said = subject.run("validate-all", parameters, level=0)
        if said.code == 0:
            taken.append(what)
        elif said.code in HOST_CODES:
            raise Inapplicable(f"{said} before parameters were looked at: {said.last_words}")
        elif said.code not in REFUSED:
            other.append(f"{what}: {said.code}")
    insist(not taken, f"taken as right: {', '.join(taken[:5])}")
    insist(not other, f"neither 2 nor 6: {', '.join(other[:5])}")
    return f"{min(len(cases), 12)} wrong values, all refused"


@check(GROUP, WORKING)
def validate_all_silent(subject: Subject) -> str:
    """`validate-all` of right parameters succeeds, and without a word at level 0: pcs shows each word as a warning.

    Source: OCF 1.1, Optional Actions (validate-all); Check Levels
    """
    if not subject.meta.has("validate-all"):
        raise Inapplicable("validate-all is not advertised")
    said = subject.run("validate-all", level=0)
    insist(said.code == 0, f"{said}; {said.last_words}")
    insist(not said.out and not said.err, f"it said: {(said.err + said.out).strip()[:160]}")
    return "0, without a word"


@check(GROUP, WORKING)
def validate_all_parameters_alone(subject: Subject) -> str:
    """`validate-all` at level 0 does not verify the local environment in any fashion: a file that a parameter names
    need not be on this node, so that a node that will not run the agent can validate for one that will.

    Source: OCF 1.1, Check Levels
    """
    if not subject.meta.has("validate-all"):
        raise Inapplicable("validate-all is not advertised")
    paths = {name: NONE + value for name, value in subject.parameters.items() if value.startswith("/")}
    for one in subject.meta.parameters:
        if one.name not in subject.parameters and (one.default or "").startswith("/"):
            paths[one.name] = NONE + str(one.default)
    if not paths:
        raise Inapplicable("no parameter names a path")
    said = subject.run("validate-all", {**subject.parameters, **paths}, level=0)
    insist(said.code == 0, f"with {', '.join(sorted(paths)[:4])} not on this node {said}; {said.last_words}")
    return f"0 with {', '.join(sorted(paths)[:4])} not on this node"


@check(GROUP, UNTOUCHED)
def extra_arguments(subject: Subject) -> str:
    """The agent ignores all arguments after the action.

    Source: OCF 1.1, Execution Syntax
    """
    for action in ("monitor", "stop", "meta-data"):
        plain, more = subject.run(action), subject.run([action, "conform", "--more", ""])
        insist(plain.code == more.code, f"{action}: {plain.code}, with more arguments {more.code}")
        insist(action != "meta-data" or plain.out == more.out, "other metadata with more arguments")
    return "monitor, stop and meta-data are as without"


@check(GROUP, UNTOUCHED)
def environment_of_pacemaker(subject: Subject) -> str:
    """The action is the first argument and times are milliseconds in CRM_meta_*; no variable that only a helper library
    sets (__OCF_ACTION), nor HOME or USER, is relied upon, and variables that an agent does not know do not confuse it.

    Source: OCF 1.1, Execution Syntax; Parameter Passing; Pacemaker Administration, Resource Agents
    """
    probeable(subject)
    notified = {
        "OCF_RESKEY_CRM_meta_notify": "true",
        "OCF_RESKEY_CRM_meta_notify_type": "post",
        "OCF_RESKEY_CRM_meta_notify_operation": "start",
        "OCF_RESKEY_CRM_meta_notify_start_uname": "node1 node2",
        "OCF_RESKEY_CRM_meta_physical_host": "node1",
    }
    cases: tuple[tuple[str, dict[str, str | None], float], ...] = (
        ("as a probe", {}, 0.0),
        ("recurring", {}, 10.0),
        ("with notify variables", dict(notified), 10.0),
    )
    for what, change, interval_s in cases:
        said = subject.run("monitor", interval_s=interval_s, change=change)
        insist(said.code == exits.NOT_RUNNING, f"{what} {said}; {said.last_words}")
    return "7 as a probe, recurring, and with notify variables"


@check(GROUP, UNTOUCHED)
def levels_of_stopped(subject: Subject) -> str:
    """A check level that is not implemented falls to the next lower one: what is stopped is stopped at every level.

    Source: OCF 1.1, Check Levels (recommended)
    """
    probeable(subject)
    for level in (0, 5, 10, 20, 99):
        said = subject.run("monitor", level=level, interval_s=10)
        insist(said.code == exits.NOT_RUNNING, f"at level {level} {said}; {said.last_words}")
    return "7 at levels 0, 5, 10, 20 and 99"


@check(GROUP, UNTOUCHED)
def monitor_starts_nothing(subject: Subject) -> str:
    """`monitor` checks the current status and changes nothing: after it, what was stopped is stopped.

    Source: OCF 1.1, Mandatory Actions (monitor)
    """
    probeable(subject)
    said = [subject.run("monitor", interval_s=0) for _ in range(2)]
    left = subject.left()
    insist(not left, f"monitor left processes behind: {left}")
    insist({one.code for one in said} == {exits.NOT_RUNNING}, "; ".join(map(str, said)))
    return "7, 7, and no process"


@check(GROUP, UNTOUCHED)
def parallel_probes_of_stopped(subject: Subject) -> str:
    """Agents of one type run at the same time for several resources, and probes do: they do not disturb each other.

    Source: OCF 1.1, Resource Agent Actions
    """
    probeable(subject)
    together = [subject.begin("monitor", change={"OCF_RESOURCE_INSTANCE": f"{subject.instance}-{n}"}) for n in range(4)]
    together += [subject.begin("monitor") for _ in range(2)]
    codes = [subject.finish(one).code for one in together]
    insist(set(codes) == {exits.NOT_RUNNING}, f"six at once: {codes}")
    return "7 from each of six at once"
