"""The cluster's configuration as `cibadmin --query` prints it, as far as a prediction needs it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.predict.durations import seconds

DEFAULT_TIMEOUT: Final = "20s"
"""Pacemaker's, for an operation that says nothing."""
TRUE: Final = ("true", "yes", "on", "y", "1")
Values = Mapping[str, str]


@dataclass(frozen=True)
class Operation:
    name: str
    interval_s: float
    timeout_s: float
    depth: str = "0"


@dataclass(frozen=True)
class Resource:
    id: str
    standard: str
    provider: str
    type: str
    parameters: Values
    meta: Values
    """Its own, its group's, its clone's and the defaults, in this order."""
    operations: tuple[Operation, ...]
    default_timeout_s: float
    group: str = ""
    clone: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """By which a constraint may mean it."""
        return tuple(name for name in (self.id, self.group, self.clone) if name)

    @property
    def promotable(self) -> bool:
        return bool(self.clone) and self.meta.get("promotable", "").lower() in TRUE

    @property
    def monitors(self) -> tuple[Operation, ...]:
        return tuple(op for op in self.operations if op.name == "monitor" and op.interval_s > 0)

    def timeout_s(self, name: str) -> float:
        return next((op.timeout_s for op in self.operations if op.name == name), self.default_timeout_s)

    @property
    def threshold(self) -> int | None:
        """So many failures on one node make it leave; None where there may be any number."""
        given = self.meta.get("migration-threshold", "")
        return int(given) if given.isascii() and given.isdigit() and 0 < int(given) < 1_000_000 else None

    def meta_time(self, name: str) -> float:
        return seconds(self.meta.get(name, "0"), f"{name} of {self.id}")

    def number(self, parameter: str, default: str) -> int:
        given = self.parameters.get(parameter, default)
        if not (given.isascii() and given.isdigit() and len(given) < 7):
            raise LabError(f"{parameter} of {self.id} is {given[:40]!r}; it must be a whole number.")
        return int(given)

    def time(self, parameter: str, default: str) -> float:
        return seconds(self.parameters.get(parameter, default), f"{parameter} of {self.id}")


@dataclass(frozen=True)
class Level:
    index: int
    target: str
    pattern: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Cib:
    properties: Values
    resources: tuple[Resource, ...]
    """All but fence devices, in the order in which they are written, which is that of a group."""
    devices: tuple[Resource, ...]
    levels: tuple[Level, ...]
    orders: tuple[tuple[str, str], ...]
    """(first, then) of each mandatory, symmetrical order."""
    nodes: tuple[str, ...]
    ruled: frozenset[str] = frozenset()
    """Node attributes that a location rule goes by."""

    def on(self, name: str, default: bool) -> bool:
        return self.properties[name].lower() in TRUE if name in self.properties else default

    def time(self, name: str, default: str, negative: bool = False) -> float:
        return seconds(self.properties.get(name, default), f"the property {name}", negative)


def read(text: str, name: str = "the CIB") -> Cib:
    """Raises LabError saying what is wrong with it."""
    try:
        root = ET.fromstring(text)
    except (ET.ParseError, ValueError) as error:
        raise LabError(f"{name} is not XML: {error}; give what `cibadmin --query` prints.") from None
    configuration = root.find("configuration")
    if root.tag != "cib" or configuration is None:
        raise LabError(f"{name} is not a CIB; give what `cibadmin --query` prints.")
    meta = _values(configuration.find("rsc_defaults"), "meta_attributes")
    default = _values(configuration.find("op_defaults"), "meta_attributes").get("timeout", DEFAULT_TIMEOUT)
    found = list(_resources(configuration.find("resources"), meta, default))
    return Cib(
        properties=_values(configuration.find("crm_config"), "cluster_property_set"),
        resources=tuple(resource for resource in found if resource.standard != "stonith"),
        devices=tuple(resource for resource in found if resource.standard == "stonith"),
        levels=tuple(sorted((_level(e) for e in configuration.iter("fencing-level")), key=lambda level: level.index)),
        orders=tuple(order for e in configuration.iter("rsc_order") for order in _orders(e)),
        nodes=tuple(e.get("uname", e.get("id", "?")) for e in configuration.iterfind("nodes/node")),
        ruled=frozenset(
            one.get("attribute", "") for e in configuration.iter("rsc_location") for one in e.iter("expression")
        ),
    )


def _values(parent: ET.Element | None, kind: str) -> dict[str, str]:
    """Of several sets the first that has a name wins."""
    values: dict[str, str] = {}
    for one in [] if parent is None else parent.findall(f"{kind}/nvpair"):
        values.setdefault(one.get("name", ""), one.get("value", ""))
    return values


def _resources(
    parent: ET.Element | None, meta: Values, default: str, group: str = "", clone: str = ""
) -> Iterator[Resource]:
    for element in [] if parent is None else parent:
        own = {**meta, **_values(element, "meta_attributes")}
        if element.tag in ("group", "clone", "master") and group:
            raise LabError(f"The CIB has a {element.tag} within the group {group!r}; it is not a valid one.")
        if element.tag == "group":
            yield from _resources(element, own, default, element.get("id", ""), clone)
        elif element.tag in ("clone", "master"):
            if clone:
                raise LabError(f"The CIB has a {element.tag} within the clone {clone!r}; it is not a valid one.")
            if element.tag == "master":
                own["promotable"] = "true"
            yield from _resources(element, own, default, group, element.get("id", ""))
        elif element.tag == "primitive":
            yield _primitive(element, own, default, group, clone)


def _primitive(element: ET.Element, meta: Values, default: str, group: str, clone: str) -> Resource:
    name = element.get("id", "")
    if not name or not element.get("type"):
        raise LabError(f"The CIB has a primitive without {'a type' if name else 'an id'}; it is not a valid one.")
    return Resource(
        id=name,
        standard=element.get("class", ""),
        provider=element.get("provider", ""),
        type=element.get("type", ""),
        parameters=_values(element, "instance_attributes"),
        meta=meta,
        operations=tuple(_operation(op, name, default) for op in element.iterfind("operations/op")),
        default_timeout_s=seconds(default, "the default timeout of operations"),
        group=group,
        clone=clone,
    )


def _operation(element: ET.Element, resource: str, default: str) -> Operation:
    more = {**_values(element, "instance_attributes"), **_values(element, "meta_attributes")}
    name = element.get("name", "")
    return Operation(
        name=name,
        interval_s=seconds(element.get("interval", "0"), f"the interval of {resource}'s {name}"),
        timeout_s=seconds(element.get("timeout", more.get("timeout", default)), f"the timeout of {resource}'s {name}"),
        depth=more.get("OCF_CHECK_LEVEL", "0"),
    )


def _level(element: ET.Element) -> Level:
    index = element.get("index", "")
    if not (index.isascii() and index.isdigit() and len(index) < 4):
        raise LabError(f"A fencing level of the CIB has the index {index[:40]!r}; it must be a number from 1 to 9.")
    devices = tuple(name.strip() for name in element.get("devices", "").split(",") if name.strip())
    return Level(int(index), element.get("target", ""), element.get("target-pattern", ""), devices)


def _orders(element: ET.Element) -> Iterator[tuple[str, str]]:
    optional = element.get("kind", "Mandatory") != "Mandatory" or element.get("score", "INFINITY") == "0"
    if optional or element.get("symmetrical", "true").lower() not in TRUE:
        return
    # of a constraint by sets, each set comes after the one before it, and in one its members after each other
    sets = [[ref.get("id", "") for ref in one.iterfind("resource_ref")] for one in element.iterfind("resource_set")]
    chain = [name for one in sets for name in one] or [element.get("first", ""), element.get("then", "")]
    yield from pairwise(chain)
