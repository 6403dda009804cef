"""The lab's power: the brokers that the nodes' fence agents ask, on the host, and the plug that a drill pulls itself.

Two brokers, as two levels of fencing: where the first does not answer, the second carries it.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from kappa_lab import engine, hypervisor, reach
from kappa_lab.errors import LabError
from kappa_lab.paths import LOGS, ROOT, RUN, STATE
from kappa_lab.run import last_line
from kappa_lab.topology import NODES, POWER_PORTS, RINGS, Node


@dataclass(frozen=True)
class Broker:
    """One kappa-powerd: `level` is the level of fencing that it serves."""

    level: int
    port: int

    @property
    def config(self) -> Path:
        return STATE / f"power-{self.level}.toml"

    @property
    def audit(self) -> Path:
        return STATE / "journal" / f"power-{self.level}.jsonl"

    @property
    def pidfile(self) -> Path:
        return RUN / f"powerd-{self.level}.pid"

    @property
    def log(self) -> Path:
        return LOGS / f"powerd-{self.level}.log"


BROKERS = tuple(Broker(level, port) for level, port in enumerate(POWER_PORTS, start=1))


def configuration(broker: Broker, secrets: Path) -> str:
    """kappa-powerd's configuration: every node may fence its peers, and nothing but the lab's nodes can be switched."""
    listen = ", ".join(f'"{ring.host}:{broker.port}"' for ring in RINGS)
    lines = [
        f"listen = [{listen}]",
        f'audit = "{broker.audit}"',
        "",
        "[driver]",
        *driver(),
        "",
        # a lab's nodes are shot for a living: many starts in ten minutes are no loop
        "[brake]",
        "starts = 200",
        "",
    ]
    lines += ["[machines]", *(f'{node.name} = "{node.container}"' for node in NODES)]
    for node in NODES:
        peers = ", ".join(f'"{peer.name}"' for peer in NODES if peer is not node)
        lines += ["", f"[clients.{node.name}]", f'key_file = "{secrets}/fence-{node.name}.key"', f"may = [{peers}]"]
    return "\n".join(lines) + "\n"


def driver() -> list[str]:
    """What switches the nodes: the container engine, or the hypervisor whose machines they are."""
    if reach.are_machines():
        return ['kind = "libvirt"', f'uri = "{hypervisor.URI}"']
    return ['kind = "docker"', f'socket = "{engine.SOCKET}"']


def start(python: str, *brokers: Broker, bound_s: float = 15) -> None:
    """Start the brokers (or these); return when they listen on both rings."""
    processes = [(broker, _spawn(python, broker)) for broker in brokers or BROKERS]
    end = time.monotonic() + bound_s
    for broker, process in processes:
        while not all(_listens(ring.host, broker.port) for ring in RINGS):
            if process.poll() is not None:
                raise LabError(
                    f"Power broker {broker.level} ended at once: {last_line(broker.log.read_text())}",
                    f"Its log: {broker.log}.",
                )
            if time.monotonic() > end:
                raise LabError(
                    f"Power broker {broker.level} does not listen after {bound_s:.0f} s.", f"Its log: {broker.log}."
                )
            time.sleep(0.05)


def _spawn(python: str, broker: Broker) -> "subprocess.Popen[bytes]":
    broker.config.write_text(configuration(broker, STATE / "secrets"))
    with broker.log.open("a") as log:
        process = subprocess.Popen(
            [python, "-m", "stonith.power.daemon", "--config", broker.config],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    broker.pidfile.write_text(f"{process.pid}\n")
    return process


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def stop(*brokers: Broker, bound_s: float = 10) -> None:
    """End the brokers that this lab started (or these), each by its pid and only if that pid is still it."""
    for broker in brokers or BROKERS:
        try:
            number = int(broker.pidfile.read_text())
        except (OSError, ValueError):
            continue
        end = time.monotonic() + bound_s
        while _is_broker(number):
            os.kill(number, signal.SIGTERM if time.monotonic() < end - bound_s / 2 else signal.SIGKILL)
            if time.monotonic() > end:
                raise LabError(f"Power broker {broker.level} (pid {number}) does not end.")
            time.sleep(0.1)
        broker.pidfile.unlink(missing_ok=True)


def kill(broker: Broker) -> None:
    """As when its host dies: no goodbye to anybody."""
    try:
        number = int(broker.pidfile.read_text())
    except (OSError, ValueError):
        raise LabError(f"Power broker {broker.level} was not started.") from None
    if not _is_broker(number):
        raise LabError(f"Power broker {broker.level} (pid {number}) does not run.")
    os.kill(number, signal.SIGKILL)
    stop(broker)


def stall(broker: Broker) -> None:
    """It stands still: connections are taken by its host's kernel, and nobody answers them."""
    _signal(broker, signal.SIGSTOP)


def wake(broker: Broker) -> None:
    """It goes on, if it stood still."""
    _signal(broker, signal.SIGCONT)


def _signal(broker: Broker, what: signal.Signals) -> None:
    try:
        number = int(broker.pidfile.read_text())
    except (OSError, ValueError):
        return
    if _is_broker(number):
        os.kill(number, what)


def runs(broker: Broker) -> bool:
    """Does its process run?"""
    try:
        return _is_broker(int(broker.pidfile.read_text()))
    except (OSError, ValueError):
        return False


def audit() -> list[str]:
    """The lines of the brokers' audits, in the order in which what they tell of was done."""
    lines = [line for broker in BROKERS if broker.audit.exists() for line in broker.audit.read_text().splitlines()]
    return sorted(lines, key=_done)


def _done(line: str) -> float:
    try:
        entry = json.loads(line)
        return float(entry["t"]) + float(entry["ms"]) / 1000
    except (ValueError, TypeError, KeyError):
        return float("inf")  # whoever judges says what is wrong with it


def _is_broker(number: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(number, os.WNOHANG)  # our own child would stay a zombie, which still has a pid
    try:
        return b"stonith.power.daemon" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


def cut(node: Node) -> None:
    """Take the power from a node: SIGKILL for all of it at once, never a stop."""
    engine.docker("kill", "--signal", "KILL", node.container, doing=f"cutting the power of {node.name}")
