"""Run an agent as Pacemaker does: a process, an environment, an exit code. And refuse impossible endings."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LEGAL = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 190, 191}
PREFIX = "ocf-exit-reason:"


@dataclass(frozen=True)
class Ended:
    """How an action ended. `reason` is the text after `ocf-exit-reason:`, "" after success."""

    code: int
    out: str
    err: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class Agents:
    """Agents installed under a root of their own, with a state directory of their own."""

    root: Path
    state: Path
    instance: str = "under-test"
    wrapper: tuple[str, ...] = ()
    """Words put before the agent: `nsenter`, `unshare`, ..."""

    def path(self, agent: str) -> Path:
        return self.root / "usr/lib/ocf/resource.d/kappa" / agent

    def environment(
        self, parameters: Mapping[str, object], timeout_s: float = 20, interval_s: float = 10, level: int = 0
    ) -> dict[str, str]:
        """What Pacemaker 2.1 gives an agent, from an otherwise empty environment."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1",
            "OCF_EXIT_REASON_PREFIX": PREFIX,
            "OCF_RESOURCE_INSTANCE": self.instance,
            "OCF_RESOURCE_PROVIDER": "kappa",
            "OCF_CHECK_LEVEL": str(level),
            "OCF_RESKEY_crm_feature_set": "3.16.1",
            "OCF_RESKEY_CRM_meta_timeout": str(round(timeout_s * 1000)),
            "OCF_RESKEY_CRM_meta_interval": str(round(interval_s * 1000)),
            "OCF_RESKEY_CRM_meta_on_node": "node1",
            "HA_RSCTMP": str(self.state),
            **{f"OCF_RESKEY_{name}": str(value) for name, value in parameters.items()},
        }

    def start_process(
        self, agent: str, words: Sequence[str], environment: Mapping[str, str], path: "Path | None" = None
    ) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.wrapper, str(path or self.path(agent)), *words],
            env=dict(environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def run(
        self,
        agent: str,
        action: str,
        parameters: Mapping[str, object] | None = None,
        *,
        more: Sequence[str] = (),
        timeout_s: float = 20,
        interval_s: float = 10,
        level: int = 0,
    ) -> Ended:
        """Run it to its end, which must come within the operation's timeout."""
        environment = self.environment(parameters or {}, timeout_s, interval_s, level)
        began = time.monotonic()
        process = self.start_process(agent, [action, *more], environment)
        return finish(process, began, timeout_s)


def finish(process: subprocess.Popen[str], began: float, timeout_s: float) -> Ended:
    """Wait for the end and check what must hold of every end."""
    try:
        # A daemon that kept the agent's standard error open would make this wait, as it would make Pacemaker wait.
        out, err = process.communicate(timeout=timeout_s + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"not ended {timeout_s + 5} s after its start; its timeout was {timeout_s} s") from None
    took = time.monotonic() - began
    assert took < timeout_s + 1, f"took {took:.1f} s of {timeout_s} s"
    reasons = [line[len(PREFIX) :] for line in err.splitlines() if line.startswith(PREFIX)]
    assert process.returncode in LEGAL, f"exit code {process.returncode} is not OCF's: {err}"
    assert "Traceback" not in err + out, err
    assert "a defect of this agent" not in err, err
    assert len(reasons) == (0 if process.returncode in (0, 8) else 1), (
        f"exit code {process.returncode} with {reasons}: {err}"
    )
    assert all(reason.strip() for reason in reasons), err
    return Ended(process.returncode, out, err, "".join(reasons), took)


def until(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    """Poll until it holds."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"did not come true within {within_s} s"
        time.sleep(0.02)


def recorded_pid(agents: Agents, agent: str) -> int:
    return int((agents.state / f"kappa-{agent}-{agents.instance}.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    """Runs, and is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
