"""`kappa-agents completion`: the script that lets a shell complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", short_help="Print the script that makes your shell complete these commands.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL. Agents, their parameters and options are completed.

    \b
    For all users of this node:
      kappa-agents completion bash > /etc/bash_completion.d/kappa-agents
      kappa-agents completion zsh  > /usr/local/share/zsh/site-functions/_kappa-agents
      kappa-agents completion fish > /etc/fish/completions/kappa-agents.fish
    For this shell only (bash, zsh):
      eval "$(kappa-agents completion bash)"
    """
    maker = get_completion_class(shell)
    if maker is None:
        raise click.ClickException(f"This version of click knows no completion for {shell}.")
    command = context.find_root().command
    # source() would also run bash to see its version; the script itself is all that is wanted.
    shape = maker(command, {}, "kappa-agents", "_KAPPA_AGENTS_COMPLETE")
    click.echo(shape.source_template % shape.source_vars())
