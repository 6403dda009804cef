"""Predictions and warnings for a terminal, for a program, and for a page."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kappa_lab.predict.checks import Warned
from kappa_lab.predict.prediction import Prediction

Shown = Callable[[Sequence[Prediction], Sequence[Warned]], str]


def text(predictions: Sequence[Prediction], warned: Sequence[Warned]) -> str:
    lines: list[str] = []
    width = max((len(part.name) for one in predictions for part in one.parts), default=0)
    for one in predictions:
        lines += [f"{one.title} ({one.kind})"]
        if one.parts:
            lines.append(f"  {'':<{width}}  {'typical':>9}  {'worst':>9}")
        lines += [
            f"  {part.name:<{width}}  {_s(part.typical_s):>9}  {_s(part.worst_s):>9}  {part.source}"
            for part in one.parts
        ]
        if one.never:
            lines.append(f"  never: {one.never}")
        else:
            lines.append(f"  {'sum':<{width}}  {_s(one.typical_s):>9}  {_s(one.worst_s):>9}")
        lines += [*(f"  {note}" for note in one.notes), ""]
    lines.append("Warnings:" if warned else "No warnings.")
    lines += [f"  {one.name}: {one.subject}: {one.what} {one.why} {one.todo}" for one in warned]
    return "\n".join(map(_printable, lines))


def markdown(predictions: Sequence[Prediction], warned: Sequence[Warned]) -> str:
    lines: list[str] = []
    for one in predictions:
        lines += [f"### {_cell(one.title)} (`{one.kind}`)", ""]
        if one.parts:
            lines += ["| part | typical | worst | from |", "|---|---:|---:|---|"]
            lines += [
                f"| {_cell(part.name)} | {_s(part.typical_s)} | {_s(part.worst_s)} | {_cell(part.source)} |"
                for part in one.parts
            ]
        if one.never:
            lines += ["", f"Never: {_cell(one.never)}."]
        else:
            lines.append(f"| **sum** | **{_s(one.typical_s)}** | **{_s(one.worst_s)}** | |")
        lines += ["", *(f"{note}\n" for note in one.notes)]
    lines += ["### Warnings", ""]
    lines += [f"- **{one.name}** ({_cell(one.subject)}): {_cell(f'{one.what} {one.why} {one.todo}')}" for one in warned]
    return "\n".join(map(_printable, "\n".join(lines if warned else [*lines, "None."]).split("\n")))


def as_json(predictions: Sequence[Prediction], warned: Sequence[Warned]) -> str:
    told = [{**dataclasses.asdict(one), "typical_s": one.typical_s, "worst_s": one.worst_s} for one in predictions]
    return json.dumps({"predictions": told, "warnings": [dataclasses.asdict(one) for one in warned]}, indent=2)


def _s(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _printable(line: str) -> str:
    """Names come from files: none of them may steer the terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


FORMATS: Final[Mapping[str, Shown]] = {"text": text, "json": as_json, "markdown": markdown}
