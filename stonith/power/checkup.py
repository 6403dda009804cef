"""`kappa-powerd check-config`: say in words what the broker would do, see and allow, and what will spoil fencing.

It opens no port, switches nothing and writes nothing.
"""

import os
import pwd
import time
from ipaddress import ip_address

from stonith.power.brake import Limits
from stonith.power.config import Config
from stonith.power.driver import DriverError, State
from stonith.power.switch import Switch

CHECK_S = 15.0


def report(config: Config) -> tuple[list[str], list[str]]:
    """What there is to say, and what is wrong with it: a sentence each."""
    said, wrong = _settings(config), _gaps(config)
    deadline = time.monotonic() + CHECK_S
    switch = Switch(config.driver, config.machines, units=config.units)
    trouble = switch.trouble(deadline)
    if trouble:
        return [*said, "no machine has been looked at"], [*wrong, f"the configuration is right, but {trouble}"]
    for plug, machine in config.machines.items():
        sight = switch.status(plug, deadline).after
        said.append(f"{plug} ({machine}): {sight.state.value}: {sight.evidence}")
        if sight.unit:
            if plug in config.units:
                said.append(f"  it is {sight.unit}, and no other of that name is taken for it")
            else:
                said.append(f"  it is {sight.unit}; write {machine}@{sight.unit} to take no other of that name for it")
        if sight.state is State.UNKNOWN:
            wrong.append(f"the state of {plug} ({machine}) is unknown, so it could not be fenced now: {sight.evidence}")
            continue
        try:
            wrong += [f"{plug} ({machine}) {what}" for what in config.driver.warnings(machine, deadline)]
        except DriverError as error:
            wrong.append(f"{plug} ({machine}) could not be looked at more closely: {error}")
    return said, wrong


def _settings(config: Config) -> list[str]:
    where = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in config.listen)
    return [
        f"listens on {where}",
        f"runs as {_user()}",
        f"writes a line for every request to {config.audit}",
        *_brake(config.limits),
        *(f"{client.name} may switch {', '.join(client.may)}" for client in config.clients.values()),
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user id {os.geteuid()}"


def _brake(limits: Limits) -> list[str]:
    within = f"within {limits.within_s} s"
    if limits.starts:
        every = limits.within_s / limits.starts
        starts = (
            f"starts a machine {limits.starts} times {within} at most, then leaves it off for a while: "
            f"this ends a fencing loop in which it is shot more often than every {every:.0f} s"
        )
    else:
        starts = "starts a machine as often as it is asked to: a fencing loop goes on until somebody ends it"
    if limits.cuts:
        return [starts, f"switches a machine off {limits.cuts} times {within} at most, and fails fencing after that"]
    return [starts, "switches a machine off as often as it is asked to"]


def _gaps(config: Config) -> list[str]:
    """What the configuration allows, and leaves out, that an operator will hardly have meant."""
    found = []
    for plug in config.machines:
        if not any(plug in client.may for client in config.clients.values()):
            found.append(f"no client may switch {plug}, so it cannot be fenced through this broker")
    for client in config.clients.values():
        if client.name in client.may:
            found.append(f"{client.name} may switch itself; a node is fenced by its peers: take it out of its `may`")
    for host, _ in config.listen:
        if ip_address(host).is_unspecified:
            found.append(f"listens on {host}, which is every network that this host has; name the rings' addresses")
    audit = config.audit
    if not os.access(audit if audit.exists() else audit.parent, os.W_OK):
        found.append(f"the audit log {audit} cannot be written by the user that this is; give it that folder")
    return found
