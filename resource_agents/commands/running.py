"""Run an agent as Pacemaker's executor does: its environment, a process group of its own, killed at its time-out."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

REASON = "ocf-exit-reason:"
FEATURE_SET = "3.16.1"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Ended:
    """How an action ended. code: the exit code, or minus the signal. killed: by us, on purpose."""

    words: tuple[str, ...]
    code: int
    timed_out: bool
    killed: bool
    out: str
    err: str
    seconds: float
    timeout_s: float

    @property
    def action(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def reasons(self) -> list[str]:
        """What follows `ocf-exit-reason:`, a line each."""
        lines = self.err.splitlines()
        return [line[len(REASON) :].strip() for line in lines if line.startswith(REASON)]

    @property
    def last_words(self) -> str:
        """The reason, else the last line it wrote, for a sentence about it."""
        lines = self.reasons[-1:] or [line for line in (self.err + self.out).splitlines() if line.strip()][-1:]
        return lines[0].strip()[:300] if lines else "no word"

    def __str__(self) -> str:
        how = "no end within its time-out" if self.timed_out else f"killed by signal {-self.code}"
        return f"{' '.join(self.words)}: {self.code if self.code >= 0 and not self.timed_out else how}"


def environment(
    agent: Path,
    parameters: Mapping[str, str],
    *,
    instance: str = "by-hand",
    action: str = "monitor",
    timeout_s: float = 20.0,
    interval_s: float = 0.0,
    level: int | None = None,
) -> dict[str, str]:
    """What Pacemaker 2.1 gives an agent, from an otherwise empty environment: times in milliseconds, no __OCF_ACTION.

    OCF_ROOT follows the agent's own path, so that one in a tree of its own finds its own library.
    """
    provider = agent.parent
    installed = provider.parent.name == "resource.d"
    variables = {
        "PATH": PATH,
        "OCF_ROOT": str(provider.parent.parent) if installed else "/usr/lib/ocf",
        "OCF_RA_VERSION_MAJOR": "1",
        "OCF_RA_VERSION_MINOR": "1",
        "OCF_EXIT_REASON_PREFIX": REASON,
        "OCF_RESOURCE_INSTANCE": instance,
        "OCF_RESOURCE_PROVIDER": provider.name if installed else "kappa",
        "OCF_RESOURCE_TYPE": agent.name,
        "OCF_RESKEY_crm_feature_set": FEATURE_SET,
        "OCF_RESKEY_CRM_meta_name": action,
        "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
        "OCF_RESKEY_CRM_meta_interval": str(round(interval_s * 1000)),
        "OCF_RESKEY_CRM_meta_on_node": os.uname().nodename,
        "OCF_RESKEY_CRM_meta_on_node_uuid": "1",
    }
    if level is not None:
        # Pacemaker hands an operation's own attributes on twice: as they are, and as parameters.
        variables |= {"OCF_CHECK_LEVEL": str(level), "OCF_RESKEY_OCF_CHECK_LEVEL": str(level)}
    return variables | {f"OCF_RESKEY_{name}": value for name, value in parameters.items()}


@dataclass
class Running:
    """A started agent. What it writes goes to files: a daemon that keeps them open keeps nobody waiting."""

    words: tuple[str, ...]
    process: subprocess.Popen[bytes]
    out: IO[bytes]
    err: IO[bytes]
    began: float
    timeout_s: float

    def kill(self) -> None:
        """Agent and helpers at once, as Pacemaker does at a time-out."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def ended(self, code: int, at: float, *, timed_out: bool = False, killed: bool = False) -> Ended:
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read(1 << 20).decode("utf-8", "replace"))
            file.close()
        return Ended(self.words, code, timed_out, killed, texts[0], texts[1], at - self.began, self.timeout_s)


def begin(
    agent: Path,
    words: Sequence[str],
    variables: Mapping[str, str],
    timeout_s: float,
    user: int | None = None,
    directory: str = "/",
    given: bytes = b"",
) -> Running:
    """Start it, with `given` on its standard input. Raises OSError when it cannot be executed."""
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed by Running.ended
    source = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, as soon as the agent has it
    source.write(given)
    source.seek(0)
    began = time.monotonic()
    process = subprocess.Popen(
        [str(agent), *words],
        env=dict(variables),
        cwd=directory,
        stdin=source if given else subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
    source.close()
    return Running(tuple(words), process, out, err, began, timeout_s)


def run(agent: Path, words: Sequence[str], variables: Mapping[str, str], timeout_s: float) -> Ended:
    """Start it and wait for its end, which comes at `timeout_s` at the latest. Raises OSError."""
    running = begin(agent, words, variables, timeout_s)
    try:
        code = running.process.wait(timeout_s)
        return running.ended(code, time.monotonic())
    except subprocess.TimeoutExpired:
        running.kill()
        running.process.wait()
        return running.ended(-signal.SIGKILL, time.monotonic(), timed_out=True)
    except BaseException:
        running.kill()
        raise
