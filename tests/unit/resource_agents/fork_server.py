"""Runs an agent thousands of times: loaded once, a fork for each run, through the same entry as the installed launcher.

    fork_server.py LIBRARY MODULE LAUNCHER

It is the first process of a namespace of its own, so whatever a run leaves behind comes to it and is counted. Reads
marshalled requests and answers each:

    ("run", words, environment, limit_s)    (exit code or None after limit_s, out, err, seconds, processes left)
    ("exec", words, environment, limit_s)   the same, as a real process: the launcher with an interpreter of its own
    ("batch", [(words, environment, (file, its content) or None)...], limit_s)
                                            all in one process, for what starts nothing; answers with as many
                                            (exit code, out, err, seconds) as came to their end
    ("life",)                               what a record must say to be of this life of the machine
    ("spawn", argv, record)                 starts a program in a session of its own, on record as an agent would
    ("count",)                              how many processes there are beside itself
    ("kill",)                               ends everything but itself; answers how many there were
"""

import io
import marshal
import os
import select
import sys
import time

library, module, launcher = sys.argv[1:4]
sys.path.insert(0, library)

from resource_agents.host import processes  # noqa: E402

agent = __import__(f"resource_agents.{module}", fromlist=["AGENT"]).AGENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def others() -> "list[int]":
    reap()
    return [one.pid for one in processes.every_process() if one.pid != os.getpid()]


def become(kind: str, words: "list[str]", environment: "dict[str, str]", out: int, err: int) -> "NoReturn":
    for handle, target in ((os.open("/dev/null", os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(handle, target)
    os.closerange(3, 64)
    os.chdir("/")
    if kind == "exec":
        os.execve(launcher, [launcher, *words], environment)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [launcher, *words]
    agent.main()
    raise AssertionError("an agent ends its process")


def run(kind: str, words: "list[str]", environment: "dict[str, str]", limit_s: float) -> "tuple[object, ...]":
    out, err = os.memfd_create("out"), os.memfd_create("err")
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            become(kind, words, environment, out, err)
        finally:
            os._exit(99)
    watch = os.pidfd_open(pid)
    ended, _, _ = select.select([watch], [], [], limit_s)
    took = time.monotonic() - began
    if not ended:
        os.kill(pid, 9)
    _, status = os.waitpid(pid, 0)
    said = [os.pread(handle, 1 << 20, 0) for handle in (out, err)]
    for handle in (watch, out, err):
        os.close(handle)
    return (os.waitstatus_to_exitcode(status) if ended else None, *said, took, len(others()))


def each(cases: "list[tuple[list[str], dict[str, str], tuple[str, bytes] | None]]", answers: int) -> None:
    """Run them in this process, from the agent's guarded run on, and write down each end."""
    out, err = os.memfd_create("out"), os.memfd_create("err")
    for handle, target in ((os.open("/dev/null", os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(handle, target)
    os.chdir("/")
    for words, environment, record in cases:
        if record:
            with open(record[0], "wb") as file:  # noqa: PTH123 - as the agents: without pathlib
                file.write(record[1])
        os.environ.clear()
        os.environ.update(environment)
        began = time.monotonic()
        code = agent.run(words, os.environ)
        took = time.monotonic() - began
        said = []
        for handle in (out, err):
            said.append(os.pread(handle, 1 << 16, 0))
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
        if record:
            processes.forget(record[0])
        os.write(answers, marshal.dumps((code, said[0][:200], said[1], took)))


def batch(cases: "list[tuple[list[str], dict[str, str], tuple[str, bytes] | None]]", limit_s: float) -> "list[object]":
    reading, answers = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            each(cases, answers)
        finally:
            os._exit(0)
    os.close(answers)
    end = time.monotonic() + limit_s
    whole = b""
    while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
        more = os.read(reading, 1 << 20)
        if not more:
            break
        whole += more
    else:
        os.kill(pid, 9)
    os.close(reading)
    os.waitpid(pid, 0)
    ended: list[object] = []
    file = io.BytesIO(whole)
    while True:
        try:
            ended.append(marshal.load(file))
        except (EOFError, ValueError):
            return ended


def spawn(argv: "list[str]", record: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            os.dup2(os.open("/dev/null", os.O_RDWR), 0)
            os.dup2(0, 1)
            os.closerange(3, 64)
            os.execv(argv[0], argv)
        finally:
            os._exit(99)
    if record:
        born = processes.process(pid)
        assert born
        processes.write_record(record, pid, born.start)
    return pid


def kill() -> int:
    victims = others()
    while others():
        for pid in others():
            os.kill(pid, 9)
        time.sleep(0.01)
    return len(victims)


while True:
    try:
        request = marshal.load(sys.stdin.buffer)
    except EOFError:
        break
    answer: object
    if request[0] == "spawn":
        answer = spawn(*request[1:])
    elif request[0] == "count":
        answer = len(others())
    elif request[0] == "batch":
        answer = batch(*request[1:])
    elif request[0] == "life":
        answer = processes.life()
    elif request[0] == "kill":
        answer = kill()
    else:
        answer = run(*request)
    sys.stdout.buffer.write(marshal.dumps(answer))  # type: ignore[arg-type]
    sys.stdout.buffer.flush()
