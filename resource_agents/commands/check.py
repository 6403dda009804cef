"""`kappa-agents check`: ask one agent as Pacemaker would, and say in words what it answered."""

from __future__ import annotations

from pathlib import Path

import click

from resource_agents.commands import cib
from resource_agents.commands.locate import as_parameters, complete_agent, complete_parameter, find_agent
from resource_agents.commands.meaning import NAMES, meaning
from resource_agents.commands.metadata import Metadata, Unreadable, read_metadata, time_s
from resource_agents.commands.running import Ended, environment, run

ACTIONS = ("monitor", "validate-all", "meta-data", "start", "stop", "promote", "demote", "reload-agent")


@click.command("check", short_help="Ask an agent as Pacemaker would; say in words what it found.")
@click.argument("agent", required=False, shell_complete=complete_agent)
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=complete_parameter)
@click.option("--resource", metavar="ID", help="Take agent, parameters and time-out from the live cluster's resource.")
@click.option("--level", type=click.IntRange(0), default=0, show_default=True, help="How deep to look: 0, 10 or 20.")
@click.option(
    "--action",
    type=click.Choice(ACTIONS),
    default="monitor",
    show_default=True,
    help="What to ask for. start, stop, promote and demote act behind the cluster's back: put it in maintenance first.",
)
@click.option(
    "--timeout", metavar="TIME", help="As 20s or 500ms; when not given, the configured one, else as advertised."
)
def check_command(
    agent: str | None, parameters: tuple[str, ...], resource: str | None, level: int, action: str, timeout: str | None
) -> None:
    """Run AGENT once as Pacemaker would and say what it found, what the exit code means for the cluster, why, and how
    long it took.

    AGENT is a path, a name (vip), or ocf:PROVIDER:NAME. Exit code: 0 when all is well, 1 when not, 2 for wrong usage.

    \b
    Is the address on this node?
      kappa-agents check vip ip=192.0.2.10
    Is the bot that the cluster knows as "bot" serving, and do Telegram and the router answer through it?
      kappa-agents check --resource bot --level 20
    Would these parameters be taken?
      kappa-agents check nginx config=/etc/nginx/kappa.conf --action validate-all --level 10
    """
    given, name, instance, configured = parameters, agent, "by-hand", None
    if resource is not None:
        if agent is not None and "=" in agent:  # with --resource, the words that follow are parameters
            given, name = (agent, *parameters), None
        if name is not None:
            raise click.UsageError("Give AGENT or --resource, not both.")
        configured = cib.find_resource(cib.query(), resource)
        name, instance = configured.agent, resource
    if name is None:
        raise click.UsageError("Say which AGENT, or --resource ID. `kappa-agents check --help` has examples.")
    path = find_agent(name)
    try:
        described = read_metadata(path)
    except Unreadable as wrong:
        raise click.ClickException(f"{wrong}; Pacemaker could not use this agent.") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be run: {error.strerror}; see its first line.") from None
    values = {**(configured.parameters if configured else {}), **as_parameters(given)}
    unknown = sorted(set(values) - {one.name for one in described.parameters})
    for one in unknown:
        click.echo(f"note: {described.name} has no parameter {one}; it will ignore it", err=True)
    for note in configured.notes if configured else ():
        click.echo(f"note: {note}", err=True)
    timeout_s = _timeout_s(timeout or (configured.timeout(action, level) if configured else ""), described, action)
    variables = environment(
        path, values, instance=instance, action=action, timeout_s=timeout_s, level=level if level else None
    )
    try:
        ended = run(path, [action], variables, timeout_s)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be run: {error.strerror}; see its first line.") from None
    if not report(path, ended, level):
        raise SystemExit(1)


def _timeout_s(said: str, described: Metadata, action: str) -> float:
    if not said:
        return described.timeout_s(action)
    seconds = time_s(said)
    if not seconds:
        raise click.UsageError(f"{said!r} is not a time such as 20s or 500ms.")
    return seconds


def report(path: Path, ended: Ended, level: int) -> bool:
    """Print it all; whether all is well."""
    means = meaning(ended.action, ended.code, timed_out=ended.timed_out)
    colour = "green" if means.well else "yellow" if ended.code == 7 else "red"
    at = f" at level {level}" if ended.action in ("monitor", "validate-all") else ""
    code = "none" if ended.timed_out else f"{ended.code} ({NAMES.get(ended.code, 'not one of OCF')})"
    rows = [
        ("agent", str(path)),
        ("asked", f"{ended.action}{at}"),
        ("found", click.style(means.found, fg=colour, bold=True)),
        ("exit code", code),
        ("cluster", means.cluster),
        ("reason", " / ".join(ended.reasons) or ("none given" if ended.code else "none needed")),
        ("took", f"{ended.seconds * 1000:.0f} ms of {ended.timeout_s:g} s allowed"),
    ]
    for key, value in rows:
        click.echo(f"{key:>10}  {value}")
    said = [line for line in ended.err.splitlines() if line.strip() and not line.startswith("ocf-exit-reason:")]
    if ended.action == "meta-data":
        click.echo(ended.out, nl=False)
    else:
        said = [*ended.out.splitlines(), *said]
    for line in said:
        click.echo(f"{'it said':>10}  {line}")
    return means.well
