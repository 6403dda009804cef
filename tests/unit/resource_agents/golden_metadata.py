"""The metadata of every agent as it was last agreed upon, one file each in golden/.

    python3 -m tests.unit.resource_agents.golden_metadata

writes them anew from the agents as they are. What operators and their tools see of an agent changes with these files
alone, so a change of them wants a reader.
"""

import difflib
import importlib
from pathlib import Path

from resource_agents import cli
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.metadata import metadata

GOLDEN = Path(__file__).parent / "golden"
COMMAND = "python3 -m tests.unit.resource_agents.golden_metadata"


def agent(name: str) -> Agent:
    found = importlib.import_module(f"resource_agents.{cli.AGENTS[name]}").AGENT
    assert isinstance(found, Agent)
    return found


def golden(name: str) -> Path:
    return GOLDEN / f"{name}.xml"


def difference(name: str, said: str) -> str:
    """What an agent says now that it did not, and the reverse, for people to read; "" when it is the same."""
    agreed = golden(name).read_text(encoding="utf-8") if golden(name).exists() else ""
    lines = difflib.unified_diff(agreed.splitlines(), said.splitlines(), f"golden/{name}.xml", "what it says now", n=2,
                                 lineterm="")  # fmt: skip
    shown = "\n".join(lines) or ("" if agreed == said else "the ends of lines differ")
    return shown and f"the metadata of {name} has changed:\n{shown}\nIf that is meant: {COMMAND}"


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in cli.AGENTS:
        golden(name).write_text(metadata(agent(name)), encoding="utf-8")
    for stray in {*GOLDEN.iterdir()} - {golden(name) for name in cli.AGENTS}:
        stray.unlink()


if __name__ == "__main__":
    main()
