"""What corosync.conf says of how long a lost node takes to be noticed, and of quorum."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from kappa_lab.errors import LabError

TOKEN_MS: Final = 3000.0
"""Corosync's default since 3.1; before that it was 1000."""
COEFFICIENT_MS: Final = 650.0
CONSENSUS_PER_TOKEN: Final = 1.2

Setting = tuple[tuple[str, ...], str, str]
"""The sections that it is in, each with its number (`node#2`), its key, and its value."""


@dataclass(frozen=True)
class Corosync:
    token_s: float
    """The token as it is in effect: with the extra time per node beyond the second."""
    consensus_s: float
    nodes: tuple[str, ...]
    votequorum: bool
    quorum_device: bool

    @property
    def detection_s(self) -> float:
        return self.token_s + self.consensus_s


def read(text: str, name: str = "corosync.conf") -> Corosync:
    """Raises LabError naming the line or the key that is wrong."""
    settings = list(_settings(text, name))
    if not any(path[0] == "totem#1" for path, _, _ in settings if path):
        raise LabError(f"{name} has no totem section; give the corosync.conf of the cluster.")
    totem = {key: value for path, key, value in settings if path == ("totem#1",)}
    nodes = _nodes(settings)
    token = _milliseconds(totem, "token", TOKEN_MS, name)
    extra = _milliseconds(totem, "token_coefficient", COEFFICIENT_MS, name) * max(0, len(nodes) - 2)
    real = token + extra
    consensus = _milliseconds(totem, "consensus", CONSENSUS_PER_TOKEN * real, name)
    return Corosync(
        token_s=real / 1000,
        consensus_s=consensus / 1000,
        nodes=nodes,
        votequorum=any(
            len(path) == 1 and path[0].startswith("quorum#") and (key, value) == ("provider", "corosync_votequorum")
            for path, key, value in settings
        ),
        quorum_device=any(len(path) == 2 and path[1].startswith("device#") for path, _, _ in settings),
    )


def _nodes(settings: list[Setting]) -> tuple[str, ...]:
    names: dict[tuple[str, ...], str] = {}
    for path, key, value in settings:
        if len(path) == 2 and path[0].startswith("nodelist#") and path[1].startswith("node#"):
            names.setdefault(path, path[1])
            if key == "name":
                names[path] = value
    return tuple(names.values())


def _milliseconds(totem: dict[str, str], key: str, default: float, name: str) -> float:
    value = totem.get(key)
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise LabError(f"{name}: totem.{key} is {value[:40]!r}; it must be a whole number of milliseconds.")
    # Corosync takes a timeout of 0 for "not given"
    return float(value) if int(value) or key == "token_coefficient" else default


def _settings(text: str, name: str) -> Iterator[Setting]:
    path: list[str] = []
    seen: dict[tuple[str, ...], int] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.endswith("{"):
            section = line[:-1].strip()
            nth = seen[(*path, section)] = seen.get((*path, section), 0) + 1
            path.append(f"{section}#{nth}")
        elif line == "}":
            if not path:
                raise LabError(f"{name}, line {number}: a section is closed that was not opened.")
            path.pop()
        elif ":" in line:
            key, value = line.split(":", 1)
            yield tuple(path), key.strip(), value.strip()
        else:
            raise LabError(f"{name}, line {number}: {line[:40]!r} is neither a section nor `key: value`.")
    if path:
        raise LabError(f"{name}: the section {path[-1].split('#')[0]!r} is not closed.")
