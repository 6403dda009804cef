"""An agent's metadata as OCF 1.1 XML. Imported by the meta-data action alone."""

from resource_agents.ocf.parameters import CONTENT_TYPES, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.ocf.agent import Agent

VERSION = "0.1.0"


def metadata(agent: "Agent") -> str:
    """The whole document. Times carry their unit; no two monitors have the same interval (Pacemaker tells them apart
    by it)."""
    lines = [
        '<?xml version="1.0"?>',  # UTF-8 unless said; crmsh cannot parse what says so
        f"<resource-agent name={quoted(agent.name)} version={quoted(VERSION)}>",
        "  <version>1.1</version>",
        f'  <longdesc lang="en">{escaped(agent.long)}</longdesc>',
        f'  <shortdesc lang="en">{escaped(agent.short)}</shortdesc>',
        "  <parameters>",
    ]
    for parameter in agent.parameters:
        lines += _parameter(parameter)
    lines += ["  </parameters>", "  <actions>"]
    for action in ("start", "stop"):
        lines.append(f'    <action name="{action}" timeout="{agent.timeouts[action]}s"/>')
    lines += [_monitor(agent, level, interval) for level, (interval, _) in sorted(agent.monitors.items())]
    if agent.promote:
        for action in ("promote", "demote"):
            lines.append(f'    <action name="{action}" timeout="{agent.timeouts[action]}s"/>')
        lines += [_monitor(agent, level, interval, "Promoted") for level, interval in agent.promoted_intervals.items()]
    if agent.reloads:
        lines.append('    <action name="reload-agent" timeout="10s"/>')
    lines += [
        '    <action name="validate-all" timeout="10s"/>',
        '    <action name="meta-data" timeout="5s"/>',
        "  </actions>",
        "</resource-agent>",
        "",
    ]
    return "\n".join(lines)


def _monitor(agent: "Agent", level: int, interval: int, role: str = "") -> str:
    attributes = f'timeout="{agent.timeouts["monitor"]}s" interval="{interval}s" depth="{level}"'
    return f'    <action name="monitor" {attributes}{f" role={quoted(role)}" if role else ""}/>'


def _parameter(parameter: Parameter) -> "list[str]":
    attributes = f"name={quoted(parameter.name)}"
    if parameter.required:
        attributes += ' required="1"'
    if parameter.unique_group:
        attributes += f" unique-group={quoted(parameter.unique_group)}"
    if parameter.reloadable:
        attributes += ' reloadable="1"'
    content = f'type="{CONTENT_TYPES.get(parameter.kind, "string")}"'
    if parameter.default is not None:
        content += f" default={quoted(parameter.default)}"
    lines = [
        f"    <parameter {attributes}>",
        f'      <longdesc lang="en">{escaped(parameter.long or parameter.short)}</longdesc>',
        f'      <shortdesc lang="en">{escaped(parameter.short)}</shortdesc>',
    ]
    if parameter.kind == "select":
        lines.append(f"      <content {content}>")
        lines += [f"        <option value={quoted(option)}/>" for option in parameter.options]
        lines.append("      </content>")
    else:
        lines.append(f"      <content {content}/>")
    return [*lines, "    </parameter>"]


def escaped(text: str) -> str:
    """`text` as XML character data."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quoted(text: str) -> str:
    """`text` as an XML attribute value, quotes included."""
    return '"' + escaped(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;") + '"'
