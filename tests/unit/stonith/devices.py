"""Devices for any fence agent to be tried on, each able to misbehave: a Docker engine on a TCP port as well as on its
socket, a virsh behind an ssh that plays it, and a file for fence_dummy. What a device does not do it refuses, with 3.

Nothing switches a real machine. `stage` and `state` are the commands that `kappa-agents conform` asks for.
"""

import contextlib
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.unit.stonith import fake_engine

PYTHON = "/usr/bin/python3 -IS"
MACHINE = "kappa-lab-node2"


@dataclass(frozen=True)
class Device:
    """stage, state: commands. where: what else an agent needs to know to reach it."""

    stage: str
    state: str
    where: dict[str, str]


# -- a Docker engine

ASK = """import _socket, sys
s = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
s.connect(("127.0.0.1", {port}))
s.sendall(b"GET /test/" + "/".join(sys.argv[1:]).encode() + b" HTTP/1.0\\r\\n\\r\\n")
whole = b""
while chunk := s.recv(4096):
    whole += chunk
head, _, body = whole.partition(b"\\r\\n\\r\\n")
print(body.decode())
sys.exit(0 if b" 200 " in head.split(b"\\r\\n")[0] else 3)
"""
GARBAGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 22\r\n\r\n<html>moment mal</html"
# a container that is being removed while a process of it is still there
IN_BETWEEN = {"Status": "removing", "Running": False, "Paused": False, "Pid": 4321}


BROKER = "broker"


class Gate:
    """An address before a power broker, which can be shut: then connections to it are refused."""

    def __init__(self, broker_port: int) -> None:
        self._broker_port = broker_port
        self._listener: socket.socket | None = None
        self.port = 0
        self.turn(True)

    def turn(self, is_open: bool) -> None:
        if self._listener is not None and not is_open:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        elif self._listener is None and is_open:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:  # shut
                return
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(one, other), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


class Handler(fake_engine._Handler):
    """As the engine's, and with what fence_docker asks for: a kill without a signal's name, a list with words."""

    gate: "Gate | None" = None

    def _handle(self) -> None:
        if self.path.startswith("/test/"):
            self._test(self.path.removeprefix("/test/"))
        else:
            super()._handle()

    def _answer(self, status: int, body: object = None) -> None:
        if isinstance(body, list):
            body = [{**row, "Status": "Up 2 hours" if row["State"] == "running" else "Exited (137)"} for row in body]
        super()._answer(status, body)

    def _kill(self, container: fake_engine.Container, query: dict[str, list[str]]) -> None:
        super()._kill(container, query or {"signal": ["SIGKILL"]})

    def _test(self, word: str) -> None:
        if word.startswith(BROKER + "/"):
            word = word.partition("/")[2]
            if self.gate and word in ("well", "away"):
                self.gate.turn(word == "well")
                word = "well"
        machine = self.engine.containers[MACHINE]
        self.close_connection = True
        if word == "state":
            word = f"on {machine.starts}" if machine.running() else "off"
        elif not _put(self.engine, machine, word):
            self._answer(404, {"message": word})
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(word.encode())

    do_GET = do_POST = _handle  # noqa: N815


def _put(engine: fake_engine.Engine, machine: fake_engine.Container, word: str) -> bool:
    every = r" /(v[\d.]+/)?(containers|version)"
    if word == "well":
        engine.raw, engine.hang_s, machine.kill_takes, machine.overrides = {}, 0.0, True, {}
    elif word == "on":
        if not machine.running():
            machine.start()
    elif word == "off":
        machine.end()
    elif word == "stuck":
        machine.kill_takes = False
    elif word == "garbage":
        engine.raw = {every: GARBAGE}
    elif word == "in-between":
        machine.overrides, machine.kill_takes = IN_BETWEEN, False
    elif word == "silent":
        engine.hang_on, engine.hang_s = every, 120.0
    elif word == "away":
        engine.raw = {every: b""}
    else:
        return False
    return True


@contextmanager
def docker(folder: Path, engine: fake_engine.Engine, gate: Gate | None = None) -> Iterator[Device]:
    """An engine that is there already, on a TCP port too: with TLS, which fence_docker 4.12 cannot do without."""
    for node in ("node1", "node2", "node3"):
        engine.add(f"kappa-lab-{node}")
    with _serving(engine, gate=gate) as plain, _serving(engine, _certificate(folder)) as port:
        (folder / "ask.py").write_text(ASK.format(port=plain))
        ask = f"{PYTHON} {folder}/ask.py"
        where = {"ip": "127.0.0.1", "ipport": str(port), "ssl_insecure": "1", "plug": MACHINE}
        try:
            yield Device(ask, f"{ask} state", where)
        finally:
            engine.hang_s = 0.0


def _certificate(folder: Path) -> ssl.SSLContext:
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
             "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _serving(engine: fake_engine.Engine, tls: ssl.SSLContext | None = None, gate: Gate | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("H", (Handler,), {"engine": engine, "gate": gate}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign] # who is made to hang hangs up
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


# -- virsh, behind ssh

SSH = """#!/bin/sh
# plays an ssh to a host with virsh: a prompt, and for each line what virsh 9.0 writes there
here={folder}
read_mood() {{ read -r mood <"$here/mood"; read -r state <"$here/state"; }}
read_mood
[ "$mood" != away ] || {{ echo "ssh: connect to host $1 port 22: Connection refused" >&2; exit 255; }}
while printf '\\n[EXPECT]# ' && read -r line; do
  read_mood
  set -- $line
  [ "$mood" != silent ] || sleep 1000
  if [ "$1" = quit ] || [ "$1" = exit ]; then exit 0; fi
  [ "$1" = virsh ] || {{ echo "-bash: $1: command not found"; continue; }}
  [ "$mood" != garbage ] || {{ echo "-bash: virsh: command not found"; continue; }}
  word="shut off"; [ "$state" = off ] || word=running
  [ "$mood" != in-between ] || word="in shutdown"
  case $2 in
    list) printf ' Id   Name              State\\n----------------------------------\\n'
          printf ' 1    {machine}   %s\\n\\n' "$word";;
    domstate|destroy|start)
      if [ "$3" != {machine} ]; then echo "error: failed to get domain '$3'"; echo; continue; fi
      case $2 in
        domstate) echo "$word"; echo;;
        destroy) if [ "$mood" = stuck ] || [ "$mood" = in-between ]; then
                   echo "error: Failed to destroy domain '$3'"
                   echo "error: Failed to terminate process 4321 with SIGKILL: Device or resource busy"
                 else echo off >"$here/state"; echo "Domain '$3' destroyed"; echo; fi;;
        start) read -r runs <"$here/runs"; echo $((runs + 1)) >"$here/runs"; echo on >"$here/state"
               echo "Domain '$3' started"; echo;;
      esac;;
    *) echo "error: unknown command: '$2'";;
  esac
done
"""
VIRSH_STAGE = """#!/bin/sh
case $1 in
  on|off) echo $1 >{folder}/state;;
  well|stuck|garbage|in-between|silent|away) echo $1 >{folder}/mood;;
  *) exit 3;;
esac
"""
VIRSH_STATE = """#!/bin/sh
read -r state <{folder}/state; read -r runs <{folder}/runs
[ "$state" = on ] && echo "on $runs" || echo off
"""


def virsh(folder: Path) -> Device:
    for name, text in (("mood", "well"), ("state", "on"), ("runs", "1")):
        (folder / name).write_text(text + "\n")
    (folder / "identity").write_text("not-a-key-but-as-secret-as-one\n")
    about: dict[str, Any] = {"folder": folder, "machine": MACHINE}
    where = {"ip": "127.0.0.1", "username": "root", "ssh_path": _script(folder / "ssh", SSH.format(**about)),
             "identity_file": str(folder / "identity"), "plug": MACHINE}  # fmt: skip
    stage = _script(folder / "stage", VIRSH_STAGE.format(**about))
    return Device(stage, _script(folder / "truth", VIRSH_STATE.format(**about)), where)


# -- a file, for fence_dummy

DUMMY_STAGE = """#!/bin/sh
case $1 in
  on|off) printf $1 >{folder}/status;;
  well) [ -e {folder}/status ] || printf on >{folder}/status;;
  away) rm -f {folder}/status;;
  garbage) printf 'moment mal' >{folder}/status;;
  in-between) printf 'shutting down' >{folder}/status;;
  *) exit 3;;
esac
"""


def dummy(folder: Path) -> Device:
    (folder / "status").write_text("on")
    stage = _script(folder / "stage", DUMMY_STAGE.format(folder=folder))
    state = _script(
        folder / "truth", f'#!/bin/sh\nread -r s 2>/dev/null <{folder}/status; [ "$s" = off ] && echo off || echo on\n'
    )
    return Device(stage, state, {"type": "file", "status_file": f"{folder}/status"})


def _script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)
