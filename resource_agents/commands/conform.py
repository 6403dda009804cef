"""`kappa-agents conform`: does an agent, in whatever language, keep OCF 1.1?"""

from __future__ import annotations

import textwrap
from pathlib import Path

import click

from resource_agents.commands.locate import as_parameters, complete_agent, complete_parameter, find_agent
from resource_agents.commands.metadata import Unreadable, read_metadata, time_s

FORMATS = ("text", "json", "junit", "markdown")


@click.command("conform", short_help="Test any OCF agent against each MUST of OCF 1.1.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=complete_agent)
@click.option(
    "--param",
    "words",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=complete_parameter,
    help="A working parameter, for each agent that has it; may be repeated. Lets agents be started and stopped.",
)
@click.option("--defaults", is_flag=True, help="The agents' defaults are working parameters: start and stop with them.")
@click.option("--format", "shape", type=click.Choice(FORMATS), default="text", show_default=True, help="Of the output.")
@click.option("--check", "only", multiple=True, metavar="NAME", help="Only this check; may be repeated. See --list.")
@click.option("--timeout", metavar="TIME", help="For every action, instead of what each advertises.")
@click.option(
    "--schema",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="OCF_SCHEMA",
    help="RELAX NG schema of OCF 1.1 metadata; when not given, the one that Debian's pcs brings.",
)
@click.option("--list", "listed", is_flag=True, help="List the checks, what each requires and where that is written.")
def conform_command(
    paths: tuple[str, ...],
    words: tuple[str, ...],
    defaults: bool,
    shape: str,
    only: tuple[str, ...],
    timeout: str | None,
    schema: Path | None,
    listed: bool,
) -> None:
    """Put each MUST of OCF 1.1 to the agents at PATH (a path, a name, or ocf:PROVIDER:NAME) and say what passed, what
    failed and what could not be asked, each with its evidence.

    It starts, stops and kills: use it on a test machine, as root where the agent needs it. Nothing is touched when the
    first monitor finds that the resource runs here already. Exit code: 0 when nothing failed, 1 when something did, 2
    for wrong usage.

    \b
    What can be told of an agent without starting anything:
      kappa-agents conform ./my-agent
    With parameters it can be started with, for a CI job:
      kappa-agents conform ./my-agent --param config=/tmp/x.conf --format junit > conform.xml
    Peers side by side:
      kappa-agents conform pacemaker:Dummy pacemaker:Stateful --defaults --format markdown
    """
    # These bring psutil, which nothing else here needs.
    from resource_agents.commands.conformance import report as reports
    from resource_agents.commands.conformance.judge import judge
    from resource_agents.commands.conformance.registry import CHECKS, FAIL

    if listed:
        for one in CHECKS:
            click.echo(click.style(one.name, bold=True) + (f"  (needs that {one.needs})" if one.needs else ""))
            click.echo(textwrap.fill(one.requirement, 100, initial_indent="    ", subsequent_indent="    "))
            click.echo(f"    {one.source}")
        return
    if not paths:
        raise click.UsageError("Say which agent: a PATH, a name, or ocf:PROVIDER:NAME.")
    unknown = sorted(set(only) - {one.name for one in CHECKS})
    if unknown:
        raise click.UsageError(f"There is no check {unknown[0]}; --list has them all.")
    timeout_s = time_s(timeout) if timeout else None
    if timeout and not timeout_s:
        raise click.UsageError(f"{timeout!r} is not a time such as 20s or 500ms.")
    agents = [find_agent(path) for path in paths]
    parameters = _shared_out(agents, as_parameters(words))
    made = []
    for agent, own in zip(agents, parameters):
        try:
            made.append(
                judge(agent, own, lifecycle=defaults or bool(own), only=only, timeout_s=timeout_s, schema=schema)
            )
        except RuntimeError as error:
            raise click.ClickException(f"{agent} could not be judged: {error}") from None
    shaped = {"text": reports.text, "json": reports.as_json, "junit": reports.junit, "markdown": reports.markdown}
    click.echo(shaped[shape](made))
    if any(one.count(FAIL) for one in made):
        raise SystemExit(1)


def _shared_out(agents: list[Path], parameters: dict[str, str]) -> list[dict[str, str]]:
    """To each agent the parameters that it has. Raises click.UsageError for one that none has."""
    if not parameters:
        return [{} for _ in agents]
    known: list[set[str] | None] = []
    for agent in agents:
        try:
            known.append({one.name for one in read_metadata(agent).parameters})
        except (Unreadable, OSError):
            known.append(None)  # of this one nothing is known: give it all, and let the checks say what is wrong
    for name in parameters:
        if not any(one is None or name in one for one in known):
            raise click.UsageError(f"No agent here has a parameter {name}.")
    return [{name: value for name, value in parameters.items() if one is None or name in one} for one in known]
