"""Put every check to an agent, in a process of its own, and bring back the results."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from resource_agents.commands.conformance import of_metadata, of_usage, of_lifecycle, of_every_run  # isort: skip
from resource_agents.commands.conformance.registry import (
    CHECKS,
    FAIL,
    METADATA,
    NOT_APPLICABLE,
    PASS,
    UNTOUCHED,
    WORKING,
    Broken,
    Check,
    Inapplicable,
    Result,
)
from resource_agents.commands.conformance.subject import Subject

MODULES = (of_metadata, of_usage, of_lifecycle, of_every_run)


@dataclass(frozen=True)
class Report:
    """One agent's results. agent_version and ocf_version are as its metadata says, "" when unread."""

    agent: str
    name: str
    agent_version: str
    ocf_version: str
    parameters: tuple[str, ...]
    results: tuple[Result, ...]
    seconds: float

    def count(self, verdict: str) -> int:
        return sum(one.verdict == verdict for one in self.results)


def judge(
    agent: Path,
    parameters: Mapping[str, str],
    *,
    lifecycle: bool,
    only: Sequence[str] = (),
    timeout_s: float | None = None,
    schema: Path | None = None,
) -> Report:
    """Raises RuntimeError when it could not be judged at all."""
    return in_a_child(lambda: _judge(agent, parameters, lifecycle, only, timeout_s, schema))


def in_a_child(work: Callable[[], Report]) -> Report:
    """In a child that becomes the parent of whatever the agent starts, and ends it all before it ends itself."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            # Ours alone, and not the terminal's: an interrupt goes to the parent, which ends us.
            os.setpgid(0, 0)
            report = work()
            with os.fdopen(writing, "w", encoding="utf-8") as out:
                json.dump(asdict(report), out)
            code = 0
        except BaseException as error:
            os.write(writing, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        finally:
            os._exit(code)
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as source:
            answer = source.read()
    except BaseException:
        os.kill(child, signal.SIGTERM)
        raise
    finally:
        os.waitpid(child, 0)
    made = json.loads(answer or '{"error": "the judging process was killed"}')
    if "error" in made:
        raise RuntimeError(made["error"])
    results = tuple(Result(**one) for one in made.pop("results"))
    return Report(**{**made, "parameters": tuple(made["parameters"]), "results": results})


def ended(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _judge(
    agent: Path,
    parameters: Mapping[str, str],
    lifecycle: bool,
    only: Sequence[str],
    timeout_s: float | None,
    schema: Path | None,
) -> Report:
    began = time.monotonic()
    signal.signal(signal.SIGTERM, ended)
    state = Path(tempfile.mkdtemp(prefix="conform-"))
    state.chmod(0o755)  # a service may run as another user
    subject = Subject(agent, parameters, lifecycle=lifecycle, state=state, timeout_s=timeout_s, schema=schema)
    try:
        subject.learn()
        results = tuple(_put(one, subject) for one in CHECKS if not only or one.name in only)
    finally:
        if subject.lifecycle:
            subject.put_away()
        subject.supervisor.kill_offspring()
        shutil.rmtree(state, ignore_errors=True)
    known = subject.metadata
    return Report(
        agent=str(agent),
        name=known.name if known else agent.name,
        agent_version=known.agent_version if known else "",
        ocf_version=known.ocf_version if known else "",
        parameters=tuple(sorted(parameters)),
        results=results,
        seconds=time.monotonic() - began,
    )


def verdict_of(ask: Callable[[], str]) -> tuple[str, str]:
    """What a check comes to, and its evidence."""
    try:
        return PASS, ask()
    except Broken as broken:
        return FAIL, str(broken)
    except Inapplicable as why:
        return NOT_APPLICABLE, str(why)
    except OSError as error:
        return FAIL, f"it cannot be executed: {error.strerror or error}"


def _put(one: Check, subject: Subject) -> Result:
    began = time.monotonic()

    def ask() -> str:
        _needs(one, subject)
        return one.run(subject)

    try:
        verdict, evidence = verdict_of(ask)
    finally:
        if one.needs == WORKING and subject.lifecycle:
            subject.put_away()
    return Result(one.name, one.group, verdict, " ".join(evidence.split()), time.monotonic() - began)


def _needs(one: Check, subject: Subject) -> None:
    if one.needs and subject.metadata is None:
        raise Inapplicable("its metadata cannot be read")
    if one.needs in (UNTOUCHED, WORKING) and subject.already:
        raise Inapplicable(subject.already)
    if one.needs == WORKING and not subject.lifecycle:
        raise Inapplicable("needs working parameters: give --param, or --defaults if its defaults will do")
    if one.group == of_lifecycle.GROUP and subject.unstartable:
        raise Inapplicable(subject.unstartable)
    if one.needs not in ("", METADATA, UNTOUCHED, WORKING):
        raise ValueError(f"{one.name} needs {one.needs}")
