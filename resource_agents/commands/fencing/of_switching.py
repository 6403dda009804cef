"""What a device that works answers, and that a switch is made."""

from __future__ import annotations

from pathlib import Path

import psutil  # type: ignore[import-untyped]

from resource_agents.commands.conformance.registry import Inapplicable, insist
from resource_agents.commands.fencing.device import OFF, OK, Device, why
from resource_agents.commands.fencing.registry import WORKING, check
from resource_agents.commands.running import Ended

GROUP = "switching"
SECRET = ("pass", "secret", "token", "key", "identity")


def offered(device: Device, action: str) -> None:
    if action not in device.meta.actions:
        raise Inapplicable(f"{action} is not advertised")


def done(device: Device, action: str, state: str) -> Ended:
    """Do it, and see that it said 0 and is so."""
    offered(device, action)
    said = device.run(action)
    insist(said.code == OK, f"{said}; {why(said)}")
    seen, _ = device.truth()
    insist(seen == state, f"{said}, but the machine is {seen}")
    return said


@check(GROUP, WORKING)
def monitor_of_working(device: Device) -> str:
    """`monitor` is 0 where the device is reachable and works.

    Source: Fence Agent API, Agent Operations and Return Values (monitor)
    """
    said = device.run("monitor")
    insist(said.code == OK, f"{said}; {why(said)}")
    without = {name: value for name, value in device.parameters.items() if name not in ("plug", "port")}
    bare = device.run("monitor", without)
    insist(bare.code == OK, f"without a plug, as Pacemaker asks, {bare}; {why(bare)}")
    return f"0 in {said.seconds * 1000:.0f} ms, with a plug and without"


@check(GROUP, WORKING)
def status_of_on(device: Device) -> str:
    """`status` is 0 where the machine is on.

    Source: Fence Agent API, Agent Operations and Return Values (status)
    """
    device.bring("on")
    said = device.run("status")
    insist(said.code == OK, f"{said}; {why(said)}")
    return f"0 in {said.seconds * 1000:.0f} ms"


@check(GROUP, WORKING)
def status_of_off(device: Device) -> str:
    """`status` is 2 where the machine is off.

    Source: Fence Agent API, Agent Operations and Return Values (status)
    """
    device.bring("off")
    said = device.run("status")
    insist(said.code == OFF, f"{said}; {why(said)}")
    return f"2 in {said.seconds * 1000:.0f} ms"


@check(GROUP, WORKING)
def list_names_plugs(device: Device) -> str:
    """`list` is 0 and prints the plugs with what each is assigned to, a line each: plug,alias.

    Source: Fence Agent API, Agent Operations and Return Values (list); Pacemaker Explained (dynamic-list)
    """
    offered(device, "list")
    said = device.run("list")
    insist(said.code == OK, f"{said}; {why(said)}")
    rows = [line.split(",") for line in said.out.splitlines()]
    wrong = [",".join(row) for row in rows if len(row) < 2 or not row[0]]
    insist(rows and not wrong, f"not plug,alias: {wrong[0] if wrong else 'nothing was printed'}")
    insist(
        any(device.plug in row[:2] for row in rows), f"{device.plug} is not among {', '.join(row[0] for row in rows)}"
    )
    return f"{len(rows)} plugs, {device.plug} among them"


@check(GROUP, WORKING)
def list_status_tells_states(device: Device) -> str:
    """`list-status` prints each plug's state beside it.

    Source: fence-agents, fencing library (list-status)
    """
    offered(device, "list-status")
    for state in ("on", "off"):
        device.bring(state)
        said = device.run("list-status")
        insist(said.code == OK, f"{said}; {why(said)}")
        own = [line for line in said.out.splitlines() if device.plug in line.split(",")[:2]]
        insist(own, f"{device.plug} is not listed")
        insist(own[0].rsplit(",", 1)[-1].strip().lower() == state, f"of a machine that is {state}: {own[0]}")
    return "on and off"


@check(GROUP, WORKING)
def off_switches_off(device: Device) -> str:
    """`off` is 0 when the machine is off; of one that is off already too.

    Source: Fence Agent API, Agent Operations and Return Values (off)
    """
    device.bring("on")
    first = done(device, "off", "off")
    second = done(device, "off", "off")
    return f"0 in {first.seconds * 1000:.0f} ms, again 0 in {second.seconds * 1000:.0f} ms"


@check(GROUP, WORKING)
def on_switches_on(device: Device) -> str:
    """`on` is 0 when the machine is on; of one that is on already too, which it does not start anew.

    Source: Fence Agent API, Agent Operations and Return Values (on)
    """
    device.bring("off")
    first = done(device, "on", "on")
    run = device.truth()[1]
    done(device, "on", "on")
    insist(device.truth()[1] == run, "the second on started it anew")
    return f"0 in {first.seconds * 1000:.0f} ms, and again"


@check(GROUP, WORKING)
def reboot_ends_what_ran(device: Device) -> str:
    """`reboot` is 0 when what ran has been switched off; that it starts again is not what is judged.

    Source: Fence Agent API, Agent Operations and Return Values (reboot)
    """
    offered(device, "reboot")
    device.bring("on")
    before = device.truth()[1]
    said = device.run("reboot")
    insist(said.code == OK, f"{said}; {why(said)}")
    state, run = device.truth()
    if not before:
        return f"0 in {said.seconds * 1000:.0f} ms; what became of it cannot be told without --state-command"
    insist(state == "off" or run != before, f"{said}, but what ran runs on")
    return f"0 in {said.seconds * 1000:.0f} ms; then {state}"


@check(GROUP, WORKING)
def no_secret_in_argv(device: Device) -> str:
    """A secret is never an argument of the agent nor of any program it runs: every user of the host sees those.

    Source: Fence Agent API, What is given to fencing agents (standard input, as opposed to the command line)
    """
    secrets = _secrets(device)
    if not secrets:
        raise Inapplicable("none of the given parameters is a secret")
    seen: set[str] = set()
    for action in ("status", "off", "on"):
        running = device.begin([], device.lines(action), action)
        while device.supervisor.alive(running):
            for process in device.supervisor.offspring():
                seen.update(_shown(process))
        device.finish(running)
    found = sorted(name for name, value in secrets.items() if any(value in words for words in seen))
    insist(not found, f"in the process list: {', '.join(found)}")
    return f"{', '.join(sorted(secrets))} in none of {len(seen)} command lines and environments"


def _secrets(device: Device) -> dict[str, str]:
    """Of the given parameters those that are secrets, and what is in the files that others name."""
    found = {}
    for name, value in device.parameters.items():
        if not any(word in name for word in SECRET) or name.endswith("_script"):
            continue
        path = Path(value)
        secret = path.read_text("utf-8", "replace").strip() if path.is_absolute() and path.is_file() else value
        if len(secret) >= 4 and not secret.startswith("/"):
            found[name] = secret
    return found


def _shown(process: psutil.Process) -> list[str]:
    try:
        return ["\0".join(process.cmdline()), "\0".join(process.environ().values())]
    except (psutil.Error, OSError):
        return []
