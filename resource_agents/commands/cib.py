"""A resource's agent, parameters and time-outs, as the live cluster has them."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import click


@dataclass(frozen=True)
class Resource:
    """agent: `ocf:provider:type`. notes: what could not be taken into account, for the operator to know."""

    id: str
    agent: str
    parameters: dict[str, str]
    operations: tuple[dict[str, str], ...]
    notes: tuple[str, ...]

    def timeout(self, action: str, level: int) -> str:
        """As configured for the action (for monitor: at this level, else at any), "" when it is not."""
        said = [one for one in self.operations if one.get("name") == action and one.get("timeout")]
        at_level = [one for one in said if (one.get("OCF_CHECK_LEVEL") or "0") == str(level)]
        return (at_level or said or [{}])[0].get("timeout", "")


def query() -> str:
    """The live CIB. Raises click.ClickException when there is no cluster to ask."""
    try:
        ran = subprocess.run(
            ["cibadmin", "--query"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30
        )
    except FileNotFoundError:
        raise click.ClickException(
            "cibadmin is not installed here, so there is no cluster to ask; give AGENT and name=value instead."
        ) from None
    except subprocess.TimeoutExpired:
        raise click.ClickException("The cluster does not answer (cibadmin --query, 30 s); is it running?") from None
    if ran.returncode != 0:
        said = (ran.stderr or ran.stdout).strip().splitlines()
        raise click.ClickException(f"The cluster cannot be asked: {said[-1] if said else 'no reason given'}")
    return ran.stdout


def find_resource(cib: str, wanted: str) -> Resource:
    """Raises click.UsageError when the CIB has no such primitive of class ocf."""
    try:
        root = ElementTree.fromstring(cib.encode())  # noqa: S314 - the cluster's own answer
    except ElementTree.ParseError as error:
        raise click.ClickException(f"The cluster's answer is not XML: {error}") from None
    resources = root.find("configuration/resources")
    every = resources.iter() if resources is not None else ()
    found = {one.get("id", ""): one for one in every if one.get("id")}
    element = found.get(wanted)
    if element is None:
        known = ", ".join(sorted(key for key, one in found.items() if one.tag == "primitive")) or "none"
        raise click.UsageError(f"The cluster has no resource {wanted}. It has: {known}.")
    if element.tag != "primitive":
        inside = ", ".join(one.get("id", "") for one in element.iter("primitive")) or "none"
        raise click.UsageError(f"{wanted} is a {element.tag}; say which of its resources: {inside}.")
    layers = [found[element.get("template", "")]] if element.get("template") in found else []
    layers.append(element)
    whole = {key: value for layer in layers for key, value in layer.attrib.items()}
    if whole.get("class") != "ocf":
        raise click.UsageError(f"{wanted} is a {whole.get('class')} resource; only OCF agents can be checked.")
    notes: list[str] = []
    parameters: dict[str, str] = {}
    for layer in layers:
        parameters.update(_attributes(layer, found, notes))
    operations = [_operation(op) for layer in reversed(layers) for op in layer.iterfind("operations/op")]
    agent = f"ocf:{whole.get('provider')}:{whole.get('type')}"
    return Resource(wanted, agent, parameters, tuple(operations), tuple(notes))


def _attributes(layer: ElementTree.Element, found: dict[str, ElementTree.Element], notes: list[str]) -> dict[str, str]:
    """Where two sets name the same parameter, the one with the higher score wins, then the earlier one."""
    sets = []
    for one in layer.iterfind("instance_attributes"):
        actual = found.get(one.get("id-ref", ""), one)
        if actual.find("rule") is not None:
            notes.append(f"the set {actual.get('id')} applies by rule only and was left out")
            continue
        sets.append(actual)
    sets.reverse()
    sets.sort(key=lambda one: _score(one.get("score", "0")))
    parameters: dict[str, str] = {}
    for one in sets:
        for pair in one.iterfind("nvpair"):
            parameters[pair.get("name", "")] = pair.get("value", "")
    return parameters


def _score(text: str) -> int:
    if text.upper().lstrip("+-") == "INFINITY":
        return -1_000_000 if text.startswith("-") else 1_000_000
    try:
        return int(text)
    except ValueError:
        return 0


def _operation(op: ElementTree.Element) -> dict[str, str]:
    inner = {pair.get("name", ""): pair.get("value", "") for pair in op.iter("nvpair")}
    return {**inner, **op.attrib}
