"""Put every check to a fence agent, in a process of its own, and bring back the results."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from resource_agents.commands.conformance.judge import Report, ended, in_a_child, verdict_of
from resource_agents.commands.conformance.registry import (
    Check,
    Inapplicable,
    Result,
)
from resource_agents.commands.fencing.device import Device
from resource_agents.commands.fencing.registry import CHECKS, STAGE, WORKING

from resource_agents.commands.fencing import of_metadata, of_options, of_switching, of_faults, of_every_run  # isort: skip

MODULES = (of_metadata, of_options, of_switching, of_faults, of_every_run)


def judge(
    agent: Path,
    parameters: Mapping[str, str],
    *,
    only: Sequence[str] = (),
    timeout_s: float | None = None,
    schema: Path | None = None,
    stage: str = "",
    state_command: str = "",
) -> Report:
    """Raises RuntimeError when it could not be judged at all, the commands that tell of the device included."""

    def work() -> Report:
        signal.signal(signal.SIGTERM, ended)
        device = Device(agent, parameters, timeout_s=timeout_s, schema=schema, stage=stage, state_command=state_command)
        return _judge(device, only)

    return in_a_child(work)


def _judge(device: Device, only: Sequence[str]) -> Report:
    began = time.monotonic()
    try:
        device.learn()
        results = tuple(_put(one, device) for one in CHECKS if not only or one.name in only)
    finally:
        device.put_back()
        device.supervisor.kill_offspring()
    known = device.metadata
    return Report(
        agent=str(device.agent),
        name=known.name if known else device.agent.name,
        agent_version="",
        ocf_version="",
        parameters=tuple(sorted(device.parameters)),
        results=results,
        seconds=time.monotonic() - began,
    )


def _put(one: Check, device: Device) -> Result:
    began = time.monotonic()

    def ask() -> str:
        if one.needs and device.metadata is None:
            raise Inapplicable("its metadata cannot be read")
        if one.needs in (WORKING, STAGE) and device.unusable:
            raise Inapplicable(device.unusable)
        if one.needs == STAGE and not device.staged:
            raise Inapplicable("needs --stage, a command that makes the device misbehave")
        return one.run(device)

    try:
        verdict, evidence = verdict_of(ask)
    finally:
        if one.needs in (WORKING, STAGE):
            device.mend()
    return Result(one.name, one.group, verdict, " ".join(evidence.split()), time.monotonic() - began)
