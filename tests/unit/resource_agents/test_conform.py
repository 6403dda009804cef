# ruff: noqa: E501 - shell does not wrap well
"""`kappa-agents conform`: a good agent passes every check, and each check is seen to fail for its own reason."""

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner, Result

from resource_agents import cli
from resource_agents.commands.conformance.judge import judge
from resource_agents.commands.conformance.registry import CHECKS, FAIL, NOT_APPLICABLE, PASS
from tests.unit.resource_agents import tiny_agent
from tests.unit.resource_agents.running import until

SCHEMA = """<grammar xmlns="http://relaxng.org/ns/structure/1.0"><start><ref name="any"/></start>
<define name="any"><element><anyName/><zeroOrMore><choice><attribute><anyName/></attribute><text/><ref name="any"/>
</choice></zeroOrMore></element></define></grammar>"""
DEEP = '  [ -s "$state.role" ] && return 8\n'
MONITOR = "  monitor) validate; monitor; exit $?;;"
STOP = "stop() {\n"
START = "  validate\n  monitor 2>/dev/null; case"
SPAWN = '/bin/sh -c \'echo $$ >"$1"; exec /usr/bin/setsid /bin/sleep 1000\' sh "$state" >/dev/null 2>&1 &'
UNTIL = "  until monitor 2>/dev/null; do /bin/sleep 0.01; done\n"
# check → how the agent is broken, and what the evidence must name
BREAKS: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "metadata-well-formed": ((("<version>1.1</version>", "<version>1.1</varsion>"),), "not well-formed"),
    "metadata-unprivileged": (
        (("metadata() {\n", 'metadata() {\n[ -n "$OCF_RESKEY_name" ] || { reason "no name"; exit 6; }\n'),),
        "meta-data: 6",
    ),
    "metadata-version": ((("<version>1.1<", "<version>1.0<"),), "1.0"),
    "metadata-name": ((('name="tiny"', 'name="Tiny"'),), "'Tiny'"),
    "metadata-descriptions": (
        (('<shortdesc lang="en">Count</shortdesc>', ""),),
        "none of: count",
    ),
    "metadata-defaults": ((('type="string" default=""', 'type="string"'),), "file"),
    "metadata-types": ((('type="integer" default="1"', 'type="integer" default="one"'),), 'default "one"'),
    "metadata-unique-group": ((('unique-group="name"', 'unique="1"'),), "name"),
    "metadata-actions": ((('<action name="stop" timeout="5s"/>', ""),), "not advertised: stop"),
    "metadata-times": ((('interval="20s"', 'interval="20"'),), "monitor 20"),
    "metadata-intervals": ((('interval="20s"', 'interval="10s"'),), "same interval"),
    "metadata-reloadable": ((('<action name="reload-agent" timeout="5s"/>', ""),), "reload-agent is not advertised"),
    "metadata-roles": ((('<action name="demote" timeout="5s"/>', ""),), "promote without"),
    "unknown-action": (((r'reason "there is no action $1"; exit 3', "exit 0"),), ": 0, not 3"),
    "mandatory-actions": ((("  stop) stop; exit $?;;\n", ""),), "stop: 3"),
    "never-started-monitor": ((("recorded || return 7", 'recorded || { reason "?"; return 1; }'),), "monitor: 1"),
    "stop-of-stopped": (((STOP, STOP + '  recorded || { reason "not there"; return 1; }\n'),), "stop: 1; tiny: not there"),
    "stop-without-parameters": (((STOP, STOP + "  validate\n"),), "stop: 6; tiny: name is missing"),
    "stop-with-wrong-parameters": (((STOP, STOP + "  validate\n"),), "is no number"),
    "stop-without-programs": (
        ((STOP, STOP + '  command -v sleep >/dev/null || { reason "no sleep here"; return 5; }\n'),),
        "stop: 5; tiny: no sleep here",
    ),
    "wrong-parameters-refused": ((("*[!0-9]*) reason", "@) reason"),), "taken as right: count="),
    "validate-all-silent": ((("validate-all) validate;", "validate-all) validate; echo fine;"),), "it said: fine"),
    "validate-all-parameters-alone": (
        (("validate-all) validate;", 'validate-all) [ -e "$OCF_RESKEY_file" ] || { reason "no file"; exit 5; };'),),
        "file not on this node validate-all: 5",
    ),
    "extra-arguments": (
        ((MONITOR, '  monitor) [ $# = 1 ] || { reason "too many"; exit 2; }; validate; monitor; exit $?;;'),),
        "monitor: 7, with more arguments 2",
    ),
    "environment-of-pacemaker": (
        ((MONITOR, '  monitor) [ "$__OCF_ACTION" = monitor ] || { reason "no such action"; exit 3; }; monitor; exit $?;;'),),
        "as a probe monitor: 3",
    ),
    "levels-of-stopped": (
        ((MONITOR, '  monitor) [ "${OCF_CHECK_LEVEL:-0}" -le 10 ] || { reason "no level"; exit 2; }; monitor; exit $?;;'),),
        "at level 20 monitor: 2",
    ),
    "monitor-starts-nothing": (
        ((MONITOR, "  monitor) validate; /usr/bin/setsid /bin/sleep 1000 >/dev/null 2>&1 & monitor; exit $?;;"),),
        "left processes behind",
    ),
    "parallel-probes-of-stopped": (
        ((
            MONITOR,
            '  monitor) /bin/mkdir "$HA_RSCTMP/lock" 2>/dev/null || { reason "busy"; exit 1; }; /bin/sleep 0.2; '
            '/bin/rmdir "$HA_RSCTMP/lock"; monitor; exit $?;;',
        ),),
        "six at once",
    ),
    "start-returns-when-usable": (
        ((UNTIL, ""), ("-c 'echo $$", "-c '/bin/sleep 0.3; echo $$")),
        "right after start",
    ),
    "start-twice": (((START, "  validate; stop\n  monitor 2>/dev/null; case"),), "are gone after the second start"),
    "monitor-changes-nothing": (
        ((DEEP, '  [ "$OCF_CHECK_LEVEL" != 10 ] || { OCF_CHECK_LEVEL=0; stop; start; }\n' + DEEP),),
        "processes are gone after monitor",
    ),
    "levels-of-running": (
        ((DEEP, '  [ "${OCF_CHECK_LEVEL:-0}" != 15 ] || { reason "no level 15"; return 1; }\n' + DEEP),),
        "at level 15",
    ),
    "parallel-probes-of-running": (
        ((
            DEEP,
            '  /bin/mkdir "$state.l" 2>/dev/null || { reason "busy"; return 1; }; /bin/sleep 0.1; /bin/rmdir "$state.l"\n'
            + DEEP,
        ),),
        "five at once",
    ),
    "stop-returns-when-down": ((('    kill -9 "$pid" 2>/dev/null\n    while kill -0 "$pid"', "    while false"),), "still there"),
    "stop-twice": (
        ((STOP, STOP + '  [ ! -f "$state" ] || recorded || { reason "is stopped already"; return 1; }\n'),),
        "the second time stop: 1",
    ),
    "start-after-stop": (
        ((START, '  [ ! -f "$state" ] || recorded || { reason "a lock is left"; return 1; }\n' + START),),
        "start: 1; tiny: a lock is left",
    ),
    "start-with-wrong-parameters": (((START, "  monitor 2>/dev/null; case"),), "start without name: 0"),
    "killed-in-start": (
        ((SPAWN, '/usr/bin/setsid /bin/sleep 1000 >/dev/null 2>&1 & new=$!; /bin/sleep 0.1; echo $new >"$state"'),),
        "start killed after",
    ),
    "killed-in-stop": (
        (
            (STOP, STOP + '  [ ! -e "$state.lock" ] || { reason "another stop is running"; return 1; }; : >"$state.lock"\n'),
            ('    : >"$state.role"\n', '    : >"$state.role"; /bin/rm "$state.lock"\n'),
        ),
        "another stop is running",
    ),
    "main-process-killed": (
        ((
            SPAWN,
            "/bin/sh -c 'echo $$ >\"$1\"; exec /usr/bin/setsid /bin/sh -c \"/bin/sleep 1000 & wait\"' sh \"$state\" "
            ">/dev/null 2>&1 &",
        ),),
        "after stop still there",
    ),
    "stop-of-running-without-parameters": (((STOP, STOP + '  [ -n "$OCF_RESKEY_name" ] || return 0\n'),), "yet monitor"),
    "reload-agent": ((("reload_agent() { validate; monitor; }", "reload_agent() { validate; stop; }"),), "after reload-agent"),
    "promote-and-demote": ((('demote() { : >"$state.role"; }', "demote() { :; }"),), "after demote monitor: 8"),
    "exit-codes-legal": (((r'reason "there is no action $1"; exit 3', "exit 42"),), "conform-no-such-action: 42"),
    "only-monitor-says-states": (((STOP, STOP + "  recorded || return 7\n"),), "stop: 7"),
    "one-reason-each": (((r'reason "there is no action $1"; exit 3', "exit 3"),), "with 0 reasons"),
    "no-reason-without-failure": ((("  meta-data) metadata;;", "  meta-data) metadata; reason well;;"),), "meta-data: 0 (tiny: well)"),
    "no-traceback": (
        ((r'reason "there is no action $1"', 'reason "x"; echo "Traceback (most recent call last):" >&2'),),
        "conform-no-such-action",
    ),
    "timeouts-obeyed": (
        (('name="stop" timeout="5s"', 'name="stop" timeout="300ms"'), (STOP, STOP + "  /bin/sleep 60\n")),
        "stop: no end within its time-out of 0.3 s",
    ),
}  # fmt: skip
SLOW = {one.name for one in CHECKS if one.group == "lifecycle"} | {
    "timeouts-obeyed",
    "parallel-probes-of-stopped",
    "monitor-starts-nothing",
}
# what the checks of every run look at
BEFORE = ("unknown-action", "mandatory-actions", "stop-of-stopped")


def verdicts(agent: Path, *only: str, parameters: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    given = tiny_agent.PARAMETERS if parameters is None else parameters
    report = judge(agent, given, lifecycle=bool(given), only=only)
    return {one.name: (one.verdict, one.evidence) for one in report.results}


def conform(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, ["conform", *map(str, words)], env=environment)


@pytest.mark.slow
def test_a_good_agent_passes_every_check(tmp_path: Path) -> None:
    (tmp_path / "any.rng").write_text(SCHEMA)
    said = conform(tiny_agent.write(tmp_path), "--param", "name=x", "--param", "file=/etc/hostname", "--format", "json",
                   "--schema", tmp_path / "any.rng")  # fmt: skip
    results = {one["name"]: one for one in json.loads(said.output)["agents"][0]["results"]}
    assert {name: one["evidence"] for name, one in results.items() if one["verdict"] == FAIL} == {}
    left_out = {name: one["evidence"] for name, one in results.items() if one["verdict"] == NOT_APPLICABLE}
    # where root's own temporary directory is closed to others, nobody else can be tried
    assert set(left_out) <= {"metadata-unprivileged", "metadata-schema"}
    assert all(one["requirement"] and one["source"] for one in results.values())
    assert said.exit_code == 0


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in BREAKS])
def test_each_check_fails_an_agent_that_breaks_its_requirement(tmp_path: Path, name: str) -> None:
    edits, evidence = BREAKS[name]
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(directory.stat().st_mode | 0o055)
    before = BEFORE if next(one.group for one in CHECKS if one.name == name) == "every run" else ()
    verdict, seen = verdicts(tiny_agent.write(tmp_path, *edits), *before, name)[name]
    assert (verdict, evidence in seen) == (FAIL, True), seen


def test_no_check_goes_unbroken() -> None:
    # metadata-schema has a test of its own: it needs xmllint
    assert {one.name for one in CHECKS} - {"metadata-schema"} == set(BREAKS)


def test_metadata_is_held_against_the_schema(tmp_path: Path) -> None:
    schema = tmp_path / "strict.rng"
    schema.write_text('<element name="other" xmlns="http://relaxng.org/ns/structure/1.0"><empty/></element>')
    report = judge(tiny_agent.write(tmp_path), {}, lifecycle=False, only=["metadata-schema"], schema=schema)
    verdict, evidence = report.results[0].verdict, report.results[0].evidence
    assert verdict == FAIL or "xmllint is not installed" in evidence


def test_without_parameters_nothing_is_started(tmp_path: Path) -> None:
    agent = tiny_agent.write(tmp_path, ("start() {\n", f"start() {{\n  : >{tmp_path}/started\n"))
    seen = verdicts(agent, parameters={})
    assert not (tmp_path / "started").exists()
    assert seen["start-twice"] == (
        NOT_APPLICABLE,
        "needs working parameters: give --param, or --defaults if its defaults will do",
    )
    assert seen["metadata-version"][0] == PASS
    assert seen["stop-without-parameters"][0] == PASS


def test_what_runs_already_is_left_alone(tmp_path: Path) -> None:
    agent = tiny_agent.write(
        tmp_path, (MONITOR, "  monitor) exit 0;;"), (STOP, f"stop() {{\n  : >{tmp_path}/stopped\n")
    )
    seen = verdicts(agent)
    assert not (tmp_path / "stopped").exists()
    assert "runs here already" in seen["stop-of-stopped"][1]
    assert {seen[name][0] for name in ("stop-of-stopped", "stop-twice", "killed-in-stop")} == {NOT_APPLICABLE}


def test_parameters_that_do_not_work_are_one_failure_and_no_dozen(tmp_path: Path) -> None:
    seen = verdicts(tiny_agent.write(tmp_path), "start-returns-when-usable", "start-twice", parameters={"count": "2"})
    assert seen["start-returns-when-usable"] == (FAIL, "start: 6; tiny: name is missing; set it")
    assert seen["start-twice"][0] == NOT_APPLICABLE


def test_nothing_is_left_running_by_the_worst_agent(tmp_path: Path) -> None:
    agent = tiny_agent.write(tmp_path, (STOP, 'stop() {\n  reason "never"; return 1\n'))
    verdicts(agent, "start-twice")
    ours = [one for one in psutil.process_iter(["environ"]) if str(tmp_path) in str(one.info["environ"])]
    sleeping = [one for one in psutil.Process().children(recursive=True) if one.name() == "sleep"]
    assert (ours, sleeping) == ([], [])


@pytest.mark.parametrize(
    ("text", "evidence"),
    [("#!/nonexistent/interpreter\n", "cannot be executed"), ("#!/bin/sh\nkill -9 $$\n", "signal 9")],
)
def test_an_agent_that_cannot_run_fails_in_words(tmp_path: Path, text: str, evidence: str) -> None:
    agent = tmp_path / "broken"
    agent.write_text(text)
    agent.chmod(0o755)
    seen = verdicts(agent, "metadata-well-formed", "unknown-action", "metadata-version", parameters={})
    assert seen["metadata-well-formed"][0] == FAIL
    assert evidence in seen["metadata-well-formed"][1]
    assert seen["metadata-version"] == (NOT_APPLICABLE, "its metadata cannot be read")


def test_output_for_people_programs_ci_and_pages(tmp_path: Path) -> None:
    agent = tiny_agent.write(tmp_path, *BREAKS["metadata-version"][0])
    only = [word for name in ("metadata-version", "metadata-name", "start-twice") for word in ("--check", name)]
    said = conform(agent, *only)
    assert said.exit_code == 1
    assert "\x1b[" not in said.output, "colour is for terminals"
    assert "fail  metadata-version  <version> is 1.0" in said.output
    assert "1 passed, 1 failed, 1 not applicable" in said.output
    assert "\x1b[" in CliRunner().invoke(cli.main, ["conform", str(agent), *only], color=True).output
    made = json.loads(conform(agent, *only, "--format", "json").output)["agents"]
    assert [(one["name"], one["agent_version"], one["ocf_version"]) for one in made] == [("tiny", "7.0", "1.0")]
    assert [one["verdict"] for one in made[0]["results"]] == [FAIL, PASS, NOT_APPLICABLE]
    suite = ElementTree.fromstring(conform(agent, *only, "--format", "junit").output.encode())[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert suite[0][0].get("message") == "<version> is 1.0"
    page = conform(agent, agent, *only, "--format", "markdown").output
    assert "| metadata-version | **fail** | **fail** |" in page
    assert conform(tiny_agent.write(tmp_path), *only).exit_code == 0


def test_usage_errors_are_2_and_say_what_to_do(tmp_path: Path) -> None:
    agent = tiny_agent.write(tmp_path)
    for words, says in (
        ((), "Say which agent"),
        ((agent, "--param", "nonsense"), "is not name=value"),
        ((agent, "--param", "colour=red"), "No agent here has a parameter colour"),
        ((agent, "--check", "happiness"), "There is no check happiness"),
        ((agent, "--timeout", "soon"), "is not a time"),
        ((tmp_path / "missing",), "is not there"),
        ((tmp_path / "any:thing:else:x",), "is not there"),
        (("a:b:c:d",), "names no agent"),
    ):
        said = conform(*words)
        assert (said.exit_code, says in said.output) == (2, True), said.output


def test_the_list_of_checks_names_requirement_and_source() -> None:
    said = conform("--list").output
    assert all(one.name in said and one.source in said for one in CHECKS)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.root
def test_our_own_vip_passes_all_of_it(installed: Path) -> None:
    vip = installed / "usr/lib/ocf/resource.d/kappa/vip"
    ran = subprocess.run(
        ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-m", "resource_agents.cli",
         "conform", str(vip), "--param", "ip=127.0.7.7", "--param", "nic=lo"],
        capture_output=True,
        text=True,
        cwd=Path(cli.__file__).parent.parent,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " 0 failed" in ran.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_conform_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    agent = tiny_agent.write(
        tmp_path,
        (STOP, f"stop() {{\n  echo $pid $state >{tmp_path}/stopping\n"),
        (START, f"  : >{tmp_path}/began\n" + START),
    )
    command = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "resource_agents.cli",
            "conform",
            str(agent),
            "--param",
            "name=x",
            "--check",
            "main-process-killed",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=Path(cli.__file__).parent.parent,
    )
    until((tmp_path / "began").exists)
    every = [psutil.Process(command.pid), *psutil.Process(command.pid).children(recursive=True)]
    command.send_signal(number)
    command.communicate(timeout=20)
    until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in every))
