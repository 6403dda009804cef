"""Whatever an agent does wrong or meets, its run ends with a legal exit code and one reason, within its time."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.resource_agents.running import PREFIX, Agents, finish, until

NAUGHTY = """#!{interpreter}
import sys
sys.path.insert(0, {library!r})
import os, time
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import Failure
from resource_agents.ocf.parameters import Parameter

def start(operation):
    what = operation.text("do")
    if what == "hang":
        open(operation.text("mark"), "w").close()
        time.sleep(3600)
    elif what == "wait":
        operation.deadline.wait(lambda: False)
        raise Failure(1, "waited politely")
    elif what == "exit":
        sys.exit(77)
    elif what == "code":
        raise Failure(42, "an odd code")
    elif what == "silent":
        raise Failure(1, "")
    elif what == "lines":
        raise Failure(1, "one\\ntwo\\x1b[31m\\0three\\udcff" + "x" * 5000)
    elif what == "disk":
        raise OSError(28, "No space left on device", "/run/x")
    elif what == "permission":
        raise PermissionError(13, "Permission denied", "/run/x")
    elif what == "deep":
        def down(): return down() + 1
        down()
    else:
        raise ZeroDivisionError("oops")

AGENT = Agent(name="naughty", short="x & <y>", long="<&>\\"'", parameters=(
    Parameter("do", "string", None, "a \\"quoted\\" <thing> & more", unique_group="a&b", reloadable=True),
    Parameter("mark", "string", 'de"f<a>&ult', "m"),
    Parameter("kind", "select", "one", "m", options=("one", "t&wo")),
), timeouts={{"start": 1, "stop": 1, "monitor": 1}}, start=start, stop=start, monitors={{0: (10, start)}})
AGENT.main()
"""


@pytest.fixture
def naughty(agents: Agents, tmp_path: Path) -> Path:
    path = tmp_path / "naughty"
    interpreter = agents.path("vip").read_text().splitlines()[0].removeprefix("#!")
    path.write_text(NAUGHTY.format(interpreter=interpreter, library=str(agents.root / "usr/lib/kappa-ha")))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("do", "code", "says"),
    [
        ("exit", 1, "SystemExit"),
        ("code", 1, "not one of OCF's"),
        ("silent", 1, "no reason was given"),
        ("disk", 1, "No space left on device: /run/x"),
        ("permission", 4, "/run/x"),
        ("deep", 1, "RecursionError"),
        ("other", 1, "ZeroDivisionError: oops at naughty:"),
    ],
)
def test_everything_raised_becomes_a_legal_code_and_one_reason(
    agents: Agents, naughty: Path, do: str, code: int, says: str
) -> None:
    process = agents.start_process("", ["start"], agents.environment({"do": do}), naughty)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith(PREFIX)
    assert says in err


def test_a_reason_is_one_printable_line(agents: Agents, naughty: Path) -> None:
    process = agents.start_process("", ["start"], agents.environment({"do": "lines"}), naughty)
    ended = finish(process, time.monotonic(), 20)
    assert ended.reason.startswith("naughty: one two [31m three")
    assert len(ended.reason) <= 520
    assert ended.reason.isprintable()


@pytest.mark.parametrize(
    ("do", "says"), [("hang", "was not done within its timeout of 0.5 s"), ("wait", "waited politely")]
)
def test_the_timeout_is_met_by_the_agent_itself(
    agents: Agents, naughty: Path, tmp_path: Path, do: str, says: str
) -> None:
    environment = agents.environment({"do": do, "mark": tmp_path / "mark"}, timeout_s=0.5)
    began = time.monotonic()
    ended = finish(agents.start_process("", ["start"], environment, naughty), began, 0.5)
    assert ended.code == 1
    assert says in ended.reason
    # How far ahead of Pacemaker it means to be is the Deadline's to say; a busy machine adds the start of a process.
    assert 0.3 < ended.seconds < 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_a_reason(agents: Agents, naughty: Path, tmp_path: Path, number: signal.Signals) -> None:
    environment = agents.environment({"do": "hang", "mark": tmp_path / "mark"})
    process = agents.start_process("", ["stop"], environment, naughty)
    until((tmp_path / "mark").exists)
    process.send_signal(number)
    ended = finish(process, time.monotonic(), 20)
    assert ended.code == 1, "an interrupted stop is not a stop"
    assert number.name in ended.reason


def test_without_a_timeout_the_advertised_one_holds(agents: Agents, naughty: Path) -> None:
    environment = agents.environment({"do": "wait"})
    del environment["OCF_RESKEY_CRM_meta_timeout"]
    began = time.monotonic()
    ended = finish(agents.start_process("", ["start"], environment, naughty), began, 1)
    assert ended.code == 1
    assert 0.8 < ended.seconds < 2


def test_metadata_is_well_formed_whatever_the_texts_hold(agents: Agents, naughty: Path) -> None:
    import xml.etree.ElementTree as ElementTree

    process = agents.start_process("", ["meta-data"], {}, naughty)
    ended = finish(process, time.monotonic(), 20)
    root = ElementTree.fromstring(ended.out.encode())
    assert root.findtext("shortdesc") == "x & <y>"
    assert root.findtext("longdesc") == "<&>\"'"
    first, second, third = root.iter("parameter")
    assert first.get("unique-group") == "a&b"
    assert first.get("reloadable") == "1"
    assert [one.attrib for one in second.iter("content")] == [{"type": "string", "default": 'de"f<a>&ult'}]
    assert [one.get("value") for one in third.iter("option")] == ["one", "t&wo"]


def test_closed_outputs_are_no_traceback(agents: Agents, naughty: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for action, code in (("meta-data", 1), ("start", 1)):
        ran = subprocess.run(
            [str(naughty), action], env=agents.environment({"do": "x"}), stdout=writer, stderr=writer, timeout=20
        )
        assert ran.returncode == code
    os.close(writer)
    shell = f"exec {naughty} meta-data >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", shell], env={}, timeout=20).returncode == 1
