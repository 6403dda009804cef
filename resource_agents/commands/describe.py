"""`kappa-agents describe`: an agent's metadata, readable."""

from __future__ import annotations

import shutil
import textwrap

import click

from resource_agents.commands.locate import complete_agent, find_agent
from resource_agents.commands.metadata import Described, Metadata, Unreadable, read_metadata


@click.command("describe", short_help="Print an agent's parameters and actions as a readable table.")
@click.argument("agent", shell_complete=complete_agent)
def describe_command(agent: str) -> None:
    """Print what AGENT says of itself: parameters with type, default and meaning, and actions with their times.

    \b
      kappa-agents describe vip
      kappa-agents describe ocf:heartbeat:IPaddr2
    """
    path = find_agent(agent)
    try:
        described = read_metadata(path)
    except Unreadable as wrong:
        raise click.ClickException(f"{wrong}.") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be run: {error.strerror}; see its first line.") from None
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    click.echo("\n".join(lines(described, width)))


def lines(described: Metadata, width: int) -> list[str]:
    title = click.style(described.name, bold=True)
    version = f" {described.agent_version}" if described.agent_version else ""
    page = [f"{title}{version} (OCF {described.ocf_version or '?'}) - {described.short}", ""]
    page += [*textwrap.wrap(described.long, width), "", click.style("Parameters", bold=True)]
    if not described.parameters:
        page.append("  none")
    name = max((len(one.name) for one in described.parameters), default=0)
    default = min(max((len(_default(one)) for one in described.parameters), default=0), 30)
    indent = " " * (2 + name + 2 + 8 + 2)
    for one in described.parameters:
        head = f"  {click.style(one.name.ljust(name), fg='cyan')}  {one.kind:<8}  {_default(one):<{default}}"
        page.append(f"{head}  {one.short}".rstrip())
        text = one.long if one.long != one.short else ""
        page += textwrap.wrap(
            " ".join((text, *_remarks(one))).strip(), width, initial_indent=indent, subsequent_indent=indent
        )
    page += ["", click.style("Actions", bold=True)]
    for action in described.actions:
        at = f" level {action.depth}" if action.depth else ""
        every = f"  every {action.interval}" if action.interval else ""
        page.append(f"  {action.name + at:<20}  within {action.timeout or '?'}{every}")
    return page


def _default(one: Described) -> str:
    if one.required:
        return "required"
    return "no default" if one.default is None else f'"{one.default}"'


def _remarks(one: Described) -> list[str]:
    remarks = []
    if one.options:
        remarks.append(f"One of: {', '.join(one.options)}.")
    if one.unique_group:
        remarks.append(f"No two resources may have the same {one.unique_group}.")
    if one.reloadable:
        remarks.append("May be changed without a restart.")
    if one.deprecated:
        remarks.append("Deprecated.")
    return remarks
