"""What a fence agent says of itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from resource_agents.commands.conformance.of_metadata import NOBODY, open_to_all, some
from resource_agents.commands.conformance.registry import Broken, Inapplicable, insist
from resource_agents.commands.fencing.device import Device, why
from resource_agents.commands.fencing.metadata import parse
from resource_agents.commands.fencing.registry import METADATA, check
from resource_agents.commands.metadata import Unreadable

GROUP = "metadata"
SCHEMA = Path("/usr/share/cluster/relaxng/metadata.rng")
REQUIRED = ("off", "monitor", "status", "metadata")
TYPES = ("boolean", "string", "second", "integer", "select")


@check(GROUP)
def metadata_well_formed(device: Device) -> str:
    """`metadata` prints the agent's description as well-formed XML, and ends with 0; it needs no other parameter.

    Source: Fence Agent API, Implementation Best-Practices (fence_agent -o metadata)
    """
    insist(device.metadata, device.unreadable)
    said = device.run("metadata", {})
    insist(said.code == 0, f"{said}; {why(said)}")
    return f"{len(said.out)} characters, {len(device.meta.options)} parameters, in {said.seconds * 1000:.0f} ms"


@check(GROUP, METADATA)
def metadata_unprivileged(device: Device) -> str:
    """Any user gets the same metadata: pcs and crmsh read it as whoever runs them.

    Source: Fence Agent API, Implementation Best-Practices; Pacemaker, stonith_admin --metadata
    """
    if os.geteuid() != 0:
        raise Inapplicable("not run as root, so there is no other user to try")
    if not open_to_all(device.agent):
        raise Inapplicable(f"{device.agent} lies where only its owner may look, so another user cannot be tried")
    said = device.finish(device.begin([], "action=metadata\n", "metadata", user=NOBODY))
    insist(said.code == 0, f"as another user {said}; {why(said)}")
    try:
        seen = parse(said.out)
    except Unreadable as wrong:
        raise Broken(f"as another user: {wrong}") from None
    insist(seen == device.meta, "another user sees other metadata")
    return "another user gets the same"


@check(GROUP, METADATA)
def metadata_schema(device: Device) -> str:
    """The metadata validates against the schema of fence agents, lib/metadata.rng.

    Source: Fence Agent API, Implementation Best-Practices (Output of fence_agent -o metadata)
    """
    schema, xmllint = device.schema or SCHEMA, shutil.which("xmllint")
    if not schema.exists():
        raise Inapplicable("no schema here: Debian's fence-agents brings metadata.rng, or give one with --schema")
    if not xmllint:
        raise Inapplicable("xmllint is not installed here (Debian: libxml2-utils)")
    judged = subprocess.Popen(
        [xmllint, "--nonet", "--noout", "--relaxng", str(schema), "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = judged.communicate(device.run("metadata", {}).out, timeout=60)
    # the supervisor reaps every child, so what xmllint wrote is the judgement, not how it ended
    insist("- validates" in errors, errors.strip().splitlines()[0] if errors.strip() else "xmllint said nothing")
    return f"valid by {schema.name}"


@check(GROUP, METADATA)
def metadata_name(device: Device) -> str:
    """The agent is a file named as its metadata names it, fence_something: that is how clusters find it.

    Source: Fence Agent API, Example; Pacemaker Explained, Fencing (stonith:TYPE)
    """
    name = device.meta.name
    insist(name == device.agent.name, f"the file is {device.agent.name}, the name {name!r}")
    insist(name.startswith("fence_"), f"{name!r} does not begin with fence_")
    return name


@check(GROUP, METADATA)
def metadata_parameters(device: Device) -> str:
    """`action` is a parameter, and each has its command-line form, a type that is one, and a description.

    Source: Fence Agent API, Attribute Specifications; lib/metadata.rng
    """
    insist(device.meta.option("action"), "there is no parameter action")
    wrong = [
        f"{one.name} ({what})"
        for one in device.meta.options
        for what, right in (
            ("no command-line form", one.longs or one.shorts),
            (f"type {one.kind or 'missing'}", one.kind in TYPES),
            ("not described", one.short_description),
        )
        if not right
    ]
    insist(not wrong, some(wrong))
    return f"{len(device.meta.options)} parameters"


@check(GROUP, METADATA)
def metadata_plug(device: Device) -> str:
    """A device with several machines calls the one to act on `plug`; `port` is the name that it had, and obsolete.

    Source: Fence Agent API, Attribute Specifications; Pacemaker Explained, Fencing (pcmk_host_argument)
    """
    name = device.meta.plug
    if not name:
        raise Inapplicable("it has no plug: one device, one machine")
    insist(name == "plug", "port without plug")
    old = device.meta.option("port")
    insist(old is None or old.deprecated, "port is there and is not marked as deprecated")
    return "plug" + (", port as its deprecated name" if old else "")


@check(GROUP, METADATA)
def metadata_distinct(device: Device) -> str:
    """No command-line form stands for two parameters, but for a deprecated name of the same one.

    Source: Fence Agent API, Implementation Best-Practices (There should be a command line mode, too)
    """
    seen: dict[str, str] = {}
    wrong = []
    for one in device.meta.options:
        if one.deprecated:
            continue
        for form in (*(f"-{short}" for short in one.shorts), *(f"--{long}" for long in one.longs)):
            other = seen.setdefault(form, one.name)
            if other != one.name:
                wrong.append(f"{form}: {other} and {one.name}")
    insist(not wrong, some(wrong))
    return f"{len(seen)} forms"


@check(GROUP, METADATA)
def metadata_actions(device: Device) -> str:
    """`off` is required; `status` and `monitor` are how Pacemaker sees that the agent works, `metadata` what it is.

    Source: Fence Agent API, Agent Operations and Return Values
    """
    missing = [name for name in REQUIRED if name not in device.meta.actions]
    if device.meta.plug and "list" not in device.meta.actions:
        missing.append("list")
    insist(not missing, f"not advertised: {', '.join(missing)}")
    return some(list(device.meta.actions))
