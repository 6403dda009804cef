"""Telegram's journal from a place on: what users did and received in one repetition."""

import json
from pathlib import Path
from typing import Any, Final

from kappa_lab.paths import STATE

FILE: Final = STATE / "journal" / "telegram.jsonl"


class Slice:
    """What is written after the slice was made; `read` reads on."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._at = file.stat().st_size
        self.lines: list[str] = []
        """Whole lines, in their order."""
        self._answered: list[tuple[float, str]] = []

    def read(self) -> None:
        with self._file.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.decode().splitlines():
            self.lines.append(line)
            event: dict[str, Any] = json.loads(line)
            if event["e"] == "answered":
                self._answered.append((event["t"], event["node"]))

    def answered(self, besides: str = "") -> list[float]:
        """When users received an answer, from any node but `besides`."""
        self.read()
        return [t for t, node in self._answered if node != besides]

    def first_update(self) -> int | None:
        self.read()
        updates = [json.loads(line) for line in self.lines if '"e":"update"' in line]
        return min((event["update_id"] for event in updates if event["update_id"] is not None), default=None)

    def unanswered(self) -> int:
        """So many updates have no answer yet."""
        self.read()
        found: dict[str, set[int]] = {"update": set(), "answered": set()}
        for line in self.lines:
            if '"e":"update"' in line or '"e":"answered"' in line:
                event = json.loads(line)
                found[event["e"]].add(event["update_id"])
        return len(found["update"] - found["answered"])
