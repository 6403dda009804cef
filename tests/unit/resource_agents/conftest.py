import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resource_agents import cli
from tests.unit.resource_agents.many import Many, begin
from tests.unit.resource_agents.running import Agents, alive, kill

SOURCE = Path(cli.__file__).resolve().parent.parent
PYTHON = os.environ.get("KAPPA_AGENTS_PYTHON") or (
    "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agents as `kappa-agents install` puts them, under a root of their own."""
    root = tmp_path_factory.mktemp("root")
    cli.install(root, PYTHON, SOURCE)
    return root


@pytest.fixture
def agents(installed: Path, tmp_path: Path) -> Iterator[Agents]:
    """The agents with a state directory of their own; what a failed test left running is killed."""
    ours = Agents(installed, tmp_path / "state")
    yield ours
    for record in ours.state.glob("*.pid"):
        with contextlib.suppress(ValueError, IndexError):
            pid = int(record.read_text().split()[0])
            if pid > 1 and alive(pid) and os.getsid(pid) == pid:
                kill(pid)


@pytest.fixture(scope="module")
def many(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Many]]:
    """Each agent in namespaces of its own."""
    for program in ("unshare", "ip", "mount"):
        assert shutil.which(program), f"{program} is missing: install util-linux and iproute2"
    made: dict[str, Many] = {}

    def of(agent: str) -> Many:
        if agent not in made:
            made[agent] = begin(agent, installed, tmp_path_factory.mktemp(agent))
        return made[agent]

    yield of
    for one in made.values():
        one.process.communicate(timeout=20)
