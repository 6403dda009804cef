"""An agent's metadata, of whatever OCF version, as plain data."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from resource_agents.commands.running import environment, run

UNITS = {"": 1.0, "s": 1.0, "sec": 1.0, "ms": 0.001, "msec": 0.001, "us": 1e-6, "usec": 1e-6}
UNITS |= {"m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0}


class Unreadable(Exception):  # noqa: N818 - it is the metadata that is unreadable
    """The agent's metadata cannot be used; says why."""


@dataclass(frozen=True)
class Described:
    """One parameter. default None: it has none. unique: the deprecated attribute of OCF 1.0."""

    name: str
    kind: str
    default: str | None
    required: bool
    unique_group: str
    unique: bool
    reloadable: bool
    deprecated: bool
    options: tuple[str, ...]
    short: str
    long: str


@dataclass(frozen=True)
class Action:
    """Times as written; "" where none is."""

    name: str
    timeout: str
    interval: str
    depth: str
    role: str


@dataclass(frozen=True)
class Metadata:
    name: str
    agent_version: str
    ocf_version: str
    short: str
    long: str
    parameters: tuple[Described, ...]
    actions: tuple[Action, ...]

    def has(self, action: str) -> bool:
        return any(one.name == action for one in self.actions)

    def timeout_s(self, action: str, otherwise_s: float = 20.0) -> float:
        """The longest time-out that is advertised for the action."""
        times = [time_s(one.timeout) for one in self.actions if one.name == action]
        return max((one for one in times if one), default=otherwise_s) or otherwise_s

    @property
    def depths(self) -> list[int]:
        """The levels of monitor that are advertised, 0 always among them."""
        said = {int(one.depth) for one in self.actions if one.name == "monitor" and one.depth.isdigit()}
        return sorted(said | {0})


def time_s(text: str) -> float | None:
    """Seconds of "20", "20s", "500ms", "2min"; None for anything else."""
    matched = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not matched or matched[2] not in UNITS:
        return None
    return float(matched[1]) * UNITS[matched[2]]


def read_metadata(agent: Path) -> Metadata:
    """Ask the agent. Raises Unreadable."""
    ended = run(agent, ["meta-data"], environment(agent, {}, timeout_s=20), 20)
    if ended.timed_out:
        raise Unreadable(f"{agent} meta-data does not end within 20 s")
    if ended.code != 0:
        raise Unreadable(f"{agent} meta-data ends with {ended.code}: {ended.last_words}")
    return parse(ended.out)


def root_of(text: str) -> ElementTree.Element:
    """The root of an agent's metadata. Raises Unreadable.

    Agents are programs that we run anyway, so their XML is trusted as much as they are.
    """
    try:
        root = ElementTree.fromstring(text.encode("utf-8", "surrogateescape"))  # noqa: S314
    except ElementTree.ParseError as error:
        raise Unreadable(f"the metadata is not well-formed XML: {error}") from None
    if root.tag != "resource-agent":
        raise Unreadable(f"the metadata's root element is <{root.tag}>, not <resource-agent>")
    return root


def parse(text: str) -> Metadata:
    """Raises Unreadable."""
    root = root_of(text)
    return Metadata(
        name=root.get("name", ""),
        agent_version=root.get("version", ""),
        ocf_version=(root.findtext("version") or "").strip(),
        short=_words(root.find("shortdesc")),
        long=_words(root.find("longdesc")),
        parameters=tuple(_parameter(one) for one in root.iterfind("parameters/parameter")),
        actions=tuple(
            Action(*(one.get(key, "") for key in ("name", "timeout", "interval", "depth", "role")))
            for one in root.iterfind("actions/action")
        ),
    )


def _parameter(element: ElementTree.Element) -> Described:
    content = element.find("content")
    return Described(
        name=element.get("name", ""),
        kind=content.get("type", "string") if content is not None else "string",
        default=content.get("default") if content is not None else None,
        required=element.get("required") in ("1", "true"),
        unique_group=element.get("unique-group", ""),
        unique=element.get("unique") in ("1", "true"),
        reloadable=element.get("reloadable") == "1",
        deprecated=element.find("deprecated") is not None,
        options=tuple(one.get("value", "") for one in (content.iterfind("option") if content is not None else ())),
        short=_words(element.find("shortdesc")),
        long=_words(element.find("longdesc")),
    )


def _words(element: ElementTree.Element | None) -> str:
    return " ".join("".join(element.itertext()).split()) if element is not None else ""
