"""Our fence agent and Debian's, each put through `kappa-agents conform` before a device that can misbehave.

    build/venv/bin/python -m tests.bench.fence_conformance            the table of stonith/CONFORMANCE.md
    build/venv/bin/python -m tests.bench.fence_conformance --format text

Nothing of it is a real machine: what stands behind each agent is in tests/unit/stonith/devices.py. Agents that are not
installed are left out; `apt-get install --no-install-recommends fence-agents` brings Debian's.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from resource_agents.commands.conformance import report as reports
from resource_agents.commands.conformance.judge import Report
from resource_agents.commands.conformance.registry import FAIL
from resource_agents.commands.fencing.judge import judge
from resource_agents.commands.fencing.registry import CHECKS
from tests.unit.stonith import broker, devices
from tests.unit.stonith.broker import AGENT

SBIN = Path("/usr/sbin")


def made(only: list[str]) -> list[Report]:
    """A report of each agent that is here. `only`: names of agents; empty: all."""
    found = []
    with ExitStack() as stack:

        def folder(name: str) -> Path:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"fence-{name}-")))
            path.chmod(0o755)
            return path

        power = stack.enter_context(broker.running(folder("powerd"), folder("engine")))
        gate = devices.Gate(power.port)
        engine = stack.enter_context(devices.docker(folder("docker"), power.engine, gate))
        # its device is the power broker, so that is what is away; all else is the engine's behind it
        broker_of_it = replace(engine, stage=f"{engine.stage} {devices.BROKER}")
        ours = {
            "server": f"127.0.0.1:{gate.port}",
            "client": "node1",
            "key_file": str(power.key_file("node1")),
            "timeout": "4",
            "plug": "node2",
        }
        # the engine that answers serves API 1.12 to 1.41; fence_docker's own default is older than that
        docker = {**engine.where, "api_version": "1.41", "power_timeout": "4"}
        virsh, dummy = devices.virsh(folder("virsh")), devices.dummy(folder("dummy"))
        quick = {"power_timeout": "4", "login_timeout": "3", "shell_timeout": "3"}
        for agent, parameters, device in (
            (_agent(folder("agent")), ours, broker_of_it),
            (SBIN / "fence_docker", docker, engine),
            (SBIN / "fence_virsh", {**virsh.where, **quick}, virsh),
            (SBIN / "fence_dummy", {**dummy.where, "power_timeout": "4"}, dummy),
        ):
            if agent.exists() and (not only or agent.name in only):
                report = judge(agent, parameters, stage=device.stage, state_command=device.state)
                found.append(replace(report, agent=agent.name))
    return found


def _agent(folder: Path) -> Path:
    """Ours under the name that it is installed by."""
    path = folder / "fence_kappa"
    path.symlink_to(AGENT)
    return path


def main(arguments: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.fence_conformance", description="Fence agents side by side.")
    parser.add_argument("agents", nargs="*", help="only these, such as fence_kappa")
    parser.add_argument("--format", choices=("markdown", "text", "json", "junit"), default="markdown")
    given = parser.parse_args(arguments)
    found = made(given.agents)
    if given.format == "json":
        print(reports.as_json(found, CHECKS))
    else:
        print({"markdown": reports.markdown, "text": reports.text, "junit": reports.junit}[given.format](found))
    return int(any(one.count(FAIL) for one in found if one.name == "fence_kappa"))


if __name__ == "__main__":
    sys.exit(main())
