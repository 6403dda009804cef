# ruff: noqa: E501 - shell does not wrap well
"""`kappa-agents conform` of fence agents: a good one passes every check, and each check is seen to fail for its reason."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from resource_agents import cli
from resource_agents.commands.conformance.registry import FAIL, NOT_APPLICABLE, PASS
from resource_agents.commands.fencing.judge import judge
from resource_agents.commands.fencing.registry import CHECKS
from tests.unit.resource_agents import tiny_fence_agent

LINES = "    case $line in '#'*) continue;; *=*) ;; *) continue;; esac\n"
VALIDATE = '[ "$action" != validate-all ] || exit 0'
STATE = '[ "$plug" = m1 ] || fail "there is no $plug"'
UNKNOWN = 'case $seen in on|off) ;; *) fail "its state is unknown: $seen";; esac'
# check → how the agent is broken, and what the evidence must name
BREAKS: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "metadata-well-formed": ((("</longdesc>", "</longdisc>"),), "not well-formed"),
    "metadata-unprivileged": (
        (("metadata() {\n", 'metadata() {\n[ "$(id -u)" = 0 ] || fail "not for you"\n'),),
        "as another user metadata: 1; tiny: not for you",
    ),
    "metadata-name": ((('name="fence_tiny"', 'name="fence_small"'),), "'fence_small'"),
    "metadata-parameters": ((('<content type="string"/><shortdesc lang="en">Device', '<content type="text"/><shortdesc lang="en">Device'),), "folder (type text)"),
    "metadata-plug": ((('required="1" deprecated="1"', 'required="1"'),), "not marked as deprecated"),
    "metadata-distinct": ((("-f, --folder=[folder]", "-o, --folder=[folder]"),), "-o: action and folder"),
    "metadata-actions": ((('<action name="off"/>\n', ""),), "not advertised: off"),
    "arguments-as-lines": ((("-o*) name=action;;", "-o*) name=nodename;;"),), "by -o metadata"),
    "parameters-by-any-form": ((("-f*) name=folder;;", "-f*) name=password;;"),), "by short options 1: tiny: folder is missing"),
    "unknown-keys-ignored": (
        ((LINES, LINES + "    case ${line%%=*} in pcmk*) echo \"tiny: what is $line\" >&2; exit 1;; esac\n"),),
        "with unknown keys 1: tiny: what is pcmk",
    ),
    "comments-ignored": ((("'#'*) continue;;", "'#'*) line=${line#?}; line=${line# };;"),), "with comments 1"),
    "last-value-wins": ((("action) action=$2;;", "action) [ $action != reboot ] || action=$2;;"),), "after action=off 1"),
    "action-in-any-case": ((('action=$(echo "$action" | tr A-Z a-z)\n', ""),), "as METADATA 1"),
    "unknown-action-refused": (((' *) fail "what is $action"', " *) exit 2"),), "conform-no-such-action: 2"),
    "plug-before-nodename": ((("plug=${plug:-$node}", "plug=${node:-$plug}"),), "with another nodename 1: tiny: there is no"),
    "no-plug-no-switch": ((('[ -n "$plug" ] || fail "plug is missing"', "plug=${plug:-m1}"),), "without a plug off: 0"),
    "validate-all-refuses": ((('[ -n "$folder" ] || fail "folder is missing"\n', ""),), "without folder validate-all: 0"),
    "validate-all-accepts": (((VALIDATE, '[ "$action" != validate-all ] || fail "never"'),), "validate-all: 1; tiny: never"),
    "monitor-of-working": (((VALIDATE, VALIDATE + '\n[ "$action$plug" != monitor ] || fail "plug is missing"'),), "without a plug, as Pacemaker asks, monitor: 1"),
    "status-of-on": ((('status) [ "$seen" = on ] || exit 2', 'status) [ "$seen" = off ] || exit 2'),), "status: 2"),
    "status-of-off": ((('[ "$seen" = on ] || exit 2', ":"),), "status: 0"),
    "list-names-plugs": ((('list) echo "m1,machine one"', 'list) echo "m1"'),), "not plug,alias: m1"),
    "list-status-tells-states": ((('$(cat "$folder/state")', "on"),), "of a machine that is off: m1,machine one,on"),
    "off-switches-off": ((('off) [ "$seen" = off ] || cut', "off) "),), "off: 0, but the machine is on"),
    "on-switches-on": ((('on) [ "$seen" = on ] || start', "on) start"),), "the second on started it anew"),
    "reboot-ends-what-ran": ((("reboot) cut; start", "reboot) "),), "what ran runs on"),
    "no-secret-in-argv": (((VALIDATE, VALIDATE + '\n/bin/sh -c "/bin/sleep 0.4; : $password"'),), "in the process list: password"),
    "unknown-plug-is-not-off": (((STATE, '[ "$plug" = m1 ] || [ "$action" = off ] || exit 2'),), "of a plug that there is none of status: 2"),
    "off-is-verified": ((('[ "$seen" = off ] || fail "it did not take"', "true"),), "off: 0"),
    "reboot-is-verified": ((('[ "$seen" = off ] || fail "it did not take"', "true"),), "reboot: 0"),
    "garbage-is-not-off": (((UNKNOWN, 'case $seen in on|shutting*) ;; *) seen=off;; esac'),), "status: 2"),
    "in-between-is-not-off": (((UNKNOWN, 'case $seen in on|off) ;; shutting*) seen=off;; *) fail "?";; esac'),), "status: 2, off: 0: said to be off"),
    "silence-is-a-failure": ((('silent) sleep 0.05; fail "no answer in time"', "silent) exit 0"),), "status: 0"),
    "away-is-a-failure": ((('away) fail "no connection"', 'away) [ "$action" = off ] && exit 0; fail "no connection"'),), "off: 0"),
    "exit-codes-legal": (((' *) fail "what is $action"', ' *) echo "tiny: what" >&2; exit 3'),), "conform-no-such-action: 3"),
    "no-traceback": (((' *) fail "what is $action"', ' *) fail "Traceback (most recent call last):"'),), "conform-no-such-action"),
    "failures-say-why": (((' *) fail "what is $action"', " *) exit 1"),), "conform-no-such-action: 1"),
    "ended-in-time": (((' *) fail "what is $action"', " *) sleep 1000"),), "no end within its time-out of 1"),
}  # fmt: skip
# what the checks of every run look at
BEFORE = ("unknown-action-refused",)


def verdicts(
    folder: Path, *only: str, edits: tuple[tuple[str, str], ...] = (), timeout_s: float | None = None
) -> dict[str, tuple[str, str]]:
    for directory in (folder, *folder.parents[:2]):
        directory.chmod(directory.stat().st_mode | 0o055)
    agent, commands = tiny_fence_agent.write(folder, *edits), tiny_fence_agent.device(folder)
    report = judge(agent, tiny_fence_agent.parameters(folder), only=only, timeout_s=timeout_s, **commands)  # type: ignore[arg-type]
    return {one.name: (one.verdict, one.evidence) for one in report.results}


def conform(*words: object, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, ["conform", *map(str, words)], env=environment)


def test_a_good_agent_passes_every_check(tmp_path: Path) -> None:
    seen = verdicts(tmp_path)
    assert set(seen) == {one.name for one in CHECKS}
    assert {name: evidence for name, (verdict, evidence) in seen.items() if verdict == FAIL} == {}
    # where root's own temporary directory is closed to others, nobody else can be tried; the schema is Debian's
    assert {name for name, (verdict, _) in seen.items() if verdict == NOT_APPLICABLE} <= {
        "metadata-unprivileged",
        "metadata-schema",
    }


@pytest.mark.parametrize("name", BREAKS)
def test_each_check_fails_an_agent_that_breaks_its_requirement(tmp_path: Path, name: str) -> None:
    edits, evidence = BREAKS[name]
    before = BEFORE if next(one.group for one in CHECKS if one.name == name) == "every run" else ()
    verdict, seen = verdicts(tmp_path, *before, name, edits=edits, timeout_s=1.5 if name == "ended-in-time" else None)[
        name
    ]
    if verdict == NOT_APPLICABLE and name == "metadata-unprivileged":
        pytest.skip(seen)
    assert (verdict, evidence in seen) == (FAIL, True), seen


def test_no_check_goes_unbroken() -> None:
    # metadata-schema has a test of its own: it needs xmllint
    assert {one.name for one in CHECKS} - {"metadata-schema"} == set(BREAKS)


def test_metadata_is_held_against_the_schema(tmp_path: Path) -> None:
    schema = tmp_path / "strict.rng"
    schema.write_text('<element name="other" xmlns="http://relaxng.org/ns/structure/1.0"><empty/></element>')
    report = judge(tiny_fence_agent.write(tmp_path), {}, only=["metadata-schema"], schema=schema)
    verdict, evidence = report.results[0].verdict, report.results[0].evidence
    assert verdict == FAIL or "xmllint is not installed" in evidence


def test_a_schema_of_ocf_agents_in_the_environment_is_not_meant(tmp_path: Path) -> None:
    schema = tmp_path / "ocf.rng"
    schema.write_text('<element name="other" xmlns="http://relaxng.org/ns/structure/1.0"><empty/></element>')
    agent = tiny_fence_agent.write(tmp_path)
    assert conform(agent, "--check", "metadata-schema", OCF_SCHEMA=str(schema)).exit_code == 0
    said = conform(agent, "--check", "metadata-schema", "--schema", schema)
    assert said.exit_code == 1 or "xmllint is not installed" in said.output


def test_without_parameters_no_device_is_asked(tmp_path: Path) -> None:
    agent = tiny_fence_agent.write(
        tmp_path, ('[ -n "$folder" ] || fail', f': >{tmp_path}/$action; [ -n "$folder" ] || fail')
    )
    seen = {one.name: (one.verdict, one.evidence) for one in judge(agent, {}).results}
    assert seen["metadata-actions"][0] == PASS
    assert seen["off-switches-off"] == (NOT_APPLICABLE, "needs parameters of a device that works: give --param")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fence_tiny", "validate-all"]


def test_without_a_stage_only_what_needs_none_is_judged(tmp_path: Path) -> None:
    agent, commands = tiny_fence_agent.write(tmp_path), tiny_fence_agent.device(tmp_path)
    report = judge(agent, tiny_fence_agent.parameters(tmp_path), state_command=commands["state_command"])
    seen = {one.name: one.verdict for one in report.results}
    assert FAIL not in seen.values()
    assert {seen[name] for name in ("off-switches-off", "status-of-off", "reboot-ends-what-ran")} == {PASS}
    assert {seen[name] for name in ("off-is-verified", "garbage-is-not-off", "away-is-a-failure")} == {NOT_APPLICABLE}


@pytest.mark.parametrize("found", ["on", "off"])
@pytest.mark.parametrize("staged", [True, False])
def test_the_machine_is_left_as_it_was_found(tmp_path: Path, found: str, staged: bool) -> None:
    agent, commands = tiny_fence_agent.write(tmp_path), tiny_fence_agent.device(tmp_path)
    (tmp_path / "state").write_text(f"{found}\n")
    report = judge(agent, tiny_fence_agent.parameters(tmp_path), only=["off-switches-off", "on-switches-on", "off-is-verified"],
                   **(commands if staged else {}))  # type: ignore[arg-type]  # fmt: skip
    assert FAIL not in [one.verdict for one in report.results]
    assert (tmp_path / "state").read_text() == f"{found}\n"
    assert (tmp_path / "mood").read_text() == "well\n"


def test_a_stage_that_cannot_do_a_thing_is_no_failure(tmp_path: Path) -> None:
    agent, commands = tiny_fence_agent.write(tmp_path), tiny_fence_agent.device(tmp_path)
    stage = tmp_path / "poor"
    stage.write_text("#!/bin/sh\nexit 3\n")
    stage.chmod(0o755)
    report = judge(
        agent, tiny_fence_agent.parameters(tmp_path), stage=str(stage), state_command=commands["state_command"]
    )
    seen = {one.name: (one.verdict, one.evidence) for one in report.results}
    assert FAIL not in [verdict for verdict, _ in seen.values()]
    assert seen["off-is-verified"] == (NOT_APPLICABLE, "this device cannot be made stuck")
    assert seen["status-of-off"][0] == PASS


def test_parameters_that_do_not_work_are_said_once_and_nothing_is_switched(tmp_path: Path) -> None:
    agent, commands = tiny_fence_agent.write(tmp_path), tiny_fence_agent.device(tmp_path)
    report = judge(agent, {"plug": "m9", "folder": str(tmp_path)}, **commands)  # type: ignore[arg-type]
    seen = {one.name: (one.verdict, one.evidence) for one in report.results}
    assert seen["status-of-on"] == (
        NOT_APPLICABLE,
        "with these parameters it sees no state: status: 1; tiny: there is no m9",
    )
    assert (tmp_path / "state").read_text() == "on\n"


def test_a_stage_that_fails_is_a_sentence(tmp_path: Path) -> None:
    agent = tiny_fence_agent.write(tmp_path)
    tiny_fence_agent.device(tmp_path)
    given = [
        word for name, value in tiny_fence_agent.parameters(tmp_path).items() for word in ("--param", f"{name}={value}")
    ]
    said = conform(agent, *given, "--stage", "/bin/false")
    assert said.exit_code == 1
    assert "could not be judged: RuntimeError: --stage well ended with 1" in said.output


def test_by_command_line_in_every_format(tmp_path: Path) -> None:
    agent = tiny_fence_agent.write(tmp_path, *BREAKS["metadata-actions"][0])
    only = [word for name in ("metadata-actions", "metadata-plug", "status-of-on") for word in ("--check", name)]
    said = conform(agent, *only)
    assert said.exit_code == 1
    assert "fail  metadata-actions  not advertised: off" in said.output
    assert "1 passed, 1 failed, 1 not applicable" in said.output
    made = json.loads(conform(agent, *only, "--format", "json").output)["agents"][0]
    assert [one["verdict"] for one in made["results"]] == [PASS, FAIL, NOT_APPLICABLE]
    assert all("Fence Agent API" in one["source"] for one in made["results"])
    suite = ElementTree.fromstring(conform(agent, *only, "--format", "junit").output.encode())[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert "| metadata-actions | **fail** |" in conform(agent, *only, "--format", "markdown").output
    listed = conform("--list", "--fence").output
    assert all(one.name in listed and one.source in listed for one in CHECKS)


def test_which_agents_are_fence_agents(tmp_path: Path) -> None:
    agent = tiny_fence_agent.write(tmp_path)
    other = agent.rename(tmp_path / "tiny")
    assert "metadata-name" in conform(other, "--fence", "--check", "metadata-name").output
    for words, says in (
        (("stonith:fence_of_nobody",), "There is no fence agent fence_of_nobody"),
        (("fence_of_nobody",), "There is no fence agent fence_of_nobody"),
        (("stonith:fence_x", "ocf:pacemaker:Dummy"), "judge each kind by itself"),
        ((other, "--fence", "--check", "start-twice"), "There is no check start-twice"),
    ):
        said = conform(*words)
        assert (said.exit_code, says in said.output) == (2, True), said.output
