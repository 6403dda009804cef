"""How options are read: as lines on standard input and as arguments, alike."""

from __future__ import annotations

from resource_agents.commands.conformance.registry import Broken, Inapplicable, insist
from resource_agents.commands.fencing.device import NO_PLUG, OK, Device, why
from resource_agents.commands.fencing.registry import METADATA, WORKING, check
from resource_agents.commands.running import Ended

GROUP = "options"


def alike(device: Device, one: Ended, other: Ended, how: str) -> None:
    insist(
        (one.code, one.out) == (other.code, other.out),
        f"{one}, {how} {other.code}: {(why(other) if other.code else 'other output')}",
    )


def several(device: Device) -> None:
    if not device.meta.plug:
        raise Inapplicable("it has no plug: one device, one machine")


@check(GROUP, METADATA)
def arguments_as_lines(device: Device) -> str:
    """What can be asked on standard input can be asked on the command line, in the short and the long form.

    Source: Fence Agent API, Implementation Best-Practices (There should be a command line mode, too)
    """
    action = device.meta.option("action")
    if action is None:
        raise Broken("there is no parameter action")
    wanted = device.run("metadata", {})
    tried = [[f"--{long}", "metadata"] for long in action.longs] + [[f"--{long}=metadata"] for long in action.longs]
    tried += [[f"-{short}", "metadata"] for short in action.shorts] + [[f"-{short}metadata"] for short in action.shorts]
    for words in tried:
        alike(device, wanted, device.argue(words, "metadata"), f"by {' '.join(words)}")
    return f"metadata by standard input and by {len(tried)} forms of --action"


@check(GROUP, WORKING)
def parameters_by_any_form(device: Device) -> str:
    """Every parameter of a working device does the same on standard input, in the short form and in the long form.

    Source: Fence Agent API, Implementation Best-Practices (There should be a command line mode, too)
    """
    wanted = device.run("status")
    for form in ("short", "long"):
        alike(device, wanted, device.argue(device.words("status", form), "status"), f"by {form} options")
    return f"status {wanted.code} by standard input, short and long options, {len(device.parameters)} parameters"


@check(GROUP, METADATA)
def unknown_keys_ignored(device: Device) -> str:
    """Arguments on standard input that are not recognised are ignored: clusters pass their own along.

    Source: Fence Agent API, guidelines for parsing the arguments
    """
    strange = (
        "agent=fence_x\nname=conform\nconform_nonsense=1\npcmk_host_map=a:b\ncrm_feature_set=3.16.1\n=\nnonsense\n"
    )
    plain = device.run("metadata", {})
    alike(device, plain, device.read(strange + "action=metadata\n" + strange, "metadata"), "with unknown keys")
    if device.unusable:
        return "metadata with 5 unknown keys"
    plain = device.run("status")
    alike(device, plain, device.read(strange + device.lines("status") + strange, "status"), "with unknown keys")
    return "metadata and status with 5 unknown keys"


@check(GROUP, METADATA)
def comments_ignored(device: Device) -> str:
    """Lines that begin with # are ignored.

    Source: Fence Agent API, What is given to fencing agents
    """
    plain = device.run("metadata", {})
    text = "# action=off\n#action=off\naction=metadata\n#action=off\n"
    alike(device, plain, device.read(text, "metadata"), "with comments")
    return "metadata among comments that ask for off"


@check(GROUP, METADATA)
def last_value_wins(device: Device) -> str:
    """If an argument is given several times, only the last value is used.

    Source: Fence Agent API, What is given to fencing agents
    """
    plain = device.run("metadata", {})
    said = device.read("action=conform-nonsense\naction=off\naction=metadata\n", "metadata")
    alike(device, plain, said, "after action=off")
    if device.unusable or not device.meta.plug:
        return "the last of three actions"
    wanted = device.run("status")
    first = f"{device.plug_name}={NO_PLUG}\n"
    alike(device, wanted, device.read(first + device.lines("status"), "status"), f"after {first.strip()}")
    return "the last of three actions, the last of two plugs"


@check(GROUP, METADATA)
def action_in_any_case(device: Device) -> str:
    """The value of `action` is case insensitive.

    Source: Fence Agent API, Attribute Specifications (action)
    """
    plain = device.run("metadata", {})
    for word in ("METADATA", "Metadata"):
        alike(device, plain, device.read(f"action={word}\n", "metadata"), f"as {word}")
    return "METADATA, Metadata"


@check(GROUP)
def unknown_action_refused(device: Device) -> str:
    """An action that there is none of ends with 1: not with a success, and not with the word for off.

    Source: Fence Agent API, Agent Operations and Return Values
    """
    said = device.run("conform-no-such-action")
    insist(said.code == 1, f"{said}; {why(said)}")
    return f"1: {why(said)}"


@check(GROUP, WORKING)
def plug_before_nodename(device: Device) -> str:
    """Where both are given, the plug is preferred to the name of the node, which fencing always passes.

    Source: Fence Agent API, Attribute Specifications (nodename)
    """
    several(device)
    wanted = device.run("status")
    said = device.read(f"nodename={NO_PLUG}\n{device.lines('status')}nodename={NO_PLUG}\n", "status")
    alike(device, wanted, said, "with another nodename")
    return f"status {wanted.code} with and without another nodename"


@check(GROUP, WORKING)
def no_plug_no_switch(device: Device) -> str:
    """An off that does not say which machine is a failure, and switches nothing.

    Source: Fence Agent API, Agent Operations and Return Values (off)
    """
    several(device)
    device.bring("on")
    rest = {name: value for name, value in device.parameters.items() if name not in ("plug", "port")}
    said = device.run("off", rest)
    insist(said.code == 1, f"without a plug {said}; {why(said)}")
    insist(device.truth()[0] == "on", f"without a plug {said}, and the machine is off now")
    return f"1: {why(said)}"


@check(GROUP, METADATA)
def validate_all_refuses(device: Device) -> str:
    """`validate-all` fails where a required parameter is missing; pcs asks it when a device is configured.

    Source: Pacemaker, stonith_admin --validate; pcs stonith create
    """
    if "validate-all" not in device.meta.actions:
        raise Inapplicable("validate-all is not advertised")
    needed = [
        one.name for one in device.meta.options
        if one.required and one.default is None and not one.deprecated and one.name not in ("action", "plug", "port")
    ]  # fmt: skip
    if not needed:
        raise Inapplicable("no parameter but action and plug is required")
    said = device.run("validate-all", {})
    insist(said.code == 1, f"without {needed[0]} {said}")
    return f"1 without {needed[0]}: {why(said)}"


@check(GROUP, WORKING)
def validate_all_accepts(device: Device) -> str:
    """`validate-all` ends with 0 for parameters that are right, and switches nothing.

    Source: Pacemaker, stonith_admin --validate; pcs stonith create
    """
    if "validate-all" not in device.meta.actions:
        raise Inapplicable("validate-all is not advertised")
    device.bring("on")
    said = device.run("validate-all")
    insist(said.code == OK, f"{said}; {why(said)}")
    insist(device.truth()[0] == "on", "the machine is off after it")
    return f"0 in {said.seconds * 1000:.0f} ms"
