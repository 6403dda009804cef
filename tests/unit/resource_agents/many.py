"""An agent in namespaces of its own, to be run many times there, and what must hold of every one of its ends.

Network, processes and mounts are its own, and all but a scratch directory is read-only: an agent that is given nonsense
as root may do as told.
"""

import marshal
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from resource_agents import cli
from resource_agents.ocf.agent import Agent
from tests.unit.resource_agents.nonsense import Case
from tests.unit.resource_agents.running import LEGAL, PREFIX, until

HERE = Path(__file__).parent
ROLE_CODES = {0, 8}

NAMESPACES = """
mount --bind "$1" "$1" && mount -o remount,bind,ro / && cd "$1" &&
ip link set lo up && ip link add eth0 type veth peer name eth0-end && ip addr add 192.0.2.1/24 dev eth0 &&
ip link set eth0 up && ip link set eth0-end up &&
mount -t tmpfs -o size=16k full full && mount -t tmpfs ro ro && mkdir ro/below && mount -o remount,ro ro &&
{ cat /dev/zero >full/filler 2>/dev/null || true; } && shift && exec "$@"
"""


@dataclass(frozen=True)
class Ended:
    code: "int | None"
    out: str
    err: str
    seconds: float
    left: int
    """Processes that were there afterwards."""

    @property
    def reasons(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith(PREFIX)]


@dataclass
class Many:
    """One agent in its namespaces, to be run many times."""

    agent: Agent
    scratch: Path
    process: "subprocess.Popen[bytes]"
    port: int = 4711

    def _ask(self, *request: Any) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        marshal.dump(request, self.process.stdin)
        self.process.stdin.flush()
        try:
            return marshal.load(self.process.stdout)
        except EOFError:
            raise AssertionError("the namespace ended: was its first process killed?") from None

    def run(self, words: list[str], environment: dict[str, str], limit_s: float = 30, real: bool = False) -> Ended:
        code, out, err, seconds, left = self._ask("exec" if real else "run", words, environment, limit_s)
        return Ended(code, out.decode(), err.decode(), seconds, left)

    def batch(self, cases: "list[Case]", limit_s: float = 120) -> list[Ended]:
        """All of them one after another in one process. Fewer ends than cases: it ended, or hung, in the next one."""
        asked = [(one.words, one.environment, self._place(one)) for one in cases]
        ended = self._ask("batch", asked, limit_s)
        return [Ended(code, out.decode(), err.decode(), took, 0) for code, out, err, took in ended]

    def _place(self, case: Case) -> "tuple[str, bytes] | None":
        return (str(self.record(case.record[0])), case.record[1]) if case.record else None

    def alone(self, case: Case, real: bool = False) -> Ended:
        """The same in a process of its own."""
        if case.record:
            self.record(case.record[0]).write_bytes(case.record[1])
        try:
            return self.run(case.words, case.environment, real=real)
        finally:
            if case.record:
                self.record(case.record[0]).unlink(missing_ok=True)

    def life(self) -> str:
        return cast(str, self._ask("life"))

    def spawn(self, argv: list[str], record: str = "") -> int:
        return cast(int, self._ask("spawn", argv, record))

    def count(self) -> int:
        return cast(int, self._ask("count"))

    def kill(self) -> int:
        return cast(int, self._ask("kill"))

    def record(self, kind: str, state: str = "state", instance: str = "r") -> Path:
        return self.scratch / state / f"kappa-{self.agent.name}-{instance}.{kind}"


def begin(agent: str, root: Path, scratch: Path) -> Many:
    furnish(scratch)
    module = cli.AGENTS[agent]
    launcher = root / cli.AGENT_DIRECTORY / agent
    server = [launcher.read_text().split()[0][2:], "-IS", str(HERE / "fork_server.py"), str(root / cli.LIBRARY)]
    process = subprocess.Popen(
        ["unshare", "-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-c", NAMESPACES, "sh",
         str(scratch), *server, module, str(launcher)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    code = __import__(f"resource_agents.{module}", fromlist=["AGENT"]).AGENT
    return Many(code, scratch, process)


def furnish(scratch: Path) -> None:
    """Files of every sad kind; the mounts come with the namespaces."""
    scratch.chmod(0o755)
    for name in ("state", "full", "ro", "directory", "record-is-a-directory"):
        (scratch / name).mkdir()
    (scratch / "file").write_text("just a file\n")
    (scratch / "loop").symlink_to("loop")
    (scratch / "dangling").symlink_to("nowhere/at/all")
    (scratch / "binary").write_bytes(bytes(range(256)))
    os.mkfifo(scratch / "fifo")
    for name, text in (
        ("ends", "#!/bin/sh\necho some last words >&2\nexit 3\n"),
        ("succeeds", "#!/bin/sh\nexit 0\n"),
        ("stays", "#!/bin/sh\nexec sleep 1000\n"),
        ("no-interpreter", "#!/no/such/interpreter\n"),
        ("not-a-program", "words\n"),
    ):
        (scratch / name).write_text(text)
        (scratch / name).chmod(0o755)
    (scratch / "hostile").write_text(f"#!/usr/bin/python3 -IS\n{(HERE / 'hostile.py').read_text()}")
    (scratch / "hostile").chmod(0o755)


def judge(ended: Ended, words: list[str], level: int = 0, timeout_s: float = 30) -> None:
    """What must hold of every end."""
    action = words[0] if words else ""
    assert ended.code is not None, f"still at it after {ended.seconds:.1f} s"
    assert ended.code in LEGAL, ended
    assert ended.seconds < timeout_s + 1, f"took {ended.seconds:.1f} s of {timeout_s} s"
    assert "Traceback" not in ended.err + ended.out, ended.err
    assert "a defect of this agent" not in ended.err, ended.err
    assert len(ended.reasons) == (0 if ended.code in ROLE_CODES else 1), ended
    assert all(reason[len(PREFIX) :].strip() for reason in ended.reasons), ended
    assert not ended.err or ended.err.endswith("\n"), ended.err
    assert bool(ended.out) == (action == "meta-data"), "output is for metadata alone"
    if action == "stop":
        assert ended.code == 0, ended.err
    if action == "meta-data":
        assert (ended.code, ended.err) == (0, "")
    if action == "validate-all" and ended.code == 0 and level == 0:
        assert ended.err == "", "silent on success"


def complete(agent: Agent, scratch: Path) -> dict[str, str]:
    """Right values of what is required or has a default that this host has not."""
    found = {"ip": "192.0.2.77", "configdb": "kappa0/127.0.0.1:1", "user": "root", "binary": f"{scratch}/ends",
             "config": f"{scratch}/file", "log": f"{scratch}/state/log", "socket": f"{scratch}/state/s",
             "updater": f"{scratch}/succeeds", "telegram_url": "http://127.0.0.1:1",
             "router": "127.0.0.1:1"}  # fmt: skip
    return {name: value for name, value in found.items() if name in {one.name for one in agent.parameters}}


def patient(environment: dict[str, str]) -> dict[str, str]:
    """For a stop, which may have something to end, or to write: no busy machine makes it fail."""
    return {**environment, "OCF_RESKEY_CRM_meta_timeout": "20000"}


def walk(one: Many, words: list[str], environment: dict[str, str], real: bool = False) -> None:
    """The action, and a stop after what may have started something: nothing is left, and stop says so."""
    action = words[0] if words else ""
    level = 10 if environment.get("OCF_CHECK_LEVEL", "0") not in ("0", "") else 0
    if action == "stop":
        environment = patient(environment)
    allowed = 30.0 if action == "stop" else int(environment["OCF_RESKEY_CRM_meta_timeout"]) / 1000
    judge(one.run(words, environment, real=real), words, level, allowed)
    if action in ("start", "promote", "demote", "monitor"):
        again = one.run(["stop"], patient(environment), real=real)
        judge(again, ["stop"])
        # What a start forked and gave up may be a moment from its end.
        until(lambda: one.count() == 0, within_s=5)
        shutil.rmtree(one.scratch / "missing", ignore_errors=True)
