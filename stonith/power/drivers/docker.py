"""The driver for containers: asks a Docker engine over its Unix socket, and nobody else is given that socket.

Written against the Engine API as of version 1.41 (engine 20.10), and spoken in whatever version the engine has that
is not newer. The containers must not have been made with automatic removal: a container that is gone leaves no proof
that it is off.
"""

import contextlib
import http.client
import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from stonith.power.driver import DriverError, Sight, State
from stonith.power.table import Table
from stonith.wire import printable

NEWEST = (1, 41)
"""The newest API version that this was written for."""
CALL_S = 4.0
"""An engine that does not answer one call within this is not waited for any longer by that call."""
BODY_MAX = 4 << 20

ID = re.compile(r"[0-9a-f]{64}")


RESTARTS = ("always", "unless-stopped", "on-failure")


class Docker:
    """A Docker engine behind the Unix socket `path`."""

    no_new_privileges = True

    def __init__(self, path: str) -> None:
        self._path = path
        self._version = ""

    def list(self, deadline: float) -> frozenset[str]:
        status, answer = self._call("GET", "/containers/json?all=1", deadline)
        if status != 200 or not isinstance(answer, list):
            raise DriverError(f"the docker engine answered {_said(status, answer)} when asked for its containers")
        names = (
            name for one in answer if isinstance(one, dict) for name in one.get("Names") or () if isinstance(name, str)
        )
        return frozenset(name.removeprefix("/") for name in names)

    def status(self, machine: str, deadline: float, unit: str = "") -> Sight:
        try:
            status, answer = self._call("GET", f"/containers/{quote(unit or machine)}/json", deadline)
        except DriverError as error:
            return Sight(State.UNKNOWN, str(error))
        if status != 200:
            return Sight(State.UNKNOWN, f"the docker engine answered {_said(status, answer)} when asked for {machine}")
        return judge(answer, machine, unit)

    def off(self, machine: str, unit: str, deadline: float) -> str:
        # SIGKILL, and never `stop`, `restart` or any other request that gives what runs inside the time to do something
        status, answer = self._call("POST", f"/containers/{quote(unit)}/kill?signal=SIGKILL", deadline)
        said = f"kill answered {_said(status, answer)}"
        if status == 404:
            raise DriverError(f"the docker engine has no {machine} to switch off: {said}")
        # A frozen process dies of SIGKILL when it is thawed, and executes nothing before. The engine thaws a paused
        # container that it kills; one that is still paused after a kill that was accepted needs the thaw alone. One
        # whose kill was not accepted is never thawed: that would wake the very node that is to be dead.
        if status == 204 and self._paused(unit, deadline):
            status, answer = self._call("POST", f"/containers/{quote(unit)}/unpause", deadline)
            said += f", unpause answered {_said(status, answer)}"
        return said

    def on(self, machine: str, unit: str, deadline: float) -> str:
        status, answer = self._call("POST", f"/containers/{quote(unit)}/start", deadline)
        said = f"start answered {_said(status, answer)}"
        if status not in (204, 304):
            raise DriverError(f"the docker engine did not start {machine}: {said}")
        return said

    def warnings(self, machine: str, deadline: float) -> Sequence[str]:
        status, answer = self._call("GET", f"/containers/{quote(machine)}/json", deadline)
        host = answer.get("HostConfig") if status == 200 and isinstance(answer, dict) else None
        about = host if isinstance(host, dict) else {}
        policy = about.get("RestartPolicy")
        name = policy.get("Name") if isinstance(policy, dict) else ""
        found = []
        if about.get("AutoRemove") is True:
            found.append("was made with --rm: once off it is gone and leaves no proof that it is off")
        if name in RESTARTS:
            found.append(f"has the restart policy {name}, which starts it behind the cluster's back; set it to 'no'")
        return found

    def _paused(self, unit: str, deadline: float) -> bool:
        with contextlib.suppress(DriverError):
            status, answer = self._call("GET", f"/containers/{quote(unit)}/json", deadline)
            state = answer.get("State") if status == 200 and isinstance(answer, dict) else None
            return isinstance(state, dict) and state.get("Paused") is True
        return False

    def _call(self, method: str, path: str, deadline: float) -> tuple[int, object]:
        """One call, in a version that both know. Returns the status, and the body as JSON or, if none, as text."""
        if not self._version:
            self._version = self._negotiate(deadline)
        status, answer = self._request(method, f"/v{self._version}{path}", deadline)
        if status == 400 and "version" in str(answer):  # another engine has come behind the same socket
            self._version = self._negotiate(deadline)
            status, answer = self._request(method, f"/v{self._version}{path}", deadline)
        return status, answer

    def _negotiate(self, deadline: float) -> str:
        status, answer = self._request("GET", "/version", deadline)
        about: Mapping[str, object] = answer if status == 200 and isinstance(answer, dict) else {}
        newest, oldest = (_number(about.get(key)) for key in ("ApiVersion", "MinAPIVersion"))
        if newest is None:
            raise DriverError(f"{self._path} answers, but not as a docker engine: {_said(status, answer)} to /version")
        version = max(min(NEWEST, newest), oldest or (0, 0))
        return ".".join(str(part) for part in version)

    def _request(self, method: str, path: str, deadline: float) -> tuple[int, object]:
        deadline = min(deadline, time.monotonic() + CALL_S)
        connection = _Connection(self._path, deadline)
        try:
            connection.request(method, path, headers={"Host": "docker"})
            response = connection.getresponse()
            body = b""
            while True:
                connection.keep_deadline()
                chunk = response.read1(65536)
                if not chunk:
                    break
                body += chunk
                if len(body) > BODY_MAX:
                    raise DriverError(f"the docker engine's answer to {method} {path} has no end")
        except TimeoutError:
            raise DriverError(f"the docker engine at {self._path} did not answer {method} {path} in time") from None
        except (OSError, http.client.HTTPException) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else repr(error)
            raise DriverError(f"the docker engine at {self._path} cannot be asked: {printable(why)}") from None
        finally:
            connection.close()
        try:
            return response.status, json.loads(body) if body.strip() else ""
        except (ValueError, RecursionError):
            return response.status, body.decode("utf-8", "replace")


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket, with one deadline for everything."""

    def __init__(self, path: str, deadline: float) -> None:
        super().__init__("docker")
        self._path = path
        self._deadline = deadline
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def connect(self) -> None:
        self.keep_deadline()
        self._socket.connect(self._path)
        self.sock = self._socket

    def close(self) -> None:
        super().close()
        self._socket.close()

    def keep_deadline(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._socket.fileno() >= 0:  # below: all has been read, and the response has closed it
            self._socket.settimeout(left)


def judge(answer: object, machine: str, unit: str = "") -> Sight:
    """What an engine's inspection of a container proves, and nothing more.

    On: the engine says that it runs; a paused one may wake and a restarting one may come back, so these run too.
    Off: the engine says of this very container that it never ran or has exited, and that no process of it is left.
    Everything else, an answer that contradicts itself first of all, is unknown.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("State"), dict):
        return Sight(
            State.UNKNOWN, f"the docker engine's answer about {machine} is not a container: {printable(answer, 100)}"
        )
    told = answer["State"]
    seen_id, name, run = answer.get("Id"), answer.get("Name"), told.get("StartedAt")
    status, pid = told.get("Status"), told.get("Pid")
    flags = {key: told.get(key) for key in ("Running", "Paused", "Restarting", "Dead")}
    said = printable(f"container {str(seen_id)[:12]} {status}, pid {pid}, started {run}, " + _flags(flags))
    if not isinstance(seen_id, str) or not ID.fullmatch(seen_id) or not isinstance(run, str) or not run:
        return Sight(State.UNKNOWN, f"no identity: {said}")
    if name != f"/{machine}" or (unit and seen_id != unit):
        return Sight(State.UNKNOWN, f"not {machine} but {printable(name, 100)}: {said}")
    if type(pid) is not int or any(type(flag) is not bool for flag in flags.values()) or not isinstance(status, str):
        return Sight(State.UNKNOWN, f"not whole: {said}", seen_id, run)
    if (
        flags["Running"]
        and not flags["Dead"]
        and status in ("running", "paused", "restarting")
        and (pid > 0 or flags["Restarting"])
    ):
        return Sight(State.ON, said, seen_id, run, booted=True)  # a container begins at its beginning
    if status in ("exited", "created") and pid == 0 and not any(flags.values()):
        return Sight(State.OFF, said, seen_id, run)
    return Sight(State.UNKNOWN, f"neither runs nor is proven off: {said}", seen_id, run)


def _flags(flags: Mapping[str, object]) -> str:
    return " ".join(f"{key}={str(value).lower()}" for key, value in flags.items())


def _said(status: int, answer: object) -> str:
    message = answer.get("message") if isinstance(answer, dict) else answer
    return f"{status} {printable(message, 120)}".strip() if message else str(status)


def _number(text: object) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", text) if isinstance(text, str) else None
    return (int(found[1]), int(found[2])) if found else None


def from_table(table: Table) -> Docker:
    return Docker(str(table.path("socket")))
