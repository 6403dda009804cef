"""Start a program of the host, and turn its failure into one sentence."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kappa_lab.errors import LabError


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def run(
    args: Sequence[str | Path],
    *,
    doing: str,
    hint: str = "",
    log: Path | None = None,
    timeout: float = 900,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Run `args` to its end and return its stdout.

    With `log`, both streams go to that file instead (and "" is returned). Raises LabError, naming what was being done
    (`doing`) and the last line that the program said, when it cannot be started, fails, or takes over `timeout` s.
    """
    command = [str(a) for a in args]
    full_env = {**os.environ, **env} if env else None
    try:
        if log is None:
            ran = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=timeout,
                env=full_env,
                cwd=cwd,
                input=stdin or "",
                check=False,
            )
            said = ran.stderr.strip() or ran.stdout
        else:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as out:
                ran = subprocess.run(
                    command, stdout=out, stderr=subprocess.STDOUT, text=True, timeout=timeout, env=full_env, cwd=cwd,
                    stdin=subprocess.DEVNULL, check=False,
                )  # fmt: skip
            said = log.read_text(errors="replace")
    except FileNotFoundError:
        raise LabError(
            f"{doing}: the program {command[0]} is not installed.",
            hint or "`sudo make deps` installs what the lab needs.",
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{doing}: {command[0]} had not ended after {timeout:.0f} s.", hint) from None
    if ran.returncode != 0:
        where = f" (all of it: {log})" if log else ""
        raise LabError(f"{doing}: {Path(command[0]).name} ended with {ran.returncode}: {last_line(said)}{where}.", hint)
    return ran.stdout or ""


def pid_in(pidfile: Path) -> int | None:
    """The pid that a daemon has written there, if that very program is running: one whose command names this file."""
    try:
        number = int(pidfile.read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if str(pidfile).encode() in command else None
