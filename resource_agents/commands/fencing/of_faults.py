"""What a device on a bad day must not make of an agent: a success that is none, or a machine that is off and is not."""

from __future__ import annotations

from resource_agents.commands.conformance.registry import insist
from resource_agents.commands.fencing.device import NO_PLUG, OFF, OK, Device, why
from resource_agents.commands.fencing.of_options import several
from resource_agents.commands.fencing.of_switching import offered
from resource_agents.commands.fencing.registry import STAGE, WORKING, check

GROUP = "faults"


def fails(device: Device, *actions: str) -> str:
    """Each of them must end with 1."""
    said = [device.run(action) for action in actions if action in device.meta.actions]
    wrong = [f"{one} ({why(one)[:100]})" for one in said if one.code != 1]
    insist(not wrong, "; ".join(wrong))
    slowest = max(said, key=lambda one: one.seconds)
    return f"1 of {', '.join(one.action for one in said)}; slowest {slowest.action} in {slowest.seconds:.1f} s"


@check(GROUP, WORKING)
def unknown_plug_is_not_off(device: Device) -> str:
    """Of a machine that the device does not have nothing is known: it is not off, and switching it is no success.

    Source: Fence Agent API, Agent Operations and Return Values (verification could not be performed)
    """
    several(device)
    named = {**device.parameters, device.plug_name: NO_PLUG}
    status, off = device.run("status", named), device.run("off", named)
    insist(status.code not in (OK, OFF), f"of a plug that there is none of {status}; {why(status)}")
    insist(off.code != OK, f"of a plug that there is none of {off}; {why(off)}")
    return f"{status}, {off}"


@check(GROUP, STAGE)
def off_is_verified(device: Device) -> str:
    """After off the device is asked whether it took; where it did not, off is a failure.

    Source: Fence Agent API, Implementation Best-Practices (Verifiable operation)
    """
    device.bring("on")
    device.stage("stuck")
    return fails(device, "off")


@check(GROUP, STAGE)
def reboot_is_verified(device: Device) -> str:
    """Where the off half of a reboot did not take, the reboot is a failure.

    Source: Fence Agent API, Agent Operations and Return Values (reboot)
    """
    offered(device, "reboot")
    device.bring("on")
    device.stage("stuck")
    return fails(device, "reboot")


@check(GROUP, STAGE)
def garbage_is_not_off(device: Device) -> str:
    """An answer that means nothing proves nothing: status is 1, and off is no success.

    Source: Fence Agent API, Agent Operations and Return Values (verification could not be performed)
    """
    device.bring("on")
    device.stage("garbage")
    return fails(device, "status", "off", "reboot")


@check(GROUP, STAGE)
def in_between_is_not_off(device: Device) -> str:
    """A machine of which the device says neither on nor off is not off: it may run still.

    Source: Fence Agent API, Agent Operations and Return Values (verification could not be performed)
    """
    device.bring("on")
    device.stage("in-between")
    said, off = device.run("status"), device.run("off")
    insist(said.code != OFF and off.code != OK, f"{said}, {off}: said to be off, and it is not; {why(off)}")
    return f"{said}, {off}"


@check(GROUP, STAGE)
def silence_is_a_failure(device: Device) -> str:
    """A time-out is a failure, not a success; and the agent itself ends, before whoever called it loses patience.

    Source: Fence Agent API, Implementation Best-Practices (Timeout is a failure, not success)
    """
    device.bring("on")
    device.stage("silent")
    return fails(device, "status", "off", "monitor")


@check(GROUP, STAGE)
def away_is_a_failure(device: Device) -> str:
    """A device that cannot be contacted makes every action a failure, that of list and monitor too.

    Source: Fence Agent API, Agent Operations and Return Values (inability to contact the fence device at any point)
    """
    device.bring("on")
    device.stage("away")
    return fails(device, "status", "off", "reboot", "monitor", "list")
