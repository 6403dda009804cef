"""A real virsh over libvirt's own test driver: real states, words and refusals, and no hypervisor.

The test driver's machines live as long as its connection does, so one virsh is kept open, and a small program stands
in for the virsh that the driver starts: it hands its arguments to the open one, and gives back what that one said.
"""

import json
import os
import select
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALLED = shutil.which("virsh") is not None
END = "what-comes-next"

RELAY = r"""
import json, os, socket, sys
talk = socket.socket(socket.AF_UNIX)
talk.connect(os.path.dirname(os.path.abspath(__file__)) + "/socket")
talk.sendall(json.dumps(sys.argv[4:]).encode() + b"\n")
code, out, err = json.loads(talk.makefile().read())
sys.stdout.write(out), sys.stderr.write(err)
sys.exit(code)
"""


DOMAIN = """<domain type="test" xmlns:test="http://libvirt.org/schemas/domain/test/1.0"><name>{name}</name>
<memory>1024</memory><os><type>hvm</type></os>{more}</domain>"""

MACHINES = {
    "test": "",
    "idle": "<test:runstate>2</test:runstate>",
    "paused": "<test:runstate>3</test:runstate>",
    "ending": "<test:runstate>4</test:runstate>",
    "resting": "<test:runstate>5</test:runstate>",
    "saved": "<test:runstate>5</test:runstate><test:hasmanagedsave/>",
    "crashed": "<test:runstate>6</test:runstate>",
    "asleep": "<test:runstate>7</test:runstate>",
    "passing": "<test:transient/>",
}
"""One in every state that a domain can be in."""


class Shell:
    """One virsh that is kept open."""

    def __init__(self, folder: Path) -> None:
        self.node = folder / "node.xml"
        self.node.write_text(
            "<node>" + "".join(DOMAIN.format(name=name, more=more) for name, more in MACHINES.items()) + "</node>"
        )
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            ["virsh", "--quiet", "--connect", f"test://{self.node}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # it echoes what it reads, and would wrap what is longer than a line
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": "/nonexistent", "TERM": "dumb", "COLUMNS": "4000"},
        )

    def run(self, *command: str) -> tuple[int, str, str]:
        """What it says to one command. An interactive virsh has no exit code of a command: a complaint stands for 1."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with self._lock:
            process.stdin.write(f"{' '.join(command)}\necho {END}\n".encode())
            process.stdin.flush()
            out, bound = b"", time.monotonic() + 30
            while f"\n{END}".encode() not in out:
                ready, _, _ = select.select([process.stdout], [], [], max(0.0, bound - time.monotonic()))
                assert ready, f"virsh did not answer {command}: {out!r}"
                out += os.read(process.stdout.fileno(), 65536)
            err = b""
            while select.select([process.stderr], [], [], 0)[0]:
                err += os.read(process.stderr.fileno(), 65536)
        lines = out.decode().partition(f"\n{END}")[0].splitlines()
        # the first is the command itself; its prompt may have come with the answer before
        told = "\n".join(line for line in lines[1:] if not line.startswith("virsh # "))
        return int(bool(err)), told + "\n", err.decode()

    def close(self) -> None:
        self._process.communicate(timeout=10)


@contextmanager
def running(folder: Path) -> Iterator[tuple[Path, Shell]]:
    """The program that stands in for virsh, and the virsh behind it."""
    shell = Shell(folder)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(json.dumps(shell.run(*json.loads(self.rfile.readline()))).encode())

    program = folder / "virsh"
    program.write_text(f"#!{sys.executable} -IS\n{RELAY}")
    program.chmod(0o755)
    with socketserver.ThreadingUnixStreamServer(str(folder / "socket"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield program, shell
        finally:
            server.shutdown()
            thread.join(5)
            shell.close()
