"""What is broken in the agents and helpers that people use today, and what shows that ours are free of it.

Each row: where it was found, what happens there, and the test that fails should ours ever do the same. Those that have
no better home are below the table.
"""

import ast
import os
import socket
from pathlib import Path

import pytest

from resource_agents import cli
from tests.unit.resource_agents.running import Agents, alive
from tests.unit.resource_agents.test_agent_contract import COMPLETE
from tests.unit.resource_agents.test_agent_nginx import Nginx, nginx

__all__ = ["nginx"]  # a fixture

CONTRACT, GUARD, PARAMETERS = "test_agent_contract", "test_agent_guard", "test_agent_parameters"
NGINX, VIP, HERE = "test_agent_nginx", "test_agent_vip", "test_known_defects"

KNOWN: tuple[tuple[str, str, str, str], ...] = (
    ("ocf.py", "a missing required parameter makes even stop return 6, which fences", CONTRACT,
     "test_stop_of_something_stopped_is_success_whatever_is_missing_or_wrong"),
    ("ocf.py", "& or < in a description gives ill-formed XML", GUARD,
     "test_metadata_is_well_formed_whatever_the_texts_hold"),
    ("ocf.py", "a second argument gives 3", CONTRACT, "test_extra_arguments_are_ignored"),
    ("ocf.py", "n=abc for an integer passes", PARAMETERS, "test_what_is_no_whole_number"),
    ("ocf.py", "n=abc for an integer passes, asked of every agent", HERE,
     "test_no_integer_of_any_agent_takes_what_is_none"),
    ("ocf.py", "knows OCF 1.0 only", "test_agent_metadata", "test_the_metadata_keeps_the_rules_of_ocf_1_1"),
    ("ocf.py", "its own template agent fails as shipped", "test_writing_an_agent", "test_the_example_is_an_agent"),
    ("heartbeat/nginx", "after SIGKILL of the master its workers keep the port for ever", NGINX,
     "test_orphans_of_a_killed_master_are_ended_and_the_port_comes_back"),
    ("heartbeat/nginx", "evaluates text out of nginx.conf", HERE, "test_no_text_of_a_configuration_is_ever_run"),
    ("heartbeat/nginx", "depth 10 without a URL returns 6 from monitor, which bans it everywhere", HERE,
     "test_depth_10_without_a_url_looks_at_what_there_is"),
    ("heartbeat/nginx", "stop returns 0 without looking again", HERE, "test_stop_returns_when_nothing_of_it_is_left"),
    ("heartbeat/nginx", "dozens of processes a monitor", CONTRACT, "test_the_monitor_starts_no_process"),
    ("heartbeat/IPaddr2", "another interface being down is a false 5", VIP,
     "test_another_interface_down_or_a_second_route_change_nothing"),
    ("heartbeat/IPaddr2", "two matching routes: 7 for a started address", VIP,
     "test_another_interface_down_or_a_second_route_change_nothing"),
    ("heartbeat/IPaddr2", "a link that went down is not seen", VIP, "test_a_link_that_went_down_is_seen"),
    ("heartbeat/IPaddr2", "a missing arping makes stop of a stopped address fail, which fences", VIP,
     "test_no_program_is_needed"),
    ("heartbeat/IPaddr2", "connections through the lost address linger", VIP,
     "test_connections_to_the_lost_address_are_reset_when_asked_for_and_no_others"),
    ("heartbeat", "has no agent for mongos", "test_agent_mongos",
     "test_start_returns_when_it_answers_as_a_router"),
    ("heartbeat", "no agent says degraded (190)", NGINX,
     "test_an_upstream_that_is_gone_is_seen_at_level_20_and_does_not_stop_a_start"),
    ("heartbeat", "no agent says degraded and promoted (191)", "test_agent_promotable",
     "test_what_a_promoted_bot_says_is_judged"),
    ("ocf-tester", "looks only at the happy walk", "test_conform", "test_no_check_goes_unbroken"),
    ("ocf-tester", "cannot pass an agent that uses OCF 1.1", "test_conform", "test_our_own_vip_passes_all_of_it"),
)  # fmt: skip


@pytest.mark.parametrize(("where", "what", "file", "test"), KNOWN)
def test_each_has_a_test_that_ours_is_free_of_it(where: str, what: str, file: str, test: str) -> None:
    tree = ast.parse((Path(__file__).parent / f"{file}.py").read_text())
    found = {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}
    assert test in found, f"{where}: {what}: {file}.py has no {test}"


@pytest.mark.parametrize("agent", cli.AGENTS)
def test_no_integer_of_any_agent_takes_what_is_none(agents: Agents, agent: str) -> None:
    module = __import__(f"resource_agents.{cli.AGENTS[agent]}", fromlist=["AGENT"])
    numbers = [one.name for one in module.AGENT.parameters if one.kind == "integer"]
    for name in numbers:
        for value in ("abc", "1.5", "0x10"):
            for action in ("start", "monitor", "validate-all"):
                ended = agents.run(agent, action, {**COMPLETE[agent], name: value})
                assert ended.code == 6, (name, value, action, ended)
                assert f"{name}={value}" in ended.reason
            assert agents.run(agent, "stop", {**COMPLETE[agent], name: value}).code == 0
    assert numbers or agent == "telegram-bot"


@pytest.mark.root
def test_no_text_of_a_configuration_is_ever_run(nginx: Nginx) -> None:
    ran = nginx.directory / "ran"
    evil = f"$(touch {ran}) `touch {ran}`; touch {ran}; \"; touch {ran}; '"
    nginx.configure(f'# pid {evil}\n# user {evil};\n# error_log {evil};\nenv "X=$(touch {ran})`touch {ran}`";\n')
    for action, level in (("validate-all", 10), ("start", 0), ("monitor", 20), ("reload-agent", 0), ("stop", 0)):
        assert nginx.run(action, level=level).code == 0
        assert not ran.exists(), f"{action} ran text out of the configuration"
    # Nor any out of a parameter.
    odd = nginx.directory / f"$(touch ran);`touch ran`{os.sep}.."
    for action in ("validate-all", "start", "monitor", "stop"):
        nginx.run(action, config=f"{odd}/nginx.conf; touch {ran}", binary=f"nginx; touch {ran}", globals=evil)
        assert not ran.exists(), f"{action} ran a parameter"


@pytest.mark.root
def test_depth_10_without_a_url_looks_at_what_there_is(nginx: Nginx) -> None:
    assert nginx.run("monitor", level=10, status_url="").code == 7
    assert nginx.run("start", status_url="").code == 0
    assert nginx.run("monitor", level=10, status_url="").code == 0
    assert nginx.run("monitor", level=20, status_url="", upstream_url="").code == 0


@pytest.mark.root
def test_stop_returns_when_nothing_of_it_is_left(nginx: Nginx) -> None:
    """A client that is slow to take its answer keeps a worker busy; stop is not over before that worker is."""
    (nginx.directory / "slow").write_bytes(b"x" * 400_000)
    (nginx.directory / "slow").chmod(0o644)
    assert nginx.run("start").code == 0
    with socket.create_connection(("127.0.0.1", nginx.port), 10) as client:
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert client.recv(1000)
        master, workers = nginx.master, nginx.workers()
        assert nginx.run("stop", drain="300ms").code == 0
        left = [pid for pid in (master, *workers) if alive(pid)]
        assert left == []
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", nginx.port))
        server.listen()
