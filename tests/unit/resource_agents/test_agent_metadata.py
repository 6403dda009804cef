"""The metadata of every agent: exactly what was agreed upon, and by OCF 1.1's rules, with or without its schema."""

import xml.etree.ElementTree as ElementTree

import pytest

from resource_agents import cli
from tests.unit.resource_agents.golden_metadata import GOLDEN, difference, golden
from tests.unit.resource_agents.running import Agents

every_agent = pytest.mark.parametrize("agent", cli.AGENTS)

# Element → its attributes (a star: must be there) and its children (a star: exactly once), in OCF 1.1's words.
RULES: dict[str, tuple[str, str]] = {
    "resource-agent": ("name* version", "version* longdesc* shortdesc* parameters* actions*"),
    "version": ("", ""),
    "longdesc": ("lang*", ""),
    "shortdesc": ("lang*", ""),
    "parameters": ("", "parameter"),
    "parameter": ("name* unique-group required reloadable", "longdesc* shortdesc* content*"),
    "content": ("type* default", "option"),
    "option": ("value*", ""),
    "actions": ("", "action"),
    "action": ("name* timeout* interval depth role", ""),
}
BOOLEAN = {"required", "reloadable"}
TYPES = {"string", "integer", "boolean", "select"}


def broken_rules(text: str) -> list[str]:
    """What OCF 1.1 does not allow in it, in words."""
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as wrong:
        return [f"not well-formed: {wrong}"]
    found = [] if root.tag == "resource-agent" else [f"the root is {root.tag}"]
    for element in root.iter():
        if element.tag not in RULES:
            found.append(f"there is no element {element.tag}")
            continue
        attributes, children = RULES[element.tag]
        known = {word.rstrip("*") for word in attributes.split()}
        found += [f"{element.tag} has no attribute {name}" for name in element.attrib if name not in known]
        needed = [word[:-1] for word in attributes.split() if word.endswith("*")]
        found += [f"{element.tag} lacks {name}" for name in needed if not element.get(name)]
        allowed = {word.rstrip("*") for word in children.split()}
        found += [f"{element.tag} holds {child.tag}" for child in element if child.tag not in allowed]
        once = [word[:-1] for word in children.split() if word.endswith("*")]
        found += [f"{element.tag} has not exactly one {tag}" for tag in once if len(element.findall(tag)) != 1]
        found += [f"{name}={element.get(name)}" for name in BOOLEAN if element.get(name) not in (None, "0", "1")]
    return found + _broken_content(root) + _broken_actions(root)


def _broken_content(root: "ElementTree.Element") -> list[str]:
    found = []
    names = [one.get("name") for one in root.iter("parameter")]
    found += [f"{name} twice" for name in names if names.count(name) > 1]
    for parameter in root.iter("parameter"):
        name = parameter.get("name")
        content = parameter.find("content")
        if content is None:
            continue
        kind, default = content.get("type"), content.get("default")
        options = [one.get("value") for one in content.findall("option")]
        if kind not in TYPES:
            found.append(f"{name}: type {kind}")
        if (kind == "select") != bool(options):
            found.append(f"{name}: options are for select, and select needs them")
        if options and default is not None and default not in options:
            found.append(f"{name}: default {default} is none of its options")
        if (parameter.get("required") == "1") != (default is None):
            found.append(f"{name}: an optional one has a default, a required one has none")
        if kind == "integer" and default and not default.lstrip("-").isdigit():
            found.append(f"{name}: default {default} is no integer")
        if kind == "boolean" and default is not None and default not in ("true", "false", "1", "0"):
            found.append(f"{name}: default {default} is no boolean")
        words = (parameter.findtext("longdesc") or "").split()
        if len(words) < 2:
            found.append(f"{name}: an operator learns nothing from {' '.join(words)!r}")
    return found


def _broken_actions(root: "ElementTree.Element") -> list[str]:
    found = []
    actions = list(root.iter("action"))
    for needed in ("start", "stop", "monitor", "meta-data"):
        if needed not in [one.get("name") for one in actions]:
            found.append(f"no action {needed}")
    for one in actions:
        for name in ("timeout", "interval"):
            time = one.get(name)
            if time is not None and not (time.endswith("s") and time[:-1].isdigit() and int(time[:-1]) > 0):
                found.append(f"{one.get('name')}: {name}={time} is no time in seconds")
        if one.get("depth") is not None and not str(one.get("depth")).isdigit():
            found.append(f"{one.get('name')}: depth={one.get('depth')}")
        if one.get("role") not in (None, "Started", "Stopped", "Promoted", "Unpromoted"):
            found.append(f"{one.get('name')}: role={one.get('role')}")
    intervals = [one.get("interval") for one in actions if one.get("name") == "monitor"]
    found += [f"two monitors every {one}" for one in intervals if intervals.count(one) > 1]
    return found


@every_agent
def test_the_metadata_is_exactly_what_was_agreed_upon(agents: Agents, agent: str) -> None:
    said = agents.run(agent, "meta-data").out
    assert not (changed := difference(agent, said)), changed


def test_no_agent_is_without_an_agreed_upon_metadata_and_none_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(cli.AGENTS)


def test_a_change_is_shown_line_by_line_with_the_command_that_takes_it_over() -> None:
    said = golden("vip").read_text().replace('timeout="20s"', 'timeout="21s"', 1)
    shown = difference("vip", said)
    assert '\n-    <action name="start" timeout="20s"/>' in shown
    assert '\n+    <action name="start" timeout="21s"/>' in shown
    assert "python3 -m tests.unit.resource_agents.golden_metadata" in shown
    assert difference("vip", golden("vip").read_text()) == ""
    assert "ends of lines" in difference("vip", golden("vip").read_text().replace("\n", "\r\n"))


@every_agent
def test_the_metadata_keeps_the_rules_of_ocf_1_1(agent: str) -> None:
    assert broken_rules(golden(agent).read_text()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("</resource-agent>", "", "not well-formed"),
        ("<shortdesc lang", "<summary lang", "not well-formed"),
        ('unique-group="address"', 'unique="1"', "no attribute unique"),
        ('<content type="boolean"', '<content type="bool"', "type bool"),
        ('type="boolean" default="false"', 'type="boolean" default="nope"', "no boolean"),
        ('<parameter name="prefix">', '<parameter name="prefix" required="yes">', "required=yes"),
        ('type="integer" default="0"', 'type="integer"', "an optional one has a default"),
        ('timeout="5s"', 'timeout="5000"', "no time in seconds"),
        ('interval="10s"', 'interval="30s"', "two monitors every 30s"),
        ("<version>1.1</version>", "", "not exactly one version"),
        ('<action name="stop"', '<action name="halt"', "no action stop"),
        ('<action name="stop"', '<action title="x" name="stop"', "no attribute title"),
        ("  <actions>", "  <actions><deed/>", "no element deed"),
    ],
)
def test_the_rules_tell_wrong_from_right(right: str, wrong: str, says: str) -> None:
    """What keeps the one above honest."""
    text = golden("vip").read_text()
    assert right in text, "nothing to break"
    assert any(says in one for one in broken_rules(text.replace(right, wrong, 1)))
