"""`kappa-agents check`, `describe`, `completion`, and the help."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from resource_agents import cli
from resource_agents.commands.cib import find_resource
from resource_agents.commands.meaning import meaning
from resource_agents.commands.metadata import time_s
from resource_agents.ocf import exits
from tests.unit.resource_agents import tiny_agent

CIB = """<cib><configuration><resources>
<template id="base" class="ocf" provider="kappa" type="vip">
  <instance_attributes id="t"><nvpair id="t1" name="nic" value="lo"/><nvpair id="t2" name="ip" value="127.0.0.9"/></instance_attributes>
  <operations><op id="o1" name="monitor" interval="10s" timeout="9s"/></operations></template>
<group id="both"><primitive id="address" template="base">
  <instance_attributes id="a" score="1"><nvpair id="a1" name="ip" value="127.0.0.1"/></instance_attributes>
  <instance_attributes id="b"><nvpair id="b1" name="ip" value="127.0.0.2"/><nvpair id="b2" name="prefix" value="8"/></instance_attributes>
  <instance_attributes id="c" score="9"><rule id="r" score="INFINITY"/><nvpair id="c1" name="ip" value="127.0.0.3"/></instance_attributes>
  <operations><op id="o2" name="monitor" interval="30s" timeout="7s">
    <instance_attributes id="oa"><nvpair id="oa1" name="OCF_CHECK_LEVEL" value="10"/></instance_attributes></op></operations>
</primitive></group>
<primitive id="web" class="systemd" type="nginx"/>
</resources></configuration></cib>"""  # noqa: E501


def kappa_agents(*words: object, **environment: str) -> Result:
    result = CliRunner().invoke(cli.main, [str(word) for word in words], env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def ocf_root(installed: Path) -> str:
    return str(installed / "usr/lib/ocf")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["ip=127.0.0.1"], 0, ["running", "0 (success)", "leaves it alone", "ms of 10 s allowed"]),
        (["ip=192.0.2.7"], 1, ["cleanly stopped", "7 (not running)", "not on any interface"]),
        (["ip=1.2"], 1, ["6 (not configured)", "banned from every node", "parameter ip=1.2"]),
        (["ip=1.2", "--action", "validate-all"], 1, ["6 (not configured)"]),
        (["ip=192.0.2.7", "--action", "validate-all", "--level", "10"], 0, ["validate-all at level 10", "done"]),
        (["ip=127.0.0.1", "colour=red"], 0, ["has no parameter colour"]),
        (["ip=127.0.0.1", "--timeout", "3s"], 0, ["of 3 s allowed"]),
    ],
)
def test_check_says_in_words_what_the_agent_found(ocf_root: str, words: list[str], code: int, says: list[str]) -> None:
    result = kappa_agents("check", "vip", *words, OCF_ROOT=ocf_root)
    assert result.exit_code == code, result.output
    for text in says:
        assert text in result.output
    assert "\x1b[" not in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Say which AGENT"),
        (["nothing"], "There is no agent nothing"),
        (["ocf:kappa:nothing"], "is not there"),
        (["vip", "ip"], "is not name=value"),
        (["vip", "ip=127.0.0.1", "--timeout", "soon"], "is not a time"),
        (["vip", "--resource", "address"], "not both"),
        (["vip", "--level", "-1"], "--level"),
    ],
)
def test_wrong_usage_is_2_and_says_what_to_do(ocf_root: str, words: list[str], says: str) -> None:
    result = kappa_agents("check", *words, OCF_ROOT=ocf_root)
    assert (result.exit_code, says in result.output) == (2, True), result.output


def test_a_hanging_agent_is_killed_at_its_timeout(tmp_path: Path) -> None:
    agent = tiny_agent.write(tmp_path, ("  monitor) validate;", "  monitor) /bin/sleep 60;"))
    result = kappa_agents("check", agent, "name=x", "--timeout", "200ms")
    assert result.exit_code == 1
    assert "no answer within the time-out" in result.output
    assert "of 0.2 s allowed" in result.output


def test_an_agent_without_metadata_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    for text, says in (
        ("#!/bin/sh\necho no >&2; exit 5\n", "ends with 5: no"),
        ("#!/bin/sh\necho x\n", "not well-formed"),
    ):
        agent.write_text(text)
        agent.chmod(0o755)
        for command in ("check", "describe"):
            result = kappa_agents(command, agent)
            assert (result.exit_code, says in result.output) == (1, True), result.output
    agent.write_text("#!/nonexistent\n")
    assert "cannot be run" in kappa_agents("describe", agent).output


def cluster(directory: Path, script: str) -> str:
    """A PATH with a `cibadmin` that answers as the script does."""
    (directory / "cib.xml").write_text(CIB)
    program = directory / "cibadmin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


def test_a_resource_is_checked_with_what_the_live_cluster_has(tmp_path: Path, ocf_root: str) -> None:
    path = cluster(tmp_path, f'[ "$*" = --query ] && exec cat {tmp_path}/cib.xml')
    result = kappa_agents("check", "--resource", "address", OCF_ROOT=ocf_root, PATH=path)
    assert result.exit_code == 0, result.output
    assert "running" in result.output
    assert "applies by rule only" in result.output
    assert (
        "of 7 s allowed"
        in kappa_agents("check", "--resource", "address", "--level", "10", OCF_ROOT=ocf_root, PATH=path).output
    )
    moved = kappa_agents("check", "--resource", "address", "ip=192.0.2.9", OCF_ROOT=ocf_root, PATH=path)
    assert "192.0.2.9 is not on any interface" in moved.output, "a parameter on the command line is tried instead"


def test_the_cib_is_read_as_pacemaker_reads_it() -> None:
    found = find_resource(CIB, "address")
    assert found.agent == "ocf:kappa:vip"
    assert found.parameters == {"nic": "lo", "ip": "127.0.0.1", "prefix": "8"}
    assert (found.timeout("monitor", 10), found.timeout("monitor", 0), found.timeout("start", 0)) == ("7s", "9s", "")


@pytest.mark.parametrize(
    ("wanted", "script", "code", "says"),
    [
        ("missing", "cat DIR/cib.xml", 2, "It has: address, web"),
        ("both", "cat DIR/cib.xml", 2, "both is a group; say which of its resources: address"),
        ("web", "cat DIR/cib.xml", 2, "only OCF agents can be checked"),
        (
            "address",
            "echo 'Could not connect to the CIB: Transport endpoint is not connected' >&2; exit 102",
            1,
            "Transport",
        ),
        ("address", "echo nonsense", 1, "is not XML"),
    ],
)
def test_what_the_cluster_cannot_say_is_said(tmp_path: Path, wanted: str, script: str, code: int, says: str) -> None:
    path = cluster(tmp_path, script.replace("DIR", str(tmp_path)))
    result = kappa_agents("check", "--resource", wanted, PATH=path)
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_without_a_cluster_here_it_says_so(tmp_path: Path) -> None:
    result = kappa_agents("check", "--resource", "x", PATH=str(tmp_path))
    assert (result.exit_code, "cibadmin is not installed" in result.output) == (1, True), result.output


@pytest.mark.parametrize("action", ["monitor", "start", "stop", "promote", "validate-all"])
def test_every_exit_code_has_a_meaning_and_a_failed_stop_always_fences(action: str) -> None:
    for code in (*exits.LEGAL, 42, 255, -9):
        means = meaning(action, code)
        assert means.found
        assert means.cluster
        assert ("fences this node" in means.cluster) == (action == "stop" and code != 0)
        assert not (means.well and code in (1, 2, 3, 4, 5, 6, 7, 9, 42, 255, -9))
    assert "every node" in meaning("start", 6).cluster
    assert "this node is banned" in meaning("start", 5).cluster
    assert "degraded" in meaning("monitor", 190).cluster


def test_describe_names_all_that_can_be_set(ocf_root: str, tmp_path: Path) -> None:
    result = kappa_agents("describe", "ocf:kappa:vip", OCF_ROOT=ocf_root)
    assert result.exit_code == 0
    for text in (
        "vip",
        "OCF 1.1",
        "ip",
        "required",
        "duplicate_wait",
        '"150ms"',
        "without a restart",
        "monitor level 10",
    ):
        assert text in result.output
    assert all(len(line) <= 120 for line in result.output.splitlines())
    assert kappa_agents("describe", tiny_agent.write(tmp_path)).output.startswith("tiny 7.0 (OCF 1.1) - Tiny")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_commands_agents_and_parameters(shell: str, ocf_root: str) -> None:
    script = kappa_agents("completion", shell).output
    assert "_KAPPA_AGENTS_COMPLETE" in script
    if shell != "bash":
        return
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)

    def completed(*words: str) -> set[str]:
        ran = subprocess.run(
            [sys.executable, "-c", "from resource_agents.cli import main; main(prog_name='kappa-agents')"],
            env={"_KAPPA_AGENTS_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("kappa-agents", *words)),
                 "COMP_CWORD": str(len(words)), "OCF_ROOT": ocf_root, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            cwd=Path(cli.__file__).parent.parent,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return {line.partition(",")[2] for line in ran.stdout.splitlines()}

    assert completed("con") == {"conform"}
    assert {"vip", "nginx"} <= completed("describe", "")
    assert completed("check", "vip", "dup") == {"duplicate_wait="}


def test_help_teaches_with_examples() -> None:
    for words in ([], ["check"], ["conform"], ["describe"], ["completion"]):
        text = kappa_agents(*words, "--help").output
        assert text.count("kappa-agents ") >= 2, text


def test_times_as_agents_write_them() -> None:
    assert [time_s(text) for text in ("20", "20s", "500ms", "2min", "1h", " 3 s ")] == [20, 20, 0.5, 120, 3600, 3]
    assert [time_s(text) for text in ("", "s", "-1s", "20 days", "1.2.3s")] == [None] * 5


def test_installing_costs_no_import_of_what_only_others_need() -> None:
    code = "import sys, resource_agents.cli; print([m for m in sys.modules if m == 'psutil' or 'commands' in m])"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(cli.__file__).parent.parent
    )
    assert ran.stdout.strip() == "[]", ran.stderr
