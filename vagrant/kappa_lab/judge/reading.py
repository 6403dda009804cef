"""Read what witnesses wrote, trusting nothing: a value is of the declared type, or there is a sentence on what is not.

The declarations are the dataclasses of `history`; there is no second schema that could differ from them.
"""

import dataclasses
import functools
import json
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

    def __init__(self, said: str, where: str = "") -> None:
        self.said, self.where = said, where

    def inside(self, place: str) -> "MisshapenError":
        """The same fault, as it is to be told one level further out: `place` is `.name` or `[number]`."""
        return MisshapenError(self.said, place + self.where)

    def __str__(self) -> str:
        return f"{self.where.removeprefix('.') or 'it'} {self.said}"


Reader = Callable[[Any], Any]


def shape(kind: type[T], value: object) -> T:
    """`value`, as parsed from JSON, as a `kind`; raises MisshapenError with the path of what does not fit."""
    return typing.cast(T, _reader(typing.cast(Any, kind))(value))


# A history has many thousands of lines of few kinds: what a kind declares is looked into once, not for every value.
@functools.cache
def _reader(kind: Any) -> Reader:
    if kind is float:
        return _number
    if kind in SCALARS:
        return _scalar(kind)
    if kind is object:
        return lambda value: value
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(kind))
    if origin is tuple:
        return _list(_reader(typing.get_args(kind)[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _names(_reader(typing.get_args(kind)[1]))
    assert dataclasses.is_dataclass(kind), kind
    return _dataclass(typing.cast(type, kind))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise MisshapenError(f"is not {SCALARS[float]}")
    if not -LATEST < value < LATEST:  # which is false of NaN as well
        raise MisshapenError("is not a time or a length that can be")
    return float(value)


def _scalar(kind: type) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise MisshapenError(f"is not {SCALARS[kind]}")
        return value

    return read


def _one_of(kinds: tuple[Any, ...]) -> Reader:
    readers = tuple(_reader(kind) for kind in kinds if kind is not types.NoneType)
    optional = len(readers) < len(kinds)

    def read(value: object) -> object:
        if value is None and optional:
            return None
        problem: MisshapenError | None = None
        for reader in readers:
            try:
                return reader(value)
            except MisshapenError as misshapen:
                problem = problem or misshapen
        assert problem is not None
        raise problem

    return read


def _list(reader: Reader) -> Reader:
    def read(value: object) -> tuple[object, ...]:
        if not isinstance(value, list):
            raise MisshapenError("is not a list")
        found: list[object] = []
        try:
            for item in value:
                found.append(reader(item))
        except MisshapenError as misshapen:
            raise misshapen.inside(f"[{len(found)}]") from None
        return tuple(found)

    return read


def _names(reader: Reader) -> Reader:
    def read(value: object) -> Mapping[str, object]:
        found = {}
        for name, item in _mapping(value).items():
            try:
                found[name] = reader(item)
            except MisshapenError as misshapen:
                raise misshapen.inside(f".{name}") from None
        return found

    return read


def _dataclass(kind: type) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [(f.name, _reader(hints[f.name]), f.default is dataclasses.MISSING) for f in dataclasses.fields(kind)]

    def read(value: object) -> object:
        given, found = _mapping(value), {}
        for name, reader, required in fields:
            if name in given:
                try:
                    found[name] = reader(given[name])
                except MisshapenError as misshapen:
                    raise misshapen.inside(f".{name}") from None
            elif required:
                raise MisshapenError("is missing", f".{name}")
        return kind(**found)

    return read


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MisshapenError("is not an object")
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
                raise MisshapenError("is not an object")
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
