"""What OCF 1.1 asks of every agent, asked of each of ours as Pacemaker would ask it."""

import os
import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.unit.resource_agents.running import Agents, finish

AGENTS = ("telegram-bot", "mongos", "nginx", "vip", "uplink")
COMPLETE: dict[str, dict[str, object]] = {
    "telegram-bot": {"config": "/nonexistent/bot.toml"},
    "mongos": {"configdb": "kappa0/127.0.0.1:1", "port": "1"},
    "nginx": {"config": "/nonexistent/nginx.conf"},
    "vip": {"ip": "192.0.2.77"},
    "uplink": {"telegram_url": "http://127.0.0.1:1"},
}
WRONG: dict[str, dict[str, object]] = {
    "telegram-bot": {"deaf_after": "soon", "socket": "relative.sock"},
    "mongos": {"port": "70000", "options": "'", "tls": "on", "configdb": "kappa0/127.0.0.1:0"},
    "nginx": {"config": "nginx.conf", "drain": "-1s", "status_url": "https://user:word@x/", "upstream_status": "9"},
    "vip": {"ip": "300.1.1.1", "prefix": "abc"},
    "uplink": {"telegram_url": "ftp://x", "router": "here", "results": "0", "dampen": "-1s"},
}
PROMOTABLE = ("telegram-bot",)
# Where Debian's pcs has it, else where vagrant/bootstrap puts what it took out of that package.
BUILD = Path(os.environ.get("KAPPA_BUILD_DIR") or Path(__file__).parents[3] / "build")
SCHEMAS = [Path("/usr/share/pcs/data/ocf-1.1.rng"), BUILD / "cache/ocf-1.1.rng"]
SCHEMA = Path(os.environ.get("OCF_SCHEMA") or next((one for one in SCHEMAS if one.exists()), SCHEMAS[0]))

every_agent = pytest.mark.parametrize("agent", AGENTS)


@every_agent
def test_metadata_needs_nothing_and_follows_ocf_1_1(agents: Agents, agent: str) -> None:
    # Not even the environment, let alone a parameter or root.
    process = agents.start_process(agent, ["meta-data"], {})
    ended = finish(process, time.monotonic(), 5)
    assert ended.code == 0
    assert ended.err == ""
    root = ElementTree.fromstring(ended.out.encode())
    assert root.tag == "resource-agent"
    assert root.get("name") == agent
    assert root.findtext("version") == "1.1"
    names = [one.get("name") for one in root.iter("parameter")]
    assert names
    assert len(names) == len(set(names))
    for parameter in root.iter("parameter"):
        assert parameter.findtext("longdesc")
        assert parameter.findtext("shortdesc")
        assert "unique" not in parameter.attrib, "OCF 1.1 has unique-group"
        content = parameter.find("content")
        assert content is not None
        assert content.get("type") in ("string", "integer", "boolean", "select")
        assert (content.get("default") is None) == (parameter.get("required") == "1"), "an optional one needs a default"
    actions = [dict(one.attrib) for one in root.iter("action")]
    reloads = {"reload-agent"} if any(one.get("reloadable") for one in root.iter("parameter")) else set()
    promotable = {"promote", "demote"} if agent in PROMOTABLE else set()
    always = {"start", "stop", "monitor", "validate-all", "meta-data"}
    assert {one["name"] for one in actions} == always | reloads | promotable
    assert all(one["timeout"].endswith("s") for one in actions)
    monitors = [one for one in actions if one["name"] == "monitor"]
    by_role = {role: [one["depth"] for one in monitors if one.get("role") == role] for role in (None, "Promoted")}
    assert by_role[None] in (["0", "10"], ["0", "10", "20"]), "without a role: Started and Unpromoted"
    assert by_role["Promoted"] == (by_role[None] if promotable else []), "each role is monitored, and at every level"
    assert sum(len(depths) for depths in by_role.values()) == len(monitors)
    assert len({one["interval"] for one in monitors}) == len(monitors), "Pacemaker tells monitors apart by interval"


@every_agent
@pytest.mark.skipif(not SCHEMA.exists(), reason=f"no {SCHEMA} here; `vagrant/bootstrap deps` brings it")
def test_metadata_validates_against_the_schema(agents: Agents, agent: str) -> None:
    ended = agents.run(agent, "meta-data")
    assert shutil.which("xmllint"), "xmllint is missing: install libxml2-utils"
    judged = subprocess.run(
        ["xmllint", "--noout", "--relaxng", str(SCHEMA), "-"], input=ended.out, capture_output=True, text=True
    )
    assert judged.returncode == 0, judged.stderr


@every_agent
def test_stop_of_something_stopped_is_success_whatever_is_missing_or_wrong(agents: Agents, agent: str) -> None:
    # Law 7: a failed stop fences the node.
    assert agents.run(agent, "stop", COMPLETE[agent]).code == 0
    assert agents.run(agent, "stop").code == 0, "no parameter at all"
    assert agents.run(agent, "stop", WRONG[agent]).code == 0, "every parameter wrong"
    nothing_here = {"binary": "/nonexistent/program", "user": "no-such-user", "log": "/nonexistent/dir/log"}
    assert agents.run(agent, "stop", {**COMPLETE[agent], **nothing_here}).code == 0
    assert not agents.state.exists(), "a stop of nothing leaves nothing behind"


@every_agent
def test_stop_survives_a_garbage_record(agents: Agents, agent: str) -> None:
    agents.state.mkdir()
    for kind in ("pid", "address"):
        for garbage in (b"", b"\0\xff\xfe", b"999999999999999999999\n1\nx\n", b"-1\n0\n0\n", b"one two three"):
            (agents.state / f"kappa-{agent}-{agents.instance}.{kind}").write_bytes(garbage)
            assert agents.run(agent, "stop", COMPLETE[agent]).code == 0


@every_agent
def test_a_probe_of_something_never_started_says_not_running(agents: Agents, agent: str) -> None:
    ended = agents.run(agent, "monitor", COMPLETE[agent], interval_s=0)
    assert ended.code == 7
    assert ended.err.count("\n") == 1, "one line of reason, and no other noise"
    assert agents.run(agent, "monitor", COMPLETE[agent], level=10).code == 7
    assert agents.run(agent, "monitor", COMPLETE[agent], level=99).code == 7, "falls to the next lower level"


@every_agent
@pytest.mark.parametrize("action", ["start", "monitor", "validate-all"])
def test_wrong_parameters_are_refused_by_name(agents: Agents, agent: str, action: str) -> None:
    for name, value in WRONG[agent].items():
        ended = agents.run(agent, action, {**COMPLETE[agent], name: value})
        assert ended.code == 6, (name, ended)
        assert f"{name}={value}" in ended.reason


@every_agent
def test_validate_all_is_silent_and_looks_at_parameters_alone(agents: Agents, agent: str) -> None:
    # pcs shows whatever it says as a warning; the files it names need not be on this host.
    ended = agents.run(agent, "validate-all", COMPLETE[agent], level=0)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize("agent", ["telegram-bot", "mongos", "nginx"])
def test_validate_all_at_level_10_looks_at_this_host(agents: Agents, agent: str) -> None:
    ended = agents.run(agent, "validate-all", {**COMPLETE[agent], "binary": "/nonexistent/program"}, level=10)
    assert ended.code == 5, "hard, this node only: never 6, which bans it everywhere"
    assert "/nonexistent" in ended.reason


@every_agent
@pytest.mark.parametrize("words", [["notify"], ["reload"], ["Start"], [""], [], ["\udcff\n;rm"]])
def test_an_action_that_does_not_exist_is_unimplemented(agents: Agents, agent: str, words: list[str]) -> None:
    process = agents.start_process(agent, words, agents.environment(COMPLETE[agent]))
    ended = finish(process, time.monotonic(), 20)
    assert ended.code == 3
    assert "usage" in ended.err


@pytest.mark.parametrize(
    ("agent", "name", "value"),
    [("telegram-bot", "deaf_after", "1m"), ("nginx", "drain", "1s"), ("mongos", "answer_within", "1s")],
)
def test_a_reloadable_parameter_is_taken_over_without_a_restart(
    agents: Agents, agent: str, name: str, value: str
) -> None:
    assert agents.run(agent, "reload-agent", {**COMPLETE[agent], name: value}).code == 7, "nothing runs that could"
    assert agents.run(agent, "reload-agent", {**COMPLETE[agent], name: "soon"}).code == 6
    assert agents.run("vip", "reload-agent", {"ip": "127.0.0.1", "duplicate_wait": "1s"}).code == 0


@every_agent
def test_extra_arguments_are_ignored(agents: Agents, agent: str) -> None:
    assert agents.run(agent, "stop", COMPLETE[agent], more=["and", "more"]).code == 0
    assert agents.run(agent, "monitor", COMPLETE[agent], more=["--x"]).code == 7


@every_agent
def test_an_odd_environment_changes_nothing(agents: Agents, agent: str) -> None:
    environment = agents.environment(COMPLETE[agent])
    environment |= {
        "OCF_CHECK_LEVEL": "ten",
        "OCF_RESKEY_CRM_meta_timeout": "forever",
        "OCF_RESKEY_CRM_meta_interval": "-1",
        "OCF_RESOURCE_INSTANCE": "../../a b\n:0",
        "PYTHONPATH": "/nonexistent",
        "PYTHONSTARTUP": "/nonexistent",
        "PYTHONHOME": "/nonexistent",
        "LC_ALL": "C",
    }
    for action, code in (("monitor", 7), ("stop", 0)):
        assert finish(agents.start_process(agent, [action], environment), time.monotonic(), 20).code == code
    del environment["OCF_RESOURCE_INSTANCE"]
    assert finish(agents.start_process(agent, ["monitor"], environment), time.monotonic(), 20).code == 7


@pytest.mark.parametrize("agent", ["telegram-bot", "mongos", "nginx"])
def test_start_without_the_program_is_hard_for_this_node_only(agents: Agents, agent: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.touch()
    here = {
        "telegram-bot": {"config": file, "socket": tmp_path / "socket", "log": tmp_path / "log"},
        "mongos": {"config": file, "log": tmp_path / "log"},
        "nginx": {"config": file, "log": tmp_path / "log"},
    }[agent]
    ended = agents.run(agent, "start", {**here, "binary": "/nonexistent/program"})
    assert ended.code == 5
    assert "/nonexistent/program" in ended.reason
    assert agents.run(agent, "monitor", {**here, "binary": "/nonexistent/program"}).code == 7
    assert agents.run(agent, "stop", {**here, "binary": "/nonexistent/program"}).code == 0


@every_agent
def test_the_monitor_path_imports_nothing_heavy(agents: Agents, agent: str) -> None:
    # Law 10: it runs every few seconds for years. Each of these costs a good part of a bare interpreter.
    heavy = {"typing", "dataclasses", "re", "enum", "json", "socket", "signal", "subprocess", "argparse", "logging"}
    heavy |= {
        "os",
        "struct",
        "pathlib",
        "functools",
        "contextlib",
        "collections",
        "selectors",
        "shlex",
        "shutil",
        "__future__",
    }
    interpreter = agents.path(agent).read_text().splitlines()[0].removeprefix("#!").split()
    ran = subprocess.run(
        [*interpreter, "-X", "importtime", str(agents.path(agent)), "monitor"],
        env=agents.environment({"ip": "127.0.0.1"} if agent == "vip" else COMPLETE[agent]),
        capture_output=True,
        text=True,
    )
    assert ran.returncode in (0, 7), ran.stderr
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert f"resource_agents.{agent.replace('-', '_')}" in imported
    assert imported & heavy == set()
    ours = {name for name in imported if name.startswith("resource_agents.")}
    assert ours <= {
        f"resource_agents.{agent.replace('-', '_')}",
        "resource_agents.ocf", "resource_agents.ocf.agent", "resource_agents.ocf.exits",
        "resource_agents.ocf.operation", "resource_agents.ocf.parameters", "resource_agents.host",
        "resource_agents.host.daemon", "resource_agents.host.processes", "resource_agents.host.netlink",
        "resource_agents.host.attributes", "resource_agents.host.url",
    }  # fmt: skip


@every_agent
def test_the_monitor_starts_no_process(agents: Agents, agent: str) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not here")
    parameters = {"ip": "127.0.0.1"} if agent == "vip" else COMPLETE[agent]
    ran = subprocess.run(
        ["strace", "-f", "-e", "trace=fork,vfork,clone,clone3,execve", str(agents.path(agent)), "monitor"],
        env=agents.environment(parameters),
        capture_output=True,
        text=True,
    )
    if "ptrace" in ran.stderr:
        pytest.skip("tracing is not permitted here")
    assert ran.returncode in (0, 7), ran.stderr
    assert ran.stderr.count("execve(") == 1, ran.stderr
    assert "clone" not in ran.stderr
    assert "fork(" not in ran.stderr
