"""Faults of the bot's clock. Containers share their machine's, so one process is lied to, by libfaketime."""

from collections.abc import Mapping
from typing import Final

from kappa_lab import cluster
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import each, until
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.faults.outside import asked, insist, on
from kappa_lab.topology import Node

BINARY: Final = "/usr/bin/kappa-bot"
PLAIN: Final = "/opt/kappa/bin/kappa-bot"
OFFSET: Final = "/run/kappa-lab-clock"
LIBRARY: Final = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
WRAPPER: Final = f"""#!/bin/sh
export LD_PRELOAD={LIBRARY} FAKETIME_TIMESTAMP_FILE={OFFSET} FAKETIME_CACHE_DURATION=1 \\
  FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1
exec {PLAIN} "$@"
"""


def clock_stepped(target: Target, given: Mapping[str, Value]) -> Fault:
    step_s = float(str(given["step_s"]))

    def step(node: Node) -> None:
        set_offset(node, 0)
        if not lied_to(node):
            lie(node)
        set_offset(node, step_s)

    def step_back(node: Node) -> None:
        insist("its clock is right", lambda: truth(node), node)

    return each(step, step_back)(target, given)


def set_offset(node: Node, seconds: float) -> None:
    """Whole or not at all: the bot reads it once a second."""
    on(node, "sh", "-c", f"echo '{seconds:+g}' >{OFFSET}.new && mv {OFFSET}.new {OFFSET}")


def lied_to(node: Node) -> bool:
    """Does its bot run with a clock that can be stepped?"""
    try:
        on(node, "sh", "-c", f"grep -qs {LIBRARY} $(pgrep -f '{PLAIN} [r]un' | sed 's,.*,/proc/&/maps,')")
    except LabError:
        return False
    return True


def lie(node: Node) -> None:
    """From its next start on its bot reads a clock that can be stepped; a bot that runs is started anew for it."""
    on(node, "sh", "-c", f"cat >{BINARY}.new <<'END'\n{WRAPPER}END\nchmod 755 {BINARY}.new && mv {BINARY}.new {BINARY}")
    seen = cluster.status()
    if seen is not None and seen.where("bot") == node.name:
        on(asked(), "crm_resource", "--restart", "--resource", "bot", "--timeout", "60", timeout=90)
        until(f"the bot on {node.name} has a clock that can be stepped", lambda: lied_to(node), 60)


def truth(node: Node) -> None:
    """The right time for the bot that runs, and its own clock for the next."""
    set_offset(node, 0)
    on(node, "ln", "-sfn", PLAIN, BINARY)


KINDS: Final = (
    Kind("clock-stepped", "The clock is stepped under the bot (which is started anew for it: the lab's means).",
         clock_stepped, parameters={"step_s": 3600.0}, storm=False),
)  # fmt: skip
