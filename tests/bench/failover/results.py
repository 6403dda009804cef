"""What was measured, as it is kept in failover.json, and the table of it. Pure but for reading and writing the file."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

CONFIGURATIONS: Final = ("stock", "ours")
FAULTS: Final[Mapping[str, str]] = {
    "bot-dead": "the bot's process dies",
    "nginx-dead": "Nginx dies",
    "address-deleted": "the virtual IP is deleted",
    "planned-move": "planned move",
    "node-lost": "the node loses its power",
}
BY_HTTP: Final = frozenset({"nginx-dead", "address-deleted"})
"""Faults of what serves HTTP on the virtual IP: of those, how long it did not."""

Json = dict[str, Any]
Sample = Mapping[str, float]
"""One repetition: `rto_s`, `updates_sent`, `updates_lost`, `records_duplicated`."""


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed: one that was really measured."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def summed(samples: Sequence[Sample]) -> Json:
    """One fault in one configuration, of all its repetitions; the samples stay with it, so that more can be added."""
    times = [sample["rto_s"] for sample in samples]
    return {
        "rto_s": {
            "min": round(min(times), 2),
            "median": round(statistics.median(times), 2),
            "p95": round(percentile(times, 95), 2),
            "max": round(max(times), 2),
        },
        "repetitions": len(samples),
        **{
            key: sum(int(sample[key]) for sample in samples)
            for key in ("updates_sent", "updates_lost", "records_duplicated")
        },
        "samples": [dict(sample) for sample in samples],
    }


def samples(found: Mapping[str, Any], configuration: str, fault: str) -> list[Sample]:
    """What has been measured so far."""
    return list(found.get(configuration, {}).get(fault, {}).get("samples", []))


def plus(found: Mapping[str, Any], configuration: str, fault: str, sample: Sample) -> Json:
    """`found` with one more repetition."""
    return with_samples(found, configuration, fault, [*samples(found, configuration, fault), sample])


def with_samples(found: Mapping[str, Any], configuration: str, fault: str, kept: Sequence[Sample]) -> Json:
    """`found` with these repetitions in the place of those it had; without any, the fault is not in it."""
    of = {key: value for key, value in found.get(configuration, {}).items() if key != fault}
    if kept:
        of[fault] = summed(kept)
    ordered = {key: of[key] for key in FAULTS if key in of}
    return {key: value for key, value in {**found, configuration: ordered}.items() if value}


def read(file: Path) -> Json:
    """What the file holds; nothing where there is none. Raises ValueError for a file that is none of ours."""
    try:
        found = json.loads(file.read_text())
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict) or set(found) - set(CONFIGURATIONS):
        raise ValueError(f"{file} holds something else than recovery times")
    return found


def write(found: Mapping[str, Any], file: Path) -> None:
    """Whole or not at all: an interrupted run leaves what it had."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.new")
    half.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    half.replace(file)


def table(found: Mapping[str, Any]) -> list[str]:
    """In Markdown, a line for each fault and configuration."""
    lines = [
        "| fault | | RTO s: min | median | p95 | max | updates lost | places stored twice | n |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for fault, title in FAULTS.items():
        for configuration in CONFIGURATIONS:
            of = found.get(configuration, {}).get(fault)
            if of is None:
                continue
            times = " | ".join(f"{of['rto_s'][key]:.1f}" for key in ("min", "median", "p95", "max"))
            lost = f"{of['updates_lost']} of {of['updates_sent']}"
            name = f"{title}{'*' if fault in BY_HTTP else ''}"
            lines.append(
                f"| {name} | {configuration} | {times} | {lost} | {of['records_duplicated']} | {of['repetitions']} |"
            )
    return lines


def phases(count: int, draws: Iterable[float], first_s: float, length_s: float) -> list[float]:
    """`count` moments spread over `length_s` seconds from `first_s` on, one in each of as many equal parts of them.

    `draws`: where in its part each lies, from 0 to 1.
    """
    return [first_s + (n + draw) * length_s / count for n, draw in zip(range(count), draws, strict=False)]
