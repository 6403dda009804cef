"""Read what witnesses wrote, trusting nothing: a value is of the declared type, or there is a sentence on what is not.

The declarations are the dataclasses of `history`; there is no second schema that could differ from them.
"""

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from kappa_lab.judge.history import Event

T = TypeVar("T")
E = TypeVar("E", bound=Event)
MOST_NAMED = 3
"""So many faults of one file are named; the rest is counted."""
LATEST = 1e11
"""No time is later than this (the year 5138): what is beyond is not epoch seconds."""


SCALARS: Final = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}


class MisshapenError(Exception):
    """A value that is not what the history's types declare."""


def shape(kind: type[T], value: object, where: str = "") -> T:
    """`value`, as parsed from JSON, as a `kind`; raises MisshapenError with the path of what does not fit."""
    return typing.cast(T, _shape(kind, value, where))


def _shape(kind: Any, value: object, where: str) -> object:
    if kind in SCALARS:  # first, because nearly every value is one
        return _scalar(kind, value, where)
    if kind is object:
        return value
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(kind), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise MisshapenError(f"{where} is not a list")
        return tuple(_shape(typing.get_args(kind)[0], item, f"{where}[{n}]") for n, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        inner = typing.get_args(kind)[1]
        return {name: _shape(inner, item, f"{where}.{name}") for name, item in _mapping(value, where).items()}
    assert dataclasses.is_dataclass(kind), kind
    return _dataclass(typing.cast(type, kind), value, where)


def _one_of(kinds: tuple[Any, ...], value: object, where: str) -> object:
    if value is None and types.NoneType in kinds:
        return None
    problem: MisshapenError | None = None
    for kind in kinds:
        if kind is types.NoneType:
            continue
        try:
            return _shape(kind, value, where)
        except MisshapenError as misshapen:
            problem = problem or misshapen
    assert problem is not None
    raise problem


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MisshapenError(f"{where or 'it'} is not an object")
    return value


@functools.cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((f.name, hints[f.name], f.default is dataclasses.MISSING) for f in dataclasses.fields(kind))


def _dataclass(kind: type, value: object, where: str) -> object:
    given = _mapping(value, where)
    found: dict[str, object] = {}
    for name, hint, required in _fields(kind):
        path = f"{where}.{name}" if where else name
        if name in given:
            found[name] = _shape(hint, given[name], path)
        elif required:
            raise MisshapenError(f"{path} is missing")
    return kind(**found)


def _scalar(kind: type, value: object, where: str) -> object:
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise MisshapenError(f"{where} is not {SCALARS[kind]}")
        if not -LATEST < value < LATEST or not math.isfinite(value):
            raise MisshapenError(f"{where} is not a time or a length that can be")
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise MisshapenError(f"{where} is not {SCALARS[kind]}")
    return value


def read_object(path: Path, kind: type[T], problems: list[str]) -> T | None:
    """The one JSON object in `path` as a `kind`; None, and a sentence added to `problems`, when it is not there."""
    text = _text(path, problems)
    if text is None:
        return None
    try:
        return shape(kind, json.loads(text))
    except MisshapenError as misshapen:
        problems.append(f"{path.name}: {misshapen}.")
    except (ValueError, RecursionError):
        problems.append(f"{path.name} is not whole JSON.")
    return None


def read_lines(path: Path, kinds: Mapping[str, type[Event]], problems: list[str]) -> tuple[Event, ...] | None:
    """The events in a file of JSON lines, told apart by their `e`, in the order of the file.

    None when there is no file or nothing in it. Lines that cannot be read are sentences in `problems`; the others are
    returned all the same, so that a report can still show what is known.
    """
    return _lines(path, lambda value: kinds.get(str(value.get("e"))), problems)


def read_audit(path: Path, kind: type[E], problems: list[str]) -> tuple[E, ...] | None:
    """The same, of a file whose lines are all of one kind and say nothing of it."""
    return typing.cast("tuple[E, ...] | None", _lines(path, lambda _: kind, problems))


def _lines(
    path: Path, choose: Callable[[dict[str, object]], type[Event] | None], problems: list[str]
) -> tuple[Event, ...] | None:
    text = _text(path, problems)
    if text is None:
        return None
    wrong: list[str] = []
    events: list[Event] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict):
                raise MisshapenError("it is not an object")
            kind = choose(value)
            if kind is not None:
                events.append(shape(kind, value))
        except MisshapenError as misshapen:
            wrong.append(f"{path.name} line {number}: {misshapen}.")
        except (ValueError, RecursionError):
            wrong.append(f"{path.name} line {number} is not whole JSON.")
    if not text.endswith("\n"):
        wrong.append(f"{path.name} is cut off: its last line does not end.")
    problems.extend(some(wrong, f"faults in {path.name}"))
    return tuple(events)


def _text(path: Path, problems: list[str]) -> str | None:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        problems.append(f"{path.name} is missing.")
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        problems.append(f"{path.name} is not text (UTF-8).")
    else:
        if text.strip():
            return text
        problems.append(f"{path.name} is empty.")
    return None


def some(sentences: list[str], what: str) -> list[str]:
    """The first few sentences, and one that counts the rest."""
    if len(sentences) <= MOST_NAMED + 1:
        return sentences
    return [*sentences[:MOST_NAMED], f"{len(sentences) - MOST_NAMED} more {what} of this kind."]
