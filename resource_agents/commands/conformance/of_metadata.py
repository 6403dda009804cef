"""What the metadata says, and that anyone can have it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

from resource_agents.commands.conformance.registry import METADATA, Broken, Inapplicable, check, insist
from resource_agents.commands.conformance.subject import Subject
from resource_agents.commands.metadata import Metadata, Unreadable, parse, time_s

GROUP = "metadata"
MANDATORY = ("start", "stop", "monitor", "meta-data")
SCHEMAS = ("/usr/share/pcs/data/ocf-1.1.rng", "/usr/share/pcs/ocf-1.1.rng", "/usr/lib/pcs/data/ocf-1.1.rng")
NOBODY = 65534


def some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


@check(GROUP)
def metadata_well_formed(subject: Subject) -> str:
    """`meta-data` displays the agent's description as well-formed XML on standard output, and ends with 0.

    Source: OCF 1.1, Mandatory Actions; Resource Agent Meta-Data, Format
    """
    said = subject.run("meta-data")
    insist(said.code == 0, f"{said}; {said.last_words}")
    insist(subject.metadata, subject.unreadable)
    return f"{len(said.out)} characters, {len(subject.meta.parameters)} parameters, in {said.seconds * 1000:.0f} ms"


@check(GROUP, METADATA)
def metadata_unprivileged(subject: Subject) -> str:
    """Any user gets the metadata, in an empty environment, with no parameter set: tools that are not root read it.

    Source: OCF 1.1, Mandatory Actions; Pacemaker Administration, Resource Agents
    """
    path = subject.variables("meta-data")["PATH"]
    root = subject.variables("meta-data")["OCF_ROOT"]
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None and not open_to_all(subject.agent):
        raise Inapplicable(f"{subject.agent} lies where only its owner may look, so another user cannot be tried")
    said = subject.run("meta-data", {}, bare=True, change={"PATH": path, "OCF_ROOT": root}, user=user)
    insist(said.code == 0, f"as an unprivileged user with no parameter: {said}; {said.last_words}")
    try:
        seen = parse(said.out)
    except Unreadable as wrong:
        raise Broken(f"as an unprivileged user with no parameter: {wrong}") from None
    # A default may name the resource; what there is to set and to ask may not depend on who looks.
    insist(_outline(seen) == _outline(subject.meta), "other parameters or actions than root sees")
    return "another user gets the same as root" if user else "the same with no parameter (not run as root)"


def _outline(metadata: Metadata) -> tuple[list[str], list[str]]:
    return [one.name for one in metadata.parameters], [one.name for one in metadata.actions]


def open_to_all(path: Path) -> bool:
    resolved = path.resolve()
    if not resolved.stat().st_mode & stat.S_IROTH or not resolved.stat().st_mode & stat.S_IXOTH:
        return False
    places = {*path.absolute().parents, *resolved.parents}
    return all(one.stat().st_mode & stat.S_IXOTH for one in places)


@check(GROUP, METADATA)
def metadata_version(subject: Subject) -> str:
    """`version` is the version of the OCF standard with which the agent claims compatibility: 1.1.

    Source: OCF 1.1, Resource Agent Meta-Data, Semantics
    """
    insist(subject.meta.ocf_version == "1.1", f"<version> is {subject.meta.ocf_version or 'missing'}")
    return "1.1"


@check(GROUP, METADATA)
def metadata_schema(subject: Subject) -> str:
    """The XML conforms to the schema of OCF 1.1.

    Source: OCF 1.1, Resource Agent Meta-Data, Format
    """
    schema = subject.schema or next((Path(one) for one in SCHEMAS if Path(one).exists()), None)
    if schema is None:
        raise Inapplicable("no schema here: Debian's pcs brings ocf-1.1.rng, or give one with --schema")
    xmllint = shutil.which("xmllint")
    if not xmllint:
        raise Inapplicable("xmllint is not installed here (Debian: libxml2-utils)")
    text = subject.run("meta-data").out
    judged = subprocess.Popen(
        [xmllint, "--nonet", "--noout", "--relaxng", str(schema), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = judged.communicate(text, timeout=60)
    # The supervisor reaps every child, so what xmllint wrote is the judgement, not how it ended.
    insist("- validates" in errors, errors.strip().splitlines()[0] if errors.strip() else "xmllint said nothing")
    return f"valid by {schema.name}"


@check(GROUP, METADATA)
def metadata_name(subject: Subject) -> str:
    """The agent is a file named according to the resource type, which its metadata names alike.

    Source: OCF 1.1, The Resource Agent Directory Tree
    """
    insist(subject.meta.name == subject.agent.name, f"the file is {subject.agent.name}, the name {subject.meta.name!r}")
    return subject.meta.name


@check(GROUP, METADATA)
def metadata_descriptions(subject: Subject) -> str:
    """The agent and each parameter have a short and a long description.

    Source: OCF 1.1, Resource Agent Meta-Data, Semantics; Pacemaker Administration, Resource Agents
    """
    things = [("the agent", subject.meta.short, subject.meta.long)]
    things += [(one.name, one.short, one.long) for one in subject.meta.parameters]
    without = [name for name, short, long in things if not short or not long]
    insist(not without, f"none of: {some(without)}")
    return f"all {len(things)} are described"


@check(GROUP, METADATA)
def metadata_defaults(subject: Subject) -> str:
    """Every optional parameter has a default; a required one has none to offer.

    Source: Pacemaker Administration, Resource Agents, Meta-Data
    """
    if not subject.meta.parameters:
        raise Inapplicable("it has no parameters")
    without = [one.name for one in subject.meta.parameters if not one.required and one.default is None]
    insist(not without, f"optional without a default: {some(without)}")
    return f"{sum(not one.required for one in subject.meta.parameters)} optional, each with a default"


@check(GROUP, METADATA)
def metadata_types(subject: Subject) -> str:
    """A parameter's type is string, integer, boolean or select, and its default is of that type.

    Source: OCF 1.1, schema; Resource Agent Meta-Data, Semantics
    """
    wrong = []
    for one in subject.meta.parameters:
        if one.kind not in ("string", "integer", "boolean", "select"):
            wrong.append(f"{one.name} is of type {one.kind}")
        elif one.default and not _of_type(one.kind, one.default, one.options):
            wrong.append(f'{one.name} is of type {one.kind} with default "{one.default}"')
    insist(not wrong, some(wrong))
    return f"{len(subject.meta.parameters)} parameters"


def _of_type(kind: str, default: str, options: tuple[str, ...]) -> bool:
    if kind == "integer":
        return default.lstrip("+-").isdigit()
    if kind == "boolean":
        return default.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0", "y", "n", "t", "f")
    return kind != "select" or default in options


@check(GROUP, METADATA)
def metadata_unique_group(subject: Subject) -> str:
    """What must differ between resources is said by `unique-group`; the boolean `unique` is deprecated.

    Source: OCF 1.1, Resource Agent Meta-Data, Semantics
    """
    old = [one.name for one in subject.meta.parameters if one.unique and not one.unique_group]
    insist(not old, f"unique without unique-group: {some(old)}")
    groups = sorted({one.unique_group for one in subject.meta.parameters if one.unique_group})
    return f"groups: {', '.join(groups)}" if groups else "nothing is marked unique"


@check(GROUP, METADATA)
def metadata_actions(subject: Subject) -> str:
    """The mandatory actions start, stop, monitor and meta-data are advertised, each with its time-out.

    Source: OCF 1.1, Resource Agent Actions; Resource Agent Meta-Data, Semantics
    """
    missing = [name for name in MANDATORY if not subject.meta.has(name)]
    insist(not missing, f"not advertised: {', '.join(missing)}")
    untimed = [one.name for one in subject.meta.actions if not one.timeout]
    insist(not untimed, f"without a timeout: {some(untimed)}")
    return some([one.name for one in subject.meta.actions])


@check(GROUP, METADATA)
def metadata_times(subject: Subject) -> str:
    """Times carry their unit (20s): a bare number has been read as seconds by some tools and milliseconds by others.

    Source: Pacemaker Administration, Resource Agents; OCF 1.1, example metadata
    """
    times = [(one.name, text) for one in subject.meta.actions for text in (one.timeout, one.interval) if text]
    wrong = [f"{name} {text}" for name, text in times if time_s(text) is None or text.strip()[-1].isdigit()]
    insist(not wrong, f"without a unit: {some(wrong)}")
    return f"{len(times)} times"


@check(GROUP, METADATA)
def metadata_intervals(subject: Subject) -> str:
    """Monitors differ in their interval: Pacemaker tells recurring operations of one resource apart by it.

    Source: Pacemaker Explained, Operations
    """
    monitors = [one for one in subject.meta.actions if one.name == "monitor"]
    if len(monitors) < 2:
        raise Inapplicable(f"it advertises {len(monitors)} monitor")
    intervals = [time_s(one.interval or "0s") for one in monitors]
    shown = ", ".join(f"{one.depth or one.role or '?'}: {one.interval or 'none'}" for one in monitors)
    insist(len(set(intervals)) == len(intervals), f"two monitors have the same interval ({shown})")
    return shown


@check(GROUP, METADATA)
def metadata_reloadable(subject: Subject) -> str:
    """A reloadable parameter takes effect by `reload-agent`: who has such a parameter advertises that action.

    Source: OCF 1.1, Optional Actions; Resource Agent Meta-Data, Semantics
    """
    names = [one.name for one in subject.meta.parameters if one.reloadable]
    if not names:
        raise Inapplicable("no parameter is reloadable")
    insist(subject.meta.has("reload-agent"), f"{some(names)} reloadable, but reload-agent is not advertised")
    return some(names)


@check(GROUP, METADATA)
def metadata_roles(subject: Subject) -> str:
    """An agent that supports roles can promote and demote.

    Source: OCF 1.1, Optional Actions
    """
    has = [name for name in ("promote", "demote") if subject.meta.has(name)]
    if not has:
        raise Inapplicable("it has no roles")
    insist(len(has) == 2, f"{has[0]} without its opposite")
    return "promote and demote"
