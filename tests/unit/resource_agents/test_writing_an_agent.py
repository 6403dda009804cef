"""The page that shows how to write an agent shows one that works: taken from the page, installed and run."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from resource_agents import cli
from tests.unit.resource_agents.conftest import PYTHON, SOURCE
from tests.unit.resource_agents.running import Agents, alive, kill, recorded_pid

PAGE = SOURCE / "resource_agents" / "WRITING-AN-AGENT.md"


def example() -> str:
    blocks = PAGE.read_text(encoding="utf-8").split("```python\n")[1:]
    assert len(blocks) == 1, "one example on the page"
    return blocks[0].partition("```")[0]


@pytest.fixture
def pages(installed: Path, tmp_path: Path) -> Iterator[Agents]:
    """The installed agents, and the example as one of them."""
    root = tmp_path / "root"
    shutil.copytree(installed, root)
    (root / cli.LIBRARY / "resource_agents" / "pages.py").write_text(example())
    launcher = root / cli.AGENT_DIRECTORY / "pages"
    launcher.write_text(cli.agent_launcher(PYTHON, "pages"))
    launcher.chmod(0o755)
    ours = Agents(root, tmp_path / "state")
    yield ours
    for record in ours.state.glob("*.pid"):
        kill(int(record.read_text().split()[0]))


def parameters(directory: Path) -> dict[str, object]:
    served = directory / "served"
    served.mkdir()
    (served / "word").write_text("hello")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    user = pwd.getpwuid(os.geteuid()).pw_name
    return {"directory": served, "port": port, "user": user, "log": directory / "log"}


def test_the_example_is_an_agent(pages: Agents, tmp_path: Path) -> None:
    described = pages.run("pages", "meta-data")
    assert described.code == 0
    assert '<parameter name="directory" required="1" unique-group="directory">' in described.out
    right = parameters(tmp_path)
    assert pages.run("pages", "validate-all", right).code == 0
    wrong = pages.run("pages", "validate-all", {**right, "port": "70000"})
    assert (wrong.code, "port=70000 is more than 65535" in wrong.reason) == (6, True)
    assert pages.run("pages", "monitor", right).code == 7
    assert pages.run("pages", "start", right).code == 0
    with urllib.request.urlopen(f"http://127.0.0.1:{right['port']}/word", timeout=5) as answer:
        assert answer.read() == b"hello"
    pid = recorded_pid(pages, "pages")
    assert pages.run("pages", "start", right).code == 0
    assert recorded_pid(pages, "pages") == pid, "a second start changes nothing"
    for level in (0, 10, 20):
        assert pages.run("pages", "monitor", right, level=level).code == 0
    kill(pid)
    assert pages.run("pages", "monitor", right).code == 1, "gone without having been stopped"
    assert pages.run("pages", "stop", {}).code == 0, "no parameter is needed to stop"
    assert pages.run("pages", "start", right).code == 0
    pid = recorded_pid(pages, "pages")
    assert pages.run("pages", "stop", right).code == 0
    assert not alive(pid)
    assert pages.run("pages", "monitor", right).code == 7


def test_the_example_is_as_short_and_as_clean_as_the_page_says() -> None:
    text = example()
    assert len(text.splitlines()) < 60
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "-q",
        "--stdin-filename",
        "resource_agents/pages.py",
        "-",
    ]
    judged = subprocess.run(command, input=text, capture_output=True, text=True, cwd=SOURCE)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("agent", cli.AGENTS)
def test_the_guide_names_every_parameter_with_its_default(agent: str) -> None:
    guide = (SOURCE / "resource_agents" / "README.md").read_text(encoding="utf-8")
    section = guide.split(f"\n## {agent}\n")[1].split("\n## ")[0]
    module = __import__(f"resource_agents.{cli.AGENTS[agent]}", fromlist=["AGENT"])
    for parameter in module.AGENT.parameters:
        rows = [line for line in section.splitlines() if f"`{parameter.name}`" in (line + "||").split("|")[1]]
        assert len(rows) == 1, f"{parameter.name} has one row"
        assert not parameter.default or f"`{parameter.default}`" in rows[0], parameter.name
        assert ("†" in rows[0]) == parameter.reloadable, parameter.name
    assert f"pcs resource create {section.split('pcs resource create ')[1].split()[0]} ocf:kappa:{agent} " in section
