"""A node that is a machine: the lab's words, carried out by ssh and virsh, and no word taken for another."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from kappa_lab import engine, forming, hypervisor, lab, power, preflight, reach, scenario, vagrant
from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT
from kappa_lab.topology import NODES


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("exec kappa-lab-node2 crm_mon -1", reach.Asked("exec", "node2", ("crm_mon", "-1"))),
        ("exec -i kappa-lab-node1 cibadmin --query", reach.Asked("exec", "node1", ("cibadmin", "--query"))),
        ("exec -d -u kappa kappa-lab-node1 x", reach.Asked("exec", "node1", ("x",), user="kappa", detached=True)),
        ("kill --signal KILL kappa-lab-node3", reach.Asked("kill", "node3")),
        ("kill kappa-lab-node3", reach.Asked("kill", "node3")),
        ("pause kappa-lab-node1", reach.Asked("pause", "node1")),
        ("unpause kappa-lab-node1", reach.Asked("unpause", "node1")),
        ("start kappa-lab-node1", reach.Asked("start", "node1")),
        ("stop -t 60 kappa-lab-node1", reach.Asked("stop", "node1", within_s=60)),
        ("inspect --format {{.State.Running}} kappa-lab-node1", reach.Asked("running", "node1")),
        ("inspect --format {{.State.Status}} kappa-lab-node1", reach.Asked("status", "node1")),
        ("exec kappa-lab-mongo1 python", None),
        ("ps -a", None),
        ("kill --signal KILL kappa-lab-mongo1", None),
    ],
)
def test_what_is_asked_of_whom(said: str, asked: reach.Asked | None) -> None:
    assert reach.of_node(said.split()) == asked


@pytest.mark.parametrize(
    "said",
    [
        "kill --signal TERM kappa-lab-node1",
        "stop kappa-lab-node1",
        "kill -s HUP kappa-lab-node1",
        "top kappa-lab-node1 -eLo pid",
        "inspect --format {{.State.Pid}} kappa-lab-node1",
        "exec --privileged kappa-lab-node1 true",
        "pause kappa-lab-node1 kappa-lab-node2",
        "rm -f kappa-lab-node1",
    ],
)
def test_what_a_machine_cannot_be_asked_is_refused_by_name(said: str) -> None:
    with pytest.raises(LabError, match=r"A machine cannot be asked to `.*`: node1 is one"):
        reach.of_node(said.split())


def test_words_reach_the_machine_as_they_were(tmp_path: Path) -> None:
    command = reach.ssh(reach.Asked("exec", "node1", ("sh", "-c", 'echo "$1"; date', "sh", "it's; rm -rf /")), tmp_path)
    assert command[:4] == ["ssh", "-F", str(tmp_path), "node1"]
    import shlex

    assert shlex.split(command[4]) == [
        "sudo", "-n", "-u", "root", "--", "sh", "-c", 'echo "$1"; date', "sh", "it's; rm -rf /"
    ]  # fmt: skip


def test_a_lab_of_machines_is_one_by_its_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reach, "MARK", tmp_path / "lab.json")
    assert not reach.are_machines()
    for content, machines in (("{half", False), ("[]", False), ('{"by": "x"}', False), ('{"kind": "vagrant"}', True)):
        reach.MARK.write_text(content)
        assert reach.are_machines() is machines, content


def test_the_engines_words_are_carried_out_on_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ran: list[list[str]] = []

    def fake(args: list[str], **_: object) -> str:
        ran.append(args)
        return "said"

    monkeypatch.setattr(reach, "MARK", tmp_path / "lab.json")
    monkeypatch.setattr(engine, "run", fake)
    monkeypatch.setattr(hypervisor, "run", fake)
    monkeypatch.setenv(hypervisor.INSIDE, "1")
    reach.MARK.write_text(json.dumps({"kind": "vagrant"}))
    assert engine.docker("exec", "kappa-lab-node2", "true", doing="x") == "said"
    engine.docker("kill", "--signal", "KILL", "kappa-lab-node2", doing="x")
    engine.docker("kill", "--signal", "KILL", "kappa-lab-mongo1", doing="x")
    assert ran[0][0] == "ssh"
    assert ran[1][-2:] == ["destroy", "kappa-lab-node2"]
    assert ran[2][0] == engine.DOCKER


def test_the_brokers_switch_what_the_nodes_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tomllib

    from stonith.power import config

    monkeypatch.setattr(reach, "MARK", tmp_path / "lab.json")
    reach.MARK.write_text(json.dumps({"kind": "vagrant"}))
    text = power.configuration(power.BROKERS[0], tmp_path)
    assert tomllib.loads(text)["driver"] == {"kind": "libvirt", "uri": "qemu:///system"}
    assert config is not None


@pytest.mark.parametrize(
    ("domain", "running", "status"),
    [("running", "true", "running"), ("paused", "true", "paused"), ("shut off", "false", "exited")],
)
def test_a_machines_state_is_told_in_the_engines_words(
    monkeypatch: pytest.MonkeyPatch, domain: str, running: str, status: str
) -> None:
    """A frozen one has power; taking it for one that is off would leave it frozen."""
    monkeypatch.setattr(hypervisor, "virsh", lambda *_, **__: f"{domain}\n\n")
    for question, answer in (("running", running), ("status", status)):
        said = reach.carry_out(reach.Asked(question, "node1"), lambda *_, **__: "", "x", 1, None, None)
        assert said.strip() == answer


def test_a_machine_that_does_not_shut_down_loses_its_power(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def virsh(*words: str, **_: object) -> str:
        asked.append(words[0])
        return "running\n"

    monkeypatch.setattr(hypervisor, "virsh", virsh)
    monkeypatch.setenv(hypervisor.INSIDE, "1")
    reach.carry_out(reach.Asked("stop", "node1", within_s=0), lambda *_, **__: "", "x", 1, None, None)
    assert asked == ["domstate", "destroy"]


SHOWN = """\
 vnet4   network   kappa-vagrant   virtio   52:54:00:aa:bb:cc
 vnet5   bridge    kappa-lan       virtio   02:42:0a:4d:00:0b
 -       bridge    kappa-ring0     virtio   02:42:0a:4d:01:0b
"""


def test_the_other_end_of_a_machines_cable_is_found_by_its_address() -> None:
    assert reach.tap_of(SHOWN, "02:42:0A:4D:00:0B") == "vnet5"
    assert reach.tap_of(SHOWN, "02:42:0a:4d:01:0b") == "", "a machine that is off has no cable"
    assert reach.tap_of(SHOWN, "02:42:0a:4d:02:0b") == ""


SSH_CONFIG = """Host node1
  HostName 192.168.177.31
  User vagrant
  IdentityFile "/a b/insecure_private_key"
Host node2
  HostName 192.168.177.32
  IdentityFile "/a b/insecure_private_key"
"""


def test_vagrant_says_where_the_machines_are() -> None:
    addresses, key = vagrant.ssh_told(SSH_CONFIG)
    assert addresses == {"node1": "192.168.177.31", "node2": "192.168.177.32"}
    assert key == Path("/a b/insecure_private_key")


def test_a_known_failure_of_vagrants_has_its_reason() -> None:
    assert "NODE-console.log" in vagrant.why("Timed out while waiting for the machine to boot. This means")
    assert "KAPPA_BUILD_DIR" in vagrant.why("cannot write: No space left on device")
    assert vagrant.why("something else") == ""


def test_the_cluster_is_set_up_on_both_rings_with_its_own_timings() -> None:
    command = " ".join(forming.setup_command(slow=False))
    for node in NODES:
        assert f" {node.name} addr={node.rings[0]} addr={node.rings[1]} " in command
    assert (
        "transport knet crypto cipher=aes256 hash=sha256 totem consensus=1500 token=1000 token_coefficient=0" in command
    )
    assert "consensus=6000 token=4000 token_coefficient=0" in " ".join(forming.setup_command(slow=True))


CONFIGURATION = """<configuration>
 <crm_config><cluster_property_set id="p">
  <nvpair id="p-t" name="stonith-timeout" value="40s"/></cluster_property_set></crm_config>
 <resources><primitive id="a"><operations><op id="o" name="monitor" interval="10s" timeout="5s"/>
  <op id="s" name="start" interval="0s" timeout="1min"/></operations></primitive></resources>
 <fencing-topology>
  <fencing-level id="l1" target-pattern="^(node1)$" index="1" devices="a"/>
  <fencing-level id="l2" target-pattern="^(node1)$" index="2" devices="b"/>
 </fencing-topology>
</configuration>"""


def test_the_watchdog_is_the_last_level_and_is_given_twice_its_time() -> None:
    tree = ElementTree.fromstring(CONFIGURATION)
    forming.with_watchdog(tree, slow=False)
    last = tree.findall("fencing-topology/fencing-level")[-1]
    assert last.attrib == {"id": "fl-watchdog", "target-pattern": "^(node1)$", "index": "3", "devices": "watchdog"}
    values = {pair.get("name"): pair.get("value") for pair in tree.iter("nvpair")}
    assert values["stonith-watchdog-timeout"] == f"{2 * forming.SBD_S}s"
    assert values["pcmk_host_list"] == "node1 node2 node3"
    assert tree.find("resources/primitive[@id='watchdog']") is not None


def test_what_the_cluster_wrote_of_itself_is_kept() -> None:
    """Without have-watchdog a cluster does not believe in its watchdogs, and it writes that only when it begins."""
    live = ElementTree.fromstring(
        '<configuration><crm_config><cluster_property_set id="p"><nvpair id="p-h" name="have-watchdog" value="true"/>'
        '<nvpair id="p-x" name="stonith-timeout" value="1s"/></cluster_property_set></crm_config></configuration>'
    )
    new = ElementTree.fromstring(CONFIGURATION)
    lab.keep_own_properties(live, new)
    values = {pair.get("name"): pair.get("value") for pair in new.iterfind("crm_config/cluster_property_set/nvpair")}
    assert values == {"have-watchdog": "true", "stonith-timeout": "40s"}


def test_where_all_is_slower_every_time_out_is_longer() -> None:
    tree = ElementTree.fromstring(CONFIGURATION)
    forming.slower(tree, 4)
    told = [(op.get("interval"), op.get("timeout")) for op in tree.iter("op")]
    assert told == [("40s", "20s"), ("0s", "4min")]
    assert tree.find("crm_config/cluster_property_set/nvpair[@name='stonith-timeout']").get("value") == "160s"  # type: ignore[union-attr]


def test_a_slower_drill_waits_longer_and_breaks_the_same() -> None:
    given = scenario.load("power-cut")
    slow = scenario.slower(given, 4)
    assert slow.bounds.rejoin_s == 4 * given.bounds.rejoin_s
    waits = [(a, b) for a, b in zip(given.steps, slow.steps, strict=True) if isinstance(a, scenario.WaitFor)]
    assert waits
    for before, after in waits:
        assert isinstance(after, scenario.WaitFor)
        assert (after.within_s, after.not_for_s) == (4 * before.within_s, before.not_for_s)
    assert [s for s in slow.steps if not isinstance(s, scenario.WaitFor)] == [
        s for s in given.steps if not isinstance(s, scenario.WaitFor)
    ]
    assert (slow.traffic, slow.expect) == (given.traffic, given.expect)


def test_kvm_that_was_asked_for_and_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from kappa_lab.settings import Machine, Settings

    monkeypatch.setattr(hypervisor, "no_kvm", lambda: "/dev/kvm is not there")
    assert hypervisor.emulated(Settings()) is True
    with pytest.raises(
        LabError, match=r"lab\.toml asks for KVM, and this machine has none: /dev/kvm is not there\. Set"
    ):
        hypervisor.emulated(Settings(machine=Machine(profile="kvm")))
    monkeypatch.setattr(hypervisor, "no_kvm", lambda: "")
    assert hypervisor.emulated(Settings()) is False
    assert hypervisor.emulated(Settings(machine=Machine(profile="emulated"))) is True


@pytest.mark.parametrize(
    ("device", "flags", "said"),
    [
        ("/no/such/device", "flags\t\t: fpu svm sse", "/no/such/device is not there"),
        ("/dev/null", "flags\t\t: fpu sse svmx", "the processor has neither VMX nor SVM"),
        ("/dev/null", "bugs\t\t: svm", "the processor has neither VMX nor SVM"),
        ("/dev/null", "flags\t\t: fpu svm sse", ""),
        ("/dev/null", "processor\t: 0\nflags\t\t: fpu vmx", ""),
        ("/dev/fd", "flags\t\t: vmx", "/dev/fd cannot be used (Is a directory)"),
    ],
)
def test_kvm_is_a_device_and_a_processor_that_virtualises(tmp_path: Path, device: str, flags: str, said: str) -> None:
    processor = tmp_path / "cpuinfo"
    processor.write_text(f"vendor_id\t: X\n{flags}\nmodel\t: 1\n")
    found = hypervisor.no_kvm(Path(device), processor)
    assert said in found if said else not found


def test_the_vagrantfile_has_no_address_of_its_own() -> None:
    text = (ROOT / "vagrant" / "Vagrantfile").read_text()
    assert "10.77." not in text
    assert "kappa_lab.topology" in text


def test_too_little_memory_for_machines_is_said_before_any_boots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MACHINES_NEED", ())
    with pytest.raises(LabError, match=r"the lab needs 2931\.7 GiB\. Less memory_mb"):
        preflight.machines(3, 10**6)


def test_what_machines_need_and_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MACHINES_NEED", ("/usr/bin/no-such-hypervisor",))
    with pytest.raises(LabError, match=r"/usr/bin/no-such-hypervisor is not installed\. `sudo make deps-vm`"):
        preflight.machines(3, 768)


def test_an_interrupted_command_waits_for_the_one_that_it_runs_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would pull the ground from under what is still cleaning up."""

    class Child:
        waited = 0
        terminated = False

        def wait(self) -> int:
            self.waited += 1
            if self.waited == 1:
                raise KeyboardInterrupt
            return 130

        def terminate(self) -> None:
            self.terminated = True

    child = Child()
    monkeypatch.setattr(hypervisor, "command", lambda *words: list(map(str, words)))
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: child)
    assert hypervisor.within() == 130
    assert child.terminated
