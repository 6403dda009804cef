"""The evidence of one drill: its segment of what each witness wrote, gathered into its folder."""

import contextlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from kappa_lab import lab, power
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import STATE
from kappa_lab.segments import aside
from kappa_lab.topology import NODES

JOURNALS: Final = STATE / "journal"
TELEGRAM: Final = "telegram.jsonl"
WATCHERS: Final[Mapping[str, tuple[str, ...]]] = {
    "kappa-lab-watcher": ("wire.jsonl",),
    "kappa-lab-lease": ("lease.jsonl",),
}
"""The containers that watch while a lab stands, and what each writes: on SIGHUP it begins a new segment of all."""
SEGMENT_S: Final = 10.0
UNREAD: Final = ("apt", "dpkg.log")


def rotate() -> dict[str, Path]:
    """Begin a new segment of every witness's file; where the ended ones lie. A witness that does not answer is left
    out."""
    ended: dict[str, Path] = {}
    due: dict[str, Path] = {}
    for container, names in WATCHERS.items():
        due |= {name: aside(JOURNALS / name) for name in names}
        with contextlib.suppress(LabError):
            docker("kill", "--signal", "HUP", container, doing=f"asking {container} for a new segment")
    with contextlib.suppress(LabError):
        ended[TELEGRAM] = JOURNALS / str(lab.telegram("POST", "/journal/rotate", {})["journal"])
    end = time.monotonic() + SEGMENT_S
    while due and time.monotonic() < end:
        for name, file in list(due.items()):
            if file.exists():
                ended[name] = due.pop(name)
        time.sleep(0.02 if due else 0)
    return ended


@dataclass
class Before:
    """How long the nodes' logs were when the drill began: what it keeps of them is what came after."""

    lengths: dict[Path, int] = field(default_factory=dict)

    @classmethod
    def now(cls) -> "Before":
        return cls({file: file.stat().st_size for file in _log_files()})


def _log_files() -> list[Path]:
    return [
        file
        for node in NODES
        for file in (STATE / "log" / node.name).glob("**/*")
        if file.is_file() and not set(UNREAD) & set(file.parts)
    ]


def keep_logs(folder: Path, before: Before) -> None:
    """Keep the nodes' own logs beside the report: whoever doubts it wants to read them."""
    for source in _log_files():
        with contextlib.suppress(OSError):  # a log that is turned over meanwhile is no reason to lose the rest
            with source.open("rb") as log:
                length = before.lengths.get(source, 0)
                log.seek(length if length <= source.stat().st_size else 0)
                new = log.read()
            if new:
                kept = folder / "logs" / source.relative_to(STATE / "log")
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(new)


def collect(folder: Path, since: float) -> None:
    """Gather the evidence. What cannot be had is left out: the judge fails a drill for it by name."""
    with contextlib.suppress(LabError):
        held = docker(
            "exec", "kappa-lab-mongo1", "python", "-m", "kappa_lab.mongodb.records", "--uri", lab.REPLICA_SET,
            "--user", "kappa_judge", "--password-file", "/lab/secrets/mongodb-judge.password", "--out", "-",
            doing="Reading what MongoDB holds", timeout=60,
        )  # fmt: skip
        (folder / "records.json").write_text(held)
    ended = rotate()
    for name in (TELEGRAM, *chain.from_iterable(WATCHERS.values())):
        # without a segment that was ended in good order there is the one that was not, and the judge sees it
        with contextlib.suppress(OSError):
            shutil.copyfile(ended.get(name, JOURNALS / name), folder / name)
    (folder / "power.jsonl").write_text("".join(f"{line}\n" for line in _audit(since)))


def _audit(since: float) -> list[str]:
    """The brokers' audit from then on, and the line before: an audit that says nothing is not one that is lost."""
    lines = power.audit()
    before = sum(_t(line) < since for line in lines)
    return lines[max(0, before - 1) :]


def _t(line: str) -> float:
    try:
        return float(json.loads(line)["t"])
    except (ValueError, TypeError, KeyError):
        return float("inf")  # whoever judges says what is wrong with it
