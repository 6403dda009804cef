"""Find an agent by the ways people name one: a path, `ocf:kappa:vip`, `kappa:vip`, `vip`."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

OURS = "kappa"


def ocf_root() -> Path:
    """The OCF directory, as Pacemaker's own tools let one move it."""
    return Path(os.environ.get("OCF_ROOT") or "/usr/lib/ocf")


def find_agent(word: str) -> Path:
    """The agent's executable. Raises click.UsageError with what to do."""
    if "/" in word:
        return _executable(Path(word).absolute())
    parts = word.removeprefix("ocf:").split(":")
    if len(parts) > 2 or not all(parts) or any(part in (".", "..") for part in parts):
        raise click.UsageError(f"{word!r} names no agent: give a path, a name, or ocf:PROVIDER:NAME.")
    directory = ocf_root() / "resource.d"
    if len(parts) == 2:
        return _executable(directory / parts[0] / parts[1])
    ours = directory / OURS / word
    if ours.exists():
        return _executable(ours)
    found = sorted(directory.glob(f"*/{glob_literal(word)}")) if directory.is_dir() else []
    if len(found) > 1:
        names = ", ".join(f"{path.parent.name}:{path.name}" for path in found)
        raise click.UsageError(f"{word} is the name of several agents: say which ({names}).")
    if not found:
        hint = " Run `kappa-agents install` first." if not (directory / OURS).is_dir() else ""
        raise click.UsageError(f"There is no agent {word} under {directory}.{hint}")
    return _executable(found[0])


FENCE_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def is_fence_agent(word: str) -> bool:
    """By the way it is named: `stonith:fence_x`, `fence_x`, or a path to such a file."""
    return word.startswith("stonith:") or word.rpartition("/")[2].startswith("fence_")


def find_fence_agent(word: str) -> Path:
    """The fence agent's executable. Raises click.UsageError with what to do."""
    name = word.removeprefix("stonith:")
    if "/" in name:
        return _executable(Path(name).absolute())
    found = [Path(place, name) for place in FENCE_PLACES if Path(place, name).is_file()]
    if not found:
        raise click.UsageError(f"There is no fence agent {name} in {', '.join(FENCE_PLACES)}.")
    return _executable(found[0])


def glob_literal(word: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in word)


def _executable(path: Path) -> Path:
    if not path.is_file():
        raise click.UsageError(f"{path} is not there, so there is no agent to run.")
    if not os.access(path, os.X_OK):
        raise click.UsageError(f"{path} cannot be executed by you: an agent is an executable file.")
    return path


def complete_agent(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Our agents by bare name, others as provider:name, and files."""
    if "/" in incomplete:
        return [CompletionItem(incomplete, type="file")]
    names = []
    for path in sorted((ocf_root() / "resource.d").glob("*/*")):
        if path.name.startswith(".") or not os.access(path, os.X_OK) or not path.is_file():
            continue
        names.append(path.name if path.parent.name == OURS else f"{path.parent.name}:{path.name}")
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_parameter(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """`name=` of each parameter of the agent that stands earlier on the line."""
    if "=" in incomplete:
        return []
    from resource_agents.commands.metadata import Unreadable, read_metadata

    named = context.params.get("agent") or context.params.get("paths") or ()
    items = []
    for word in (named,) if isinstance(named, str) else named:
        try:
            described = read_metadata(find_agent(str(word)))
        except (click.UsageError, Unreadable):
            continue
        items += [CompletionItem(f"{one.name}=", help=one.short) for one in described.parameters]
    return [item for item in items if item.value.startswith(incomplete)]


def as_parameters(words: tuple[str, ...]) -> dict[str, str]:
    """`name=value` words; the last one of a name wins. Raises click.UsageError."""
    parameters = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{word!r} is not name=value.")
        parameters[name] = value
    return parameters
