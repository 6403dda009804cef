"""The lab's power: the broker that the nodes' fence agents ask, on the host, and the plug that a drill pulls itself."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from kappa_lab import engine
from kappa_lab.errors import LabError
from kappa_lab.paths import LOGS, ROOT, RUN, STATE
from kappa_lab.run import last_line
from kappa_lab.topology import NODES, POWER_PORT, RINGS, Node

PIDFILE = RUN / "powerd.pid"
AUDIT = STATE / "journal" / "power.jsonl"


def configuration(secrets: Path) -> str:
    """kappa-powerd's configuration: every node may fence its peers, and nothing but the lab's nodes can be switched."""
    listen = ", ".join(f'"{ring.host}:{POWER_PORT}"' for ring in RINGS)
    lines = [
        f"listen = [{listen}]",
        f'audit = "{AUDIT}"',
        "",
        "[driver]",
        'kind = "docker"',
        f'socket = "{engine.SOCKET}"',
        "",
    ]
    lines += ["[machines]", *(f'{node.name} = "{node.container}"' for node in NODES)]
    for node in NODES:
        peers = ", ".join(f'"{peer.name}"' for peer in NODES if peer is not node)
        lines += ["", f"[clients.{node.name}]", f'key_file = "{secrets}/fence-{node.name}.key"', f"may = [{peers}]"]
    return "\n".join(lines) + "\n"


def start(python: str, bound_s: float = 15) -> None:
    """Start the broker; return when it listens on both rings."""
    config = STATE / "power.toml"
    config.write_text(configuration(STATE / "secrets"))
    log_path = LOGS / "powerd.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [python, "-m", "stonith.power.daemon", "--config", config],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    PIDFILE.write_text(f"{process.pid}\n")
    end = time.monotonic() + bound_s
    while not all(_listens(ring.host) for ring in RINGS):
        if process.poll() is not None:
            raise LabError(
                f"The power broker ended at once: {last_line(log_path.read_text())}", f"Its log: {log_path}."
            )
        if time.monotonic() > end:
            raise LabError(f"The power broker does not listen after {bound_s:.0f} s.", f"Its log: {log_path}.")
        time.sleep(0.05)


def _listens(host: str) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, POWER_PORT)) == 0


def stop(bound_s: float = 10) -> None:
    """End the broker that this lab started, by its pid and only if that pid is still it."""
    try:
        number = int(PIDFILE.read_text())
    except (OSError, ValueError):
        return
    end = time.monotonic() + bound_s
    while _is_broker(number):
        os.kill(number, signal.SIGTERM if time.monotonic() < end - bound_s / 2 else signal.SIGKILL)
        if time.monotonic() > end:
            raise LabError(f"The power broker (pid {number}) does not end.")
        time.sleep(0.1)
    PIDFILE.unlink(missing_ok=True)


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
