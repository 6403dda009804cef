"""A real kappa-powerd process on loopback over a fake engine, and fence_kappa run as the cluster runs it."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.stonith import fake_engine

ROOT = Path(__file__).resolve().parents[3]
AGENT = ROOT / "stonith" / "fence_kappa.py"
NODES = ("node1", "node2", "node3")


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    def one_line(self) -> str:
        """What it said on standard error, which must be one line that names the agent."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("fence_kappa: "), self.err
        assert "Traceback" not in self.err
        return self.err.strip()


def fence(options: dict[str, object] | str, argv: Sequence[str] = (), timeout: float = 30) -> Ran:
    """Run fence_kappa with `options` on standard input, as pacemaker-fenced does; or with arguments."""
    text = options if isinstance(options, str) else "".join(f"{key}={value}\n" for key, value in options.items())
    # the modules are compiled where they stand; a copy of the tree must not write into the original, nor the reverse
    ran = subprocess.run(
        [sys.executable, "-IS", str(AGENT), *argv],
        input=text,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def until(holds: Callable[[], object], bound_s: float = 10.0) -> None:
    end = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.01)


@dataclass
class Broker:
    folder: Path
    engine: fake_engine.Engine
    process: "subprocess.Popen[str]"
    port: int

    def key_file(self, client: str) -> Path:
        return self.folder / f"{client}.key"

    def options(self, action: str, plug: str = "", client: str = "node1", **more: object) -> dict[str, object]:
        named = {"plug": plug} if plug else {}
        return {
            "action": action,
            **named,
            "server": f"127.0.0.1:{self.port}",
            "client": client,
            "key_file": self.key_file(client),
            "timeout": 5,
            **more,
        }

    def fence(self, action: str, plug: str = "", client: str = "node1", **more: object) -> Ran:
        return fence(self.options(action, plug, client, **more))

    def audit(self) -> list[dict[str, Any]]:
        path = self.folder / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write_config(folder: Path, engine_socket: Path, listen: str = '["127.0.0.1:0"]', starts: int = 0) -> Path:
    """`starts`: the brake's limit; by default none, since many tests share a broker."""
    for node in NODES:
        key = folder / f"{node}.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text(secrets.token_hex(32) + "\n")
    clients = "".join(
        f'[clients.{node}]\nkey_file = "{folder / node}.key"\nmay = {[peer for peer in NODES if peer != node]!r}\n'
        for node in NODES
    )
    machines = "".join(f'{node} = "kappa-lab-{node}"\n' for node in NODES)
    path = folder / "powerd.toml"
    path.write_text(
        f'listen = {listen}\naudit = "{folder}/audit.jsonl"\n'
        f'[driver]\nkind = "docker"\nsocket = "{engine_socket}"\n[machines]\n{machines}{clients}'
        f"[brake]\nstarts = {starts}\n"
    )
    return path


def powerd(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "stonith.power.daemon", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(folder: Path, socket_folder: Path, starts: int = 0) -> Iterator[Broker]:
    """A broker over an engine. `socket_folder`: short, since the path of a Unix socket must be."""
    with fake_engine.running(socket_folder / "engine.sock") as engine:
        process = powerd("--config", str(write_config(folder, engine.path, starts=starts)))
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            assert "listening on 127.0.0.1:" in line, line + process.stderr.read()
            yield Broker(folder, engine, process, int(line.partition("127.0.0.1:")[2].partition(";")[0]))
        finally:
            engine.hang_s = 0.0
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=15)
