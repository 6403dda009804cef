"""The checks by name. A check is a function; its docstring is the requirement, nearly word for word, and its source."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resource_agents.commands.conformance.subject import Subject

PASS, FAIL, NOT_APPLICABLE = "pass", "fail", "n/a"
METADATA = "the metadata can be read"
UNTOUCHED = "nothing runs here with these parameters"
WORKING = "working parameters"


class Broken(Exception):  # noqa: N818 - the requirement is broken
    """The agent breaks the requirement; the text is the evidence."""


class Inapplicable(Exception):  # noqa: N818 - no error
    """The requirement cannot be put to this agent here; the text says why."""


@dataclass(frozen=True)
class Check:
    """needs: what must be given before it can run (METADATA, UNTOUCHED, WORKING or nothing)."""

    name: str
    group: str
    requirement: str
    source: str
    needs: str
    run: Callable[[Any], str]


@dataclass(frozen=True)
class Result:
    """evidence: what was seen. seconds: how long the check took."""

    name: str
    group: str
    verdict: str
    evidence: str
    seconds: float


CHECKS: list[Check] = []


def check(group: str, needs: str = "") -> Callable[[Callable[[Subject], str]], Callable[[Subject], str]]:
    """Register the function as a check named after it. Its docstring ends with a line "Source: ..."."""

    def register(function: Callable[[Subject], str]) -> Callable[[Subject], str]:
        CHECKS.append(described(function, group, needs))
        return function

    return register


def described(function: Callable[[Any], str], group: str, needs: str) -> Check:
    """The check that a function is, by its name and docstring."""
    text = inspect.cleandoc(function.__doc__ or "")
    requirement, _, source = text.partition("Source: ")
    if not source:
        raise TypeError(f"{function.__name__} names no source")
    name = function.__name__.replace("_", "-")
    return Check(name, group, " ".join(requirement.split()), " ".join(source.split()), needs, function)


def insist(holds: object, evidence: str) -> None:
    """Raise Broken with `evidence` unless it holds."""
    if not holds:
        raise Broken(evidence)
