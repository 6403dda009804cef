"""`kappa-agents conform`: does an agent, in whatever language, keep OCF 1.1, or a fence agent the Fence Agent API?"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from resource_agents.commands.locate import (
    as_parameters,
    complete_agent,
    complete_parameter,
    find_agent,
    find_fence_agent,
    is_fence_agent,
)
from resource_agents.commands.metadata import Unreadable, read_metadata, time_s

if TYPE_CHECKING:
    from resource_agents.commands.conformance.registry import Check

FORMATS = ("text", "json", "junit", "markdown")


@click.command("conform", short_help="Test any OCF or fence agent against each MUST of its standard.")
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
    help="RELAX NG schema of the metadata; when not given, the one that Debian's pcs brings for OCF 1.1, or its "
    "fence-agents for fence agents.",
)
@click.option("--fence", is_flag=True, help="These are fence agents; what is named fence_* or stonith:NAME is anyway.")
@click.option(
    "--stage",
    default="",
    metavar="COMMAND",
    help="For fence agents: run with on, off, stuck, garbage, in-between, silent, away or well, makes the device so; "
    "ends with 3 when it cannot.",
)
@click.option(
    "--state-command",
    default="",
    metavar="COMMAND",
    help="For fence agents: prints what the machine behind the plug really is, on or off, and a word for its run.",
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
    fence: bool,
    stage: str,
    state_command: str,
    listed: bool,
) -> None:
    """Put each MUST of OCF 1.1, or of the Fence Agent API, to the agents at PATH (a path, a name, ocf:PROVIDER:NAME or
    stonith:NAME) and say what passed, what failed and what could not be asked, each with its evidence.

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
    A fence agent, and one before a machine that it may switch off:
      kappa-agents conform stonith:fence_virsh
      kappa-agents conform fence_kappa --param server=10.77.1.1 --param plug=node3 --param key_file=/etc/kappa/fence.key
    """
    # These bring psutil, which nothing else here needs.
    from resource_agents.commands.conformance import report as reports
    from resource_agents.commands.conformance.judge import judge
    from resource_agents.commands.conformance.registry import CHECKS, FAIL

    fencing = fence or bool(stage or state_command) or any(map(is_fence_agent, paths))
    if fencing and not fence and not all(map(is_fence_agent, paths)):
        raise click.UsageError("Fence agents and OCF agents in one run: judge each kind by itself.")
    checks: Sequence[Check] = CHECKS
    if fencing:
        from resource_agents.commands.fencing.judge import judge as judge_fencing
        from resource_agents.commands.fencing.registry import CHECKS as FENCING_CHECKS

        checks = FENCING_CHECKS
        if click.get_current_context().get_parameter_source("schema") is click.core.ParameterSource.ENVIRONMENT:
            schema = None  # OCF_SCHEMA is about agents of the other kind
    if listed:
        for one in checks:
            click.echo(click.style(one.name, bold=True) + (f"  (needs that {one.needs})" if one.needs else ""))
            click.echo(textwrap.fill(one.requirement, 100, initial_indent="    ", subsequent_indent="    "))
            click.echo(f"    {one.source}")
        return
    if not paths:
        raise click.UsageError("Say which agent: a PATH, a name, or ocf:PROVIDER:NAME.")
    unknown = sorted(set(only) - {one.name for one in checks})
    if unknown:
        raise click.UsageError(f"There is no check {unknown[0]}; --list has them all.")
    timeout_s = time_s(timeout) if timeout else None
    if timeout and not timeout_s:
        raise click.UsageError(f"{timeout!r} is not a time such as 20s or 500ms.")
    agents = [find_fence_agent(path) if fencing else find_agent(path) for path in paths]
    given = as_parameters(words)
    parameters = [given for _ in agents] if fencing else _shared_out(agents, given)
    made = []
    for agent, own in zip(agents, parameters):
        try:
            made.append(
                judge_fencing(
                    agent, own, only=only, timeout_s=timeout_s, schema=schema, stage=stage, state_command=state_command
                )
                if fencing
                else judge(agent, own, lifecycle=defaults or bool(own), only=only, timeout_s=timeout_s, schema=schema)
            )
        except RuntimeError as error:
            raise click.ClickException(f"{agent} could not be judged: {error}") from None
    if shape == "json":
        click.echo(reports.as_json(made, checks))
    else:
        shaped = {"text": reports.text, "junit": reports.junit, "markdown": reports.markdown}
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
