"""A fence agent's metadata as plain data: which options there are, how each is written, which actions are offered."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from resource_agents.commands.metadata import root_of


@dataclass(frozen=True)
class Option:
    """shorts, longs: its forms on a command line, without hyphens. deprecated: another name is to be used."""

    name: str
    kind: str
    default: str | None
    required: bool
    deprecated: bool
    obsoletes: str
    shorts: tuple[str, ...]
    longs: tuple[str, ...]
    short_description: str


@dataclass(frozen=True)
class Metadata:
    name: str
    description: str
    options: tuple[Option, ...]
    actions: tuple[str, ...]

    def option(self, name: str) -> Option | None:
        return next((one for one in self.options if one.name == name), None)

    @property
    def plug(self) -> str:
        """What this agent calls the machine to act on: `plug`, or its obsolete name `port`, or "" for a single one."""
        return next((name for name in ("plug", "port") if self.option(name)), "")


def parse(text: str) -> Metadata:
    """Raises Unreadable."""
    root = root_of(text)
    return Metadata(
        name=root.get("name", ""),
        description=root.get("shortdesc", ""),
        options=tuple(map(_option, root.iterfind("parameters/parameter"))),
        actions=tuple(one.get("name", "") for one in root.iterfind("actions/action")),
    )


def _option(element: ElementTree.Element) -> Option:
    content, getopt = element.find("content"), element.find("getopt")
    mixed = getopt.get("mixed", "") if getopt is not None else ""
    words = element.find("shortdesc")
    return Option(
        name=element.get("name", ""),
        kind=content.get("type", "") if content is not None else "",
        default=content.get("default") if content is not None else None,
        required=element.get("required") in ("1", "true"),
        deprecated=element.get("deprecated") in ("1", "true"),
        obsoletes=element.get("obsoletes", ""),
        shorts=tuple(re.findall(r"(?<![\w-])-([A-Za-z0-9])\b", mixed)),
        longs=tuple(re.findall(r"--([A-Za-z][\w-]*)", mixed)),
        short_description=" ".join("".join(words.itertext()).split()) if words is not None else "",
    )
