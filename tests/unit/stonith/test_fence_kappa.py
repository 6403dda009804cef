"""fence_kappa as pacemaker-fenced runs it, against a real kappa-powerd over an engine with good and bad days."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.stonith.broker import Broker, Ran, fence, until


def test_status_of_a_machine_that_runs_is_0(power: Broker) -> None:
    ran = power.fence("status", "node2")
    assert (ran.code, ran.out, ran.err) == (0, "Status: ON\n", "")


@pytest.mark.parametrize("status", ["exited", "created"])
def test_status_of_a_machine_proven_off_is_2(power: Broker, status: str) -> None:
    power.engine.add("kappa-lab-node2", status=status, pid=0)
    ran = power.fence("status", "node2")
    assert (ran.code, ran.out, ran.err) == (2, "Status: OFF\n", "")


@pytest.mark.parametrize("status", ["paused", "restarting"])
def test_a_machine_that_may_wake_is_on(power: Broker, status: str) -> None:
    power.engine.add("kappa-lab-node2", status=status)
    assert power.fence("status", "node2").code == 0


@pytest.mark.parametrize("about", [{"status": "dead", "pid": 0}, {"status": "exited", "pid": 77}], ids=["dead", "left"])
def test_what_proves_nothing_is_unknown_and_never_off(power: Broker, about: dict[str, object]) -> None:
    power.engine.add("kappa-lab-node2", **about)
    ran = power.fence("status", "node2")
    assert ran.code == 1
    assert "node2 is unknown" in ran.one_line()


def test_a_machine_that_is_gone_is_unknown_not_off(power: Broker) -> None:
    del power.engine.containers["kappa-lab-node2"]
    assert power.fence("status", "node2").code == 1
    ran = power.fence("off", "node2", timeout=0.5)
    assert ran.code == 1
    ran.one_line()
    until(lambda: len(power.audit()) == 2)
    assert all("No such container" in line["reason"] for line in power.audit())


def test_off_cuts_the_power_and_proves_it(power: Broker) -> None:
    ran = power.fence("off", "node2")
    assert (ran.code, ran.err) == (0, "")
    assert power.engine.containers["kappa-lab-node2"].status == "exited"
    ident = power.engine.containers["kappa-lab-node2"].id
    assert power.engine.switching() == [f"POST /containers/{ident}/kill?signal=SIGKILL"]
    (line,) = power.audit()
    assert {key: line[key] for key in ("client", "action", "plug", "before", "after", "ok")} == {
        "client": "node1",
        "action": "off",
        "plug": "node2",
        "before": "on",
        "after": "off",
        "ok": True,
    }
    assert line["instance"].startswith(ident)
    assert abs(time.time() - line["t"]) < 10
    assert 0 < line["ms"] < 5000


def test_off_of_what_is_off_is_done_without_switching(power: Broker) -> None:
    power.engine.add("kappa-lab-node2", status="exited", pid=0)
    assert power.fence("off", "node2").code == 0
    assert power.engine.switching() == []


@pytest.mark.parametrize("thaws", [True, False])
def test_a_frozen_machine_is_dead_after_off(power: Broker, thaws: bool) -> None:
    power.engine.add("kappa-lab-node2", status="paused", kill_thaws=thaws)
    assert power.fence("off", "node2").code == 0
    assert power.engine.containers["kappa-lab-node2"].status == "exited"


def test_a_frozen_machine_whose_kill_is_refused_is_not_woken(power: Broker) -> None:
    power.engine.add("kappa-lab-node2", status="paused")
    power.engine.raw["kill"] = b'HTTP/1.1 500 x\r\nContent-Length: 17\r\n\r\n{"message":"eh?"}'
    assert power.fence("off", "node2", timeout=0.5).code == 1
    assert power.engine.containers["kappa-lab-node2"].status == "paused"


def test_a_kill_that_does_not_take_is_a_failure(power: Broker) -> None:
    for node in ("node2", "node3"):
        power.engine.add(f"kappa-lab-{node}", kill_takes=False)
    began = time.monotonic()
    with ThreadPoolExecutor() as together:
        off = together.submit(power.fence, "off", "node2", timeout=0.8)
        reboot = together.submit(power.fence, "reboot", "node3", timeout=0.8)
    assert (off.result().code, reboot.result().code) == (1, 1)
    off.result().one_line()
    reboot.result().one_line()
    assert 0.5 < time.monotonic() - began < 10
    assert {call.rpartition("/")[2] for call in power.engine.switching()} == {"kill?signal=SIGKILL"}
    until(lambda: len(power.audit()) == 2)
    assert [(line["ok"], line["after"]) for line in power.audit()] == [(False, "on")] * 2
    assert all("not proven off" in line["reason"] for line in power.audit())


def test_an_engine_that_hangs_makes_everything_unknown(power: Broker) -> None:
    power.engine.hang_s = 20
    with ThreadPoolExecutor() as together:
        asked = [
            together.submit(power.fence, action, "node2", timeout=0.4)
            for action in ("status", "off", "on", "reboot", "monitor")
        ]
    power.engine.hang_s = 0
    for one in asked:
        assert one.result().code == 1
        one.result().one_line()
    # Known again, as it truly is: an off that was on its way when its agent gave up may have been done in the end.
    ran = power.fence("status", "node2")
    assert ran.code == (0 if power.engine.containers["kappa-lab-node2"].status == "running" else 2), ran


def test_an_engine_that_hangs_after_the_kill_is_no_proof(power: Broker) -> None:
    assert power.fence("status", "node2").code == 0  # the version is agreed on
    ident = power.engine.containers["kappa-lab-node2"].id
    power.engine.hang_on, power.engine.hang_s = f"{ident}/(json|kill)", 20
    ran = power.fence("off", "node2", timeout=0.5)
    assert ran.code == 1
    power.engine.hang_s = 0


def test_a_slow_kill_is_waited_for(power: Broker) -> None:
    power.engine.hang_on, power.engine.hang_s = "kill", 0.5
    assert power.fence("off", "node2").code == 0


def test_an_engine_that_talks_garbage_proves_nothing(power: Broker) -> None:
    power.engine.raw["json"] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nexited"
    assert power.fence("status", "node2").code == 1
    assert power.fence("off", "node2", timeout=0.2).code == 1
    assert power.engine.switching() == []  # what was not identified was not shot at either


def test_on_starts_what_is_off_and_leaves_what_is_on(power: Broker) -> None:
    machine = power.engine.add("kappa-lab-node2", status="exited", pid=0)
    assert power.fence("on", "node2").code == 0
    assert machine.status == "running"
    assert power.fence("on", "node2").code == 0
    assert machine.starts == 2
    assert len(power.engine.switching()) == 1


def test_on_does_not_start_what_is_unknown(power: Broker) -> None:
    power.engine.add("kappa-lab-node2", status="dead", pid=0)
    assert power.fence("on", "node2", timeout=0.3).code == 1
    assert power.engine.switching() == []


def test_reboot_is_over_when_the_machine_is_dead_and_does_not_wait_for_its_start(power: Broker) -> None:
    machine = power.engine.containers["kappa-lab-node2"]
    power.engine.hang_on, power.engine.hang_s = "start", 3
    ran = power.fence("reboot", "node2")
    assert (ran.code, ran.err) == (0, "")
    assert machine.status == "exited"
    power.engine.hang_s = 0
    until(lambda: machine.status == "running")
    until(lambda: len(power.audit()) == 2)
    assert [(line["action"], line["before"], line["after"], line["ok"]) for line in power.audit()] == [
        ("off", "on", "off", True),
        ("on", "off", "on", True),
    ]


def test_reboot_whose_start_fails_succeeds_and_says_so(power: Broker) -> None:
    power.engine.raw["start"] = b'HTTP/1.1 500 x\r\nContent-Length: 20\r\n\r\n{"message":"no net"}'
    assert power.fence("reboot", "node2").code == 0
    until(lambda: len(power.audit()) == 2)
    assert power.audit()[1]["ok"] is False
    assert "no net" in power.audit()[1]["reason"]


def test_two_survivors_shoot_once(power: Broker) -> None:
    power.engine.hang_on, power.engine.hang_s = "kill", 3
    results: list[Ran] = []
    machine = power.engine.containers["kappa-lab-node2"]
    threads = [
        threading.Thread(target=lambda client=client: results.append(power.fence("reboot", "node2", client)))
        for client in ("node1", "node3")
    ]
    for thread in threads:
        thread.start()
    # both have looked at it: one is about to cut it, for which it looked twice, and the other waits for its turn
    until(lambda: sum("node2/json" in call or machine.id in call for call in power.engine.calls) >= 4)
    power.engine.hang_s = 0
    for thread in threads:
        thread.join()
    assert [ran.code for ran in results] == [0, 0]
    until(lambda: machine.status == "running")
    # The second may find it running anew by then, and so has nothing to start.
    until(lambda: sorted(line["action"] for line in power.audit())[:3] == ["off", "off", "on"])
    kills = [call for call in power.engine.switching() if "kill" in call]
    assert len(kills) == 1, power.audit()
    assert machine.starts == 2


def test_list_and_list_status_show_what_this_client_may_switch(power: Broker) -> None:
    power.engine.add("kappa-lab-node3", status="exited", pid=0)
    ran = power.fence("list")
    assert (ran.code, ran.out, ran.err) == (0, "node2,kappa-lab-node2\nnode3,kappa-lab-node3\n", "")
    ran = power.fence("list-status")
    assert (ran.code, ran.out) == (0, "node2,kappa-lab-node2,ON\nnode3,kappa-lab-node3,OFF\n")
    ran = power.fence("list-status", client="node2")
    assert ran.out == "node1,kappa-lab-node1,ON\nnode3,kappa-lab-node3,OFF\n"


def test_what_may_be_switched_is_listed_also_while_the_hypervisor_is_away(power: Broker) -> None:
    power.engine.raw["containers"] = b""
    for action, line in (("list", "node2,kappa-lab-node2"), ("list-status", "node2,kappa-lab-node2,UNKNOWN")):
        ran = power.fence(action)
        assert (ran.code, line in ran.out, ran.err) == (0, True, "")
    assert "cannot switch now" in power.fence("monitor").one_line()


def test_monitor_is_silent_when_the_device_could_fence(power: Broker) -> None:
    assert power.fence("monitor") == Ran(0, "", "")


def test_no_right_no_switch_and_no_look(power: Broker) -> None:
    for action in ("off", "on", "reboot", "status"):
        for plug in ("node1", "node9"):
            ran = power.fence(action, plug, client="node1")
            assert ran.code == 1
            assert f"node1 has no right to '{plug}'" in ran.one_line()
    assert power.engine.calls == []
    assert {(line["ok"], line["client"]) for line in power.audit()} == {(False, "node1")}


@pytest.mark.parametrize("thief", ["node3", "nobody"])
def test_a_key_proves_its_own_client_alone(power: Broker, thief: str) -> None:
    ran = power.fence("off", "node2", client=thief, key_file=power.key_file("node1"))
    assert ran.code == 1
    assert "does not prove" in ran.one_line()
    assert power.engine.calls == []
    assert [(line["ok"], line["client"]) for line in power.audit()] == [(False, thief)]


def test_options_by_argument_are_those_by_line(power: Broker) -> None:
    where, key = f"127.0.0.1:{power.port}", str(power.key_file("node1"))
    for argv in (
        ["-o", "status", "-n", "node2", "-a", where, "-l", "node1", "-k", key],
        ["-ostatus", "-nnode2", f"-a{where}", "-lnode1", f"-k{key}", "-t5"],
        ["--action=status", "--plug=node2", f"--server={where}", "--client=node1", f"--key-file={key}"],
        ["--action", "status", "--port", "node2", "--server", where, "--client", "node1", "--key_file", key],
    ):
        ran = fence("action=off\nplug=node2\n", argv)  # standard input is not read when there are arguments
        assert (ran.code, ran.out, ran.err) == (0, "Status: ON\n", "")


def test_lines_as_fenced_writes_them(power: Broker) -> None:
    rest = power.options("status")
    del rest["action"]
    lines = "".join(f"{key}={value}\n" for key, value in rest.items())
    told = (
        "# a comment\naction=off\nnodename=node3\nnodeid=3\npcmk_host_list=node1 node2\ncrm_feature_set=3.16.1\n"
        f"=\nnonsense\n  plug=node3\nplug=node2\n{lines}action=status\n"
    )
    ran = fence(told)
    assert (ran.code, ran.out, ran.err) == (0, "Status: ON\n", "")
    assert [(line["action"], line["plug"]) for line in power.audit()] == [("status", "node2")]


def test_the_obsolete_name_of_plug_is_understood_and_must_agree(power: Broker) -> None:
    assert power.fence("status", port="node2").code == 0
    assert power.fence("status", "node2", port="node2").code == 0
    ran = power.fence("off", "node2", port="node3")
    assert ran.code == 1
    assert "disagree" in ran.one_line()
    assert power.engine.switching() == []


def test_the_default_action_is_reboot(power: Broker) -> None:
    options = power.options("", "node2")
    assert fence(options).code == 0
    assert "kill" in power.engine.switching()[0]


def test_delay_is_waited_for_before_shooting_and_not_before_looking(power: Broker) -> None:
    began = time.monotonic()
    assert power.fence("status", "node2", delay=30).code == 0
    assert time.monotonic() - began < 10
    began = time.monotonic()
    assert power.fence("off", "node2", delay="0.4").code == 0
    assert time.monotonic() - began >= 0.4
