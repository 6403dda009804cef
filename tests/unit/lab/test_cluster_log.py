"""Reading what a real cluster wrote: lines and XML recorded from Pacemaker 2.1.5."""

from datetime import UTC, datetime

import pytest

from kappa_lab import cluster
from kappa_lab.errors import LabError
from kappa_lab.topology import NODES

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC).timestamp()
LOST = (
    "Nov 23 12:00:01.250 node2 pacemaker-controld  [55] (update_peer_state_iter) \tnotice: Node node1 state is now lost"
    " | nodeid=1 previous=member source=crm_reap_unseen_nodes"
)
MEMBER = LOST.replace("now lost", "now member").replace("previous=member", "previous=lost")
FENCED = (
    "Nov 23 12:00:03.500 node2 pacemaker-controld  [55] (tengine_stonith_notify) \tnotice: Peer node1 was terminated"
    " (reboot) by node3 on behalf of pacemaker-controld.48: OK | initiator=node2 ref=0ab"
)


def test_a_lost_member_is_an_event_at_the_time_it_was_written() -> None:
    assert list(cluster.events(LOST, NOW)) == [{"e": "member_lost", "t": NOW - 3.75, "node": "node1"}]


def test_a_member_that_comes_is_an_event() -> None:
    assert [(e["e"], e["node"]) for e in cluster.events(MEMBER, NOW)] == [("member", "node1")]


def test_fencing_is_an_event_with_its_result() -> None:
    (event,) = cluster.events(FENCED, NOW)
    assert event == {"e": "fenced", "t": NOW - 1.5, "node": "node1", "executor": "node3", "result": "OK"}


def test_failed_fencing_says_so() -> None:
    line = FENCED.replace("was terminated", "was not terminated").replace(": OK", ": Timer expired")
    (event,) = cluster.events(line, NOW)
    assert event["result"] == "Timer"


ASKED = (
    "Nov 23 15:55:43.516 node1 pacemaker-controld  [60] (do_lrm_rsc_op) \tnotice: Requesting local execution of start"
    " operation for vip on node1 | transition_key=35:4:0:c1b1 op_key=vip_start_0"
)
RESULT = (
    "Nov 23 15:55:43.736 node1 pacemaker-controld  [60] (log_executor_event) \tnotice: Result of monitor operation for"
    " bot on node1: {} | CIB update 45, graph action confirmed; call=40 key=bot_monitor_6000 rc=7"
)


def test_what_the_cluster_does_with_a_resource_is_an_event() -> None:
    (event,) = cluster.events(ASKED, NOW)
    del event["t"]
    assert event == {"e": "asked", "action": "start", "resource": "vip", "node": "node1"}


@pytest.mark.parametrize(
    ("said", "result"),
    [
        ("not running", "not running"),
        ("error (telegram-bot: deaf: received nothing)", "error"),
        ("Timed Out after 10s (it hangs)", "Timed Out after 10s"),
        ("ok", None),
        ("promoted", None),
        ("Cancelled", None),
    ],
)
def test_an_operation_that_fails_is_an_event(said: str, result: str | None) -> None:
    found = list(cluster.events(RESULT.format(said), NOW))
    assert [(e["e"], e["action"], e["resource"], e["node"], e["result"]) for e in found] == (
        [("failed", "monitor", "bot", "node1", result)] if result else []
    )


@pytest.mark.parametrize(
    "line",
    [
        ASKED.replace("start operation", "monitor operation"),
        RESULT.format("not running").replace("monitor operation", "probe operation"),
    ],
)
def test_asking_and_probing_is_no_event(line: str) -> None:
    assert list(cluster.events(line, NOW)) == []


@pytest.mark.parametrize("line", ["", "garbage", LOST.replace("pacemaker-controld", "pacemaker-attrd"), "\x00" * 50])
def test_other_lines_tell_nothing(line: str) -> None:
    assert list(cluster.events(line, NOW)) == []


def test_a_line_without_milliseconds_happened_when_it_was_read() -> None:
    assert cluster.stamped("Nov 23 12:00:01 node2 …", NOW) == NOW


def test_a_line_of_the_old_year_read_in_the_new_one_is_not_a_year_off() -> None:
    midnight = datetime(2027, 1, 1, 0, 0, 1, tzinfo=UTC).timestamp()
    assert abs(cluster.stamped("Dec 31 23:59:59.900 node2 …", midnight) - midnight) < 5


XML = """<pacemaker-result api-version="2.25" request="crm_mon -1 --output-as=xml">
 <summary><current_dc present="true" version="2.1.5" name="node2" id="2" with_quorum="true"/></summary>
 <nodes>
  <node name="node1" id="1" online="true" pending="false" unclean="false"/>
  <node name="node2" id="2" online="true" pending="true" unclean="false"/>
  <node name="node3" id="3" online="true" pending="false" unclean="true"/>
 </nodes>
 <resources>
  <resource id="fence-kappa" role="Started" active="true" failed="false"><node name="node1" id="1"/></resource>
  <clone id="router-clone">
   <resource id="router" role="Started" active="true" failed="false"><node name="node1" id="1"/></resource>
   <resource id="router" role="Started" active="true" failed="true"><node name="node3" id="3"/></resource></clone>
  <group id="kappa">
   <resource id="vip" role="Starting" active="true" failed="false" pending="Starting"><node name="node1"/></resource>
   <resource id="bot" role="Stopped" active="false" failed="false"/></group>
 </resources>
</pacemaker-result>"""


def test_only_what_is_well_counts() -> None:
    seen = cluster.parse("node1", XML)
    assert seen.online == {"node1"}
    assert seen.quorum
    assert seen.running == {"fence-kappa": {"node1"}, "router": {"node1"}}
    assert seen.where("bot") is None
    assert seen.where("vip") is None
    assert seen.where("fence-kappa") == "node1"


FAILURES = """<failures>
  <failure op_key="bot_monitor_6000" node="node1" exitstatus="not running" exitcode="7" call="31" status="complete"
           last-rc-change="2026-11-23 12:00:01Z" queued="0" exec="0" interval="6000" task="monitor"/>
  <failure op_key="router:1_stop_0" node="node2" exitstatus="error" exitcode="1" last-rc-change="whenever"/>
 </failures>"""


def test_the_failures_that_the_cluster_remembers_are_read() -> None:
    seen = cluster.parse("node1", XML.replace("</pacemaker-result>", FAILURES + "</pacemaker-result>"))
    assert seen.dc == "node2"
    assert seen.failures == (
        cluster.Failure("bot", "node1", NOW - 4),
        cluster.Failure("router", "node2", 0.0),
    )


def test_a_node_that_is_cut_off_is_not_believed_while_another_has_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    alone = {"kappa-lab-node1"}

    def docker(_exec: str, container: str, *_question: str, **_: object) -> str:
        asked.append(container[-5:])
        if container.endswith("node2"):
            raise LabError("asking node2: docker had not ended after 8 s.")
        return XML.replace('with_quorum="true"', f'with_quorum="{str(container not in alone).lower()}"')

    monkeypatch.setattr(cluster, "docker", docker)
    monkeypatch.setattr(cluster, "_asked", list(NODES))
    seen = cluster.status()
    assert seen is not None and (seen.asked, seen.quorum) == ("node3", True)
    # who answered well is asked first from now on
    assert (seen := cluster.status()) is not None and seen.asked == "node3"
    assert asked == ["node1", "node2", "node3", "node3"]
    alone.add("kappa-lab-node3")
    seen = cluster.status()
    assert seen is not None and (seen.asked, seen.quorum) == ("node3", False)
    assert sorted(asked[4:]) == ["node1", "node2", "node3"]


def test_a_node_that_may_not_know_that_it_is_cut_off_is_asked_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "docker", lambda *_, **__: XML)
    monkeypatch.setattr(cluster, "_asked", list(NODES))
    assert (seen := cluster.status({"node1"})) is not None and seen.asked == "node2"
    assert (seen := cluster.status({"node1", "node2", "node3"})) is not None and seen.asked == "node1"
