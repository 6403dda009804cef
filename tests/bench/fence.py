"""What fencing costs, beside Debian's agents for like machines; not a test, and nothing asserts its figures.

    make bench      or      build/venv/bin/python -m tests.bench.fence

Everything is measured in one run on one machine, in turn: a bare interpreter, an off and a status of each agent, and
again. Medians; the spread is the middle half. No hypervisor is real, and what stands behind each is not alike, so the
figures compare the agents and how they reach a hypervisor, not hypervisors:

- fence_kappa: as installed, to a real kappa-powerd process on loopback, which asks a scripted Docker engine on a Unix
  socket.
- fence_docker: to the same scripted engine on loopback over TCP with TLS, which that version cannot do without; the
  certificate is not verified, and there is no proof of who asks.
- fence_virsh: with an `ssh` that is a shell script, which plays a recorded session: no network, no key exchange, no
  login and no libvirt. A real one adds all of these.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resource_agents import cli
from tests.bench.agents import BARE, INTERPRETER, PATH, BenchError, Cost, Starter
from tests.unit.stonith import broker, devices, scripted_broker
from tests.unit.stonith.scripted_broker import Asked, proven

ROOT = Path(__file__).resolve().parents[2]
SBIN = Path("/usr/sbin")
START_VS_BARE = 4.0
OFF_VS_DOCKER = 1.0


@dataclass
class Case:
    """An agent with its device. words: its parameters as arguments. behind: what stands behind it."""

    name: str
    words: list[str]
    stage: list[str]
    behind: str
    off: Cost = field(default_factory=Cost)
    status: Cost = field(default_factory=Cost)


def cases(stack: ExitStack, installed: Path) -> list[Case]:
    def folder(name: str) -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"kappa-bench-{name}-")))

    power = stack.enter_context(broker.running(folder("powerd"), folder("engine")))
    engine = stack.enter_context(devices.docker(folder("docker"), power.engine))
    virsh = devices.virsh(folder("virsh"))
    ours = {"server": f"127.0.0.1:{power.port}", "client": "node1", "key-file": str(power.key_file("node1"))}
    return [
        Case(
            "fence_kappa",
            [str(installed / cli.FENCE_AGENT), *_long({**ours, "plug": "node2"})],
            engine.stage.split(),
            "kappa-powerd on loopback, before a scripted Docker engine on a Unix socket",
        ),
        Case(
            "fence_docker",
            [str(SBIN / "fence_docker"), *_long({**engine.where, "api_version": "1.41"})],
            engine.stage.split(),
            "the same scripted Docker engine on loopback, over TCP with TLS that is not verified",
        ),
        Case(
            "fence_virsh",
            [str(SBIN / "fence_virsh"), *_long(virsh.where)],
            virsh.stage.split(),
            "a shell script in the place of ssh, which plays a recorded virsh: no network, no login, no libvirt",
        ),
    ]


def _long(parameters: dict[str, str]) -> list[str]:
    return [
        f"--{name.replace('_', '-')}" if name == "ssl_insecure" else f"--{name.replace('_', '-')}={value}"
        for name, value in parameters.items()
    ]


def run(starter: Starter, every: list[Case], rounds: int) -> Cost:
    """Every case in every round, and a bare interpreter; returns what that cost."""
    bare = Cost()
    environment = {"PATH": PATH}
    for at in range(rounds + 1):  # the first fills caches, and is not counted
        starter.run(BARE, environment, bare)
        for case in every:
            _stage(case, "on")
            starter.run([*case.words, "--action=status"], environment, case.status)
            starter.run([*case.words, "--action=off"], environment, case.off)
        if at == 0:
            bare = Cost()
            for case in every:
                case.off, case.status = Cost(), Cost()
    return bare


def _stage(case: Case, word: str) -> None:
    subprocess.run([*case.stage, word], check=True, capture_output=True, timeout=30)


def start_to_request(agent: Path, rounds: int) -> Cost:
    """From the start of the process until the power broker has its whole request for off: greeting, nonce and MAC."""
    key = os.urandom(32).hex().encode()
    arrived: list[float] = []

    def reply(asked: Asked) -> bytes:
        arrived.append(time.perf_counter())
        return proven(key, asked, state="off", evidence="exited")

    cost = Cost()
    with tempfile.TemporaryDirectory(prefix="kappa-bench-") as name, scripted_broker.running(reply) as there:
        path = Path(name, "fence.key")
        path.touch(mode=0o600)
        path.write_bytes(key)
        words = [
            str(agent),
            "-o",
            "off",
            "-n",
            "node2",
            "-a",
            f"127.0.0.1:{there.port}",
            "-l",
            "node1",
            "-k",
            str(path),
        ]
        for at in range(rounds + 1):
            began = time.perf_counter()
            pid = os.posix_spawn(
                words[0], words, {"PATH": PATH}, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
            )
            _, status = os.waitpid(pid, 0)
            if status or len(arrived) != at + 1:
                raise BenchError(f"{agent} did not ask for off, or ended with {os.waitstatus_to_exitcode(status)}")
            if at:
                cost.wall.append((arrived[-1] - began) * 1000)
    return cost


def findings(every: list[Case], bare: Cost, start: Cost, version: str) -> dict[str, Any]:
    ours = every[0]
    peers = {
        case.name: {
            "off_ms": case.off.wall_ms,
            "off_spread_ms": case.off.spread_ms,
            "status_ms": case.status.wall_ms,
            "status_spread_ms": case.status.spread_ms,
            "version": version,
            "behind": case.behind,
        }
        for case in every[1:]
    }
    found: dict[str, Any] = {
        "off_ms": ours.off.wall_ms,
        "off_spread_ms": ours.off.spread_ms,
        "status_ms": ours.status.wall_ms,
        "status_spread_ms": ours.status.spread_ms,
        "start_to_request_ms": start.wall_ms,
        "start_to_request_spread_ms": start.spread_ms,
        "vs_bare_python": round(start.wall_ms / bare.wall_ms, 3),
        "bare_python_ms": bare.wall_ms,
        "bare_python_spread_ms": bare.spread_ms,
        "behind": ours.behind,
        "rounds": len(ours.off.wall),
        "peers": peers,
    }
    for case in every[1:]:
        found[f"vs_{case.name}"] = round(ours.off.wall_ms / case.off.wall_ms, 3)
    goals = (
        ("start to request, × bare python", found["vs_bare_python"], START_VS_BARE),
        ("off, × fence_docker", found["vs_fence_docker"], OFF_VS_DOCKER),
    )
    found["goals"] = [{"goal": name, "at_most": most, "is": seen, "met": seen <= most} for name, seen, most in goals]
    return found


def table(every: list[Case], found: dict[str, Any]) -> list[str]:
    lines = [f"{'':14} {'off':>9} {'spread':>15} {'status':>9} {'spread':>15}  behind it"]
    for case in every:
        lines.append(f"{case.name:14} {_cells(case.off)} {_cells(case.status)}  {case.behind}")
    low, high = found["start_to_request_spread_ms"]
    lines += [
        "",
        f"start to request {found['start_to_request_ms']:.1f} ms ({low:.1f}–{high:.1f}), "
        f"bare python {found['bare_python_ms']:.1f} ms, {found['rounds']} rounds",
        "",
    ]
    for goal in found["goals"]:
        verdict = "met" if goal["met"] else "NOT MET"
        lines.append(f"{goal['goal']:34} at most {goal['at_most']}, is {goal['is']}: {verdict}")
    return lines


def _cells(cost: Cost) -> str:
    low, high = cost.spread_ms
    return f"{cost.wall_ms:>7.1f}ms {f'{low:.1f}–{high:.1f}ms':>15}"


def preflight() -> None:
    for name in ("fence_docker", "fence_virsh"):
        if not (SBIN / name).exists():
            raise BenchError(
                f"{name} is not installed; `apt-get install --no-install-recommends fence-agents` brings it"
                " (or `sudo make bench`)"
            )


def measure(rounds: int, out: Path) -> None:
    version = subprocess.run(
        ["dpkg-query", "-W", "-f", "fence-agents ${Version}", "fence-agents"], capture_output=True, text=True
    ).stdout
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kappa-bench-"))) / "root"
        cli.install(root, INTERPRETER, ROOT)
        every = cases(stack, root)
        bare = run(stack.enter_context(Starter()), every, rounds)
        start = start_to_request(root / cli.FENCE_AGENT, rounds)
    found = findings(every, bare, start, version)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    print("\n".join(table(every, found)))
    print(f"\n{out}")


def main(arguments: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.fence", description="What fencing costs, beside others' agents.")
    parser.add_argument("--rounds", type=int, default=20, help="offs and statuses of each agent (default 20)")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/fence.json", help="where the figures go")
    given = parser.parse_args(arguments)
    try:
        preflight()
        measure(max(2, given.rounds), given.out.absolute())
    except BenchError as wrong:
        print(f"bench: {wrong}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
