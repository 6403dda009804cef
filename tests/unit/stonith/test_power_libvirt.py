"""What the libvirt driver takes for a proof, and how it fares with a virsh that is away, hangs, or talks of others."""

import time
from pathlib import Path
from typing import Any

import pytest

from stonith.power.driver import DriverError, State
from stonith.power.drivers import libvirt
from stonith.power.drivers.libvirt import Libvirt, judge
from stonith.power.switch import Switch
from tests.unit.stonith import fake_programs
from tests.unit.stonith.fake_programs import Program, a_uuid

BOX = a_uuid("box")


@pytest.fixture
def virsh(tmp_path: Path) -> Program:
    program = fake_programs.virsh(tmp_path / "virsh")
    program.add("box")
    return program


@pytest.fixture
def driver(virsh: Program) -> Libvirt:
    return Libvirt("qemu:///system", str(virsh.path), virsh.proc)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


STATES: list[tuple[str, str, str, State]] = [
    ("running", "booted", "3", State.ON),
    ("running", "restored", "3", State.ON),
    ("running", "unknown", "3", State.ON),
    ("idle", "unknown", "3", State.ON),
    ("paused", "user", "3", State.ON),
    ("paused", "I/O error", "3", State.ON),
    ("paused", "migrating", "3", State.ON),
    ("in shutdown", "user", "3", State.ON),
    ("pmsuspended", "unknown", "3", State.ON),
    ("crashed", "panicked", "3", State.ON),
    ("shut off", "destroyed", "-", State.OFF),
    ("shut off", "shutdown", "-", State.OFF),
    ("shut off", "crashed", "-", State.OFF),
    ("shut off", "failed", "-", State.OFF),
    ("shut off", "unknown", "-", State.OFF),
    ("shut off", "saved", "-", State.OFF),
    ("shut off", "from snapshot", "-", State.OFF),
    ("shut off", "daemon", "-", State.OFF),
    # runs elsewhere
    ("shut off", "migrated", "-", State.UNKNOWN),
    # contradictions, and what no virsh has said yet
    ("shut off", "destroyed", "3", State.UNKNOWN),
    ("shut off", "evaporated", "-", State.UNKNOWN),
    ("running", "booted", "-", State.UNKNOWN),
    ("in shutdown", "user", "-", State.UNKNOWN),
    ("pmsuspended", "unknown", "-", State.UNKNOWN),
    ("crashed", "panicked", "-", State.UNKNOWN),
    ("paused", "user", "-", State.UNKNOWN),
    ("no state", "unknown", "-", State.UNKNOWN),
    ("no state", "unknown", "3", State.UNKNOWN),
    ("dreaming", "of sheep", "3", State.UNKNOWN),
]


@pytest.mark.parametrize(("state", "reason", "number", "worth"), STATES, ids=[" ".join(row[:3]) for row in STATES])
def test_what_each_state_is_worth(
    virsh: Program, driver: Libvirt, state: str, reason: str, number: str, worth: State
) -> None:
    virsh.add("box", state=state, reason=reason, id=number)
    sight = driver.status("box", soon())
    assert sight.state is worth, sight
    assert sight.unit == BOX
    assert state in sight.evidence


def test_only_a_boot_begins_another_run(virsh: Program, driver: Libvirt) -> None:
    assert driver.status("box", soon()).booted
    virsh.add("box", reason="restored")
    assert not driver.status("box", soon()).booted
    virsh.add("box", state="shut off", reason="migrated", id="-")
    assert driver.status("box", soon()).run == ""


def test_a_saved_memory_is_not_off_until_it_is_thrown_away(virsh: Program, driver: Libvirt) -> None:
    virsh.add("box", state="shut off", reason="saved", id="-", managed="yes")
    sight = driver.status("box", soon())
    assert sight.state is State.UNKNOWN
    assert "memory" in sight.evidence
    outcome = Switch(driver, {"plug": "box"}).off("plug", soon())
    assert outcome.ok
    assert virsh.machine("box")["managed"] == "no"


def test_a_start_never_wakes_a_saved_memory(virsh: Program, driver: Libvirt) -> None:
    virsh.add("box", state="shut off", reason="saved", id="-", managed="yes")
    driver.on("box", BOX, soon())
    assert virsh.machine("box")["reason"] == "booted"


NOTHING: dict[str, tuple[int, str, str]] = {
    "empty output": (0, "", ""),
    "blank lines": (0, "\n\n", ""),
    "a word": (0, "off\n", ""),
    "the state alone": (0, "shut off (destroyed)\n\n", ""),
    "shut off without a reason": (
        0,
        f"shut off\nId: -\nName: box\nUUID: {BOX}\nState: shut off\nManaged save: no\n",
        "",
    ),
    "another language": (0, "ausgeschaltet (zerstört)\n", ""),
    "no uuid": (0, "shut off (destroyed)\nId: -\nName: box\nState: shut off\nManaged save: no\n", ""),
    "no id": (0, f"shut off (destroyed)\nName: box\nUUID: {BOX}\nState: shut off\nManaged save: no\n", ""),
    "an id that is none": (
        0,
        f"shut off (destroyed)\nId: x\nName: box\nUUID: {BOX}\nState: shut off\nManaged save: no\n",
        "",
    ),
    "two ids": (
        0,
        f"shut off (destroyed)\nId: -\nId: 4\nName: box\nUUID: {BOX}\nState: shut off\nManaged save: no\n",
        "",
    ),
    "nothing of saved memory": (0, f"shut off (destroyed)\nId: -\nName: box\nUUID: {BOX}\nState: shut off\n", ""),
    "another name": (
        0,
        f"shut off (destroyed)\nId: -\nName: fox\nUUID: {BOX}\nState: shut off\nManaged save: no\n",
        "",
    ),
    "started meanwhile": (
        0,
        f"shut off (destroyed)\nId: -\nName: box\nUUID: {BOX}\nState: running\nManaged save: no\n",
        "",
    ),
    "right, but with a failure": (
        1,
        f"shut off (destroyed)\nId: -\nName: box\nUUID: {BOX}\nState: shut off\nManaged save: no\n",
        "error: disconnected\n",
    ),
    "not text": (0, "\x00\x01\x02", ""),
    "command not found": (127, "", "virsh: command not found\n"),
}


@pytest.mark.parametrize("answer", NOTHING.values(), ids=NOTHING)
def test_what_proves_nothing_is_unknown(virsh: Program, driver: Libvirt, answer: tuple[int, str, str]) -> None:
    virsh.set(raw={"domstate": answer})
    sight = driver.status("box", soon())
    assert sight.state is State.UNKNOWN
    assert sight.evidence
    assert "\n" not in sight.evidence


def test_the_whole_that_those_are_parts_of_is_off() -> None:
    text = f"shut off (destroyed)\nId: -\nName: box\nUUID: {BOX}\nState: shut off\nManaged save: no\n"
    assert judge(text, "box").state is State.OFF
    assert judge(text, "box", BOX).state is State.OFF
    assert judge(text, "box", a_uuid("fox")).state is State.UNKNOWN


@pytest.mark.slow
def test_a_domain_that_is_gone_is_unknown_not_off(virsh: Program, driver: Libvirt) -> None:
    virsh.add("box", persistent="no")
    assert [word for one in driver.warnings("box", soon()) for word in one.split()][:2] == ["is", "transient:"]
    outcome = Switch(driver, {"plug": "box"}).off("plug", soon(3.0))
    assert not outcome.ok
    assert outcome.after.state is State.UNKNOWN
    assert "failed to get domain" in outcome.reason


def test_the_machine_is_asked_for_by_its_uuid_once_that_is_known(virsh: Program, driver: Libvirt) -> None:
    assert driver.status("box", soon(), BOX).state is State.ON
    assert driver.status("box", soon(), a_uuid("fox")).state is State.UNKNOWN
    driver.off("box", BOX, soon())
    connect = ["--quiet", "--connect", "qemu:///system"]
    assert virsh.calls() == [
        [*connect, f"domstate {BOX} --reason; dominfo {BOX}"],
        [*connect, f"domstate {a_uuid('fox')} --reason; dominfo {a_uuid('fox')}"],
        [*connect, "destroy", BOX],
    ]


def test_virsh_is_told_the_language_and_no_more_than_it_needs(
    virsh: Program, driver: Libvirt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", "qemu+ssh://elsewhere/system")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    driver.status("box", soon())
    env: dict[str, Any] = virsh.logged()[0]["env"]
    assert (env["LC_ALL"], env["XDG_RUNTIME_DIR"]) == ("C", "/run/user/7")
    assert "LIBVIRT_DEFAULT_URI" not in env


def test_a_daemon_that_is_away_is_unknown_and_its_return_is_noticed(virsh: Program, driver: Libvirt) -> None:
    switch = Switch(driver, {"plug": "box"})
    virsh.set(away=True)
    assert switch.status("plug", soon()).after.state is State.UNKNOWN
    assert "failed to connect" in switch.trouble(soon())
    assert not switch.off("plug", soon(0.5)).ok
    assert not switch.on("plug", soon(0.5)).ok
    virsh.set(away=False)
    assert switch.off("plug", soon()).ok
    assert virsh.machine("box")["state"] == "shut off"


def test_a_virsh_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    driver = Libvirt("qemu:///system", str(tmp_path / "virsh"))
    assert str(tmp_path / "virsh") in driver.status("box", soon()).evidence
    with pytest.raises(DriverError, match="cannot be run"):
        driver.list(soon())


def test_a_virsh_that_hangs_keeps_the_deadline_and_is_ended(virsh: Program, driver: Libvirt) -> None:
    virsh.set(hang="domstate")
    began = time.monotonic()
    sight = driver.status("box", soon(0.5))
    assert sight.state is State.UNKNOWN
    assert "in time" in sight.evidence
    assert time.monotonic() - began < 20


def test_output_without_an_end_is_cut_off(virsh: Program, driver: Libvirt) -> None:
    virsh.set(raw={"domstate": (0, "x" * (3 << 20), "")})
    assert "no end" in driver.status("box", soon(20)).evidence


def test_a_process_of_the_machine_outweighs_what_libvirt_says(virsh: Program, driver: Libvirt) -> None:
    virsh.add("box", state="shut off", reason="daemon", id="-")
    virsh.process(77, "/usr/bin/qemu-system-x86_64", "-name", "guest=box", "-uuid", a_uuid("fox"))
    assert driver.status("box", soon()).state is State.OFF
    virsh.process(78, "/usr/bin/qemu-system-x86_64", "-name", "guest=box", "-uuid", BOX)
    sight = driver.status("box", soon())
    assert sight.state is State.UNKNOWN
    assert "78.7" in sight.evidence
    virsh.process(78, "/usr/bin/qemu-system-x86_64", "-uuid", BOX, state="Z")
    assert driver.status("box", soon()).state is State.OFF


def test_two_processes_of_one_machine_are_no_known_state(virsh: Program, driver: Libvirt) -> None:
    virsh.process(77, "qemu", "-uuid", BOX)
    assert driver.status("box", soon()).state is State.ON
    virsh.process(78, "qemu", "-uuid", BOX)
    assert driver.status("box", soon()).state is State.UNKNOWN


def test_off_and_on_through_the_switch(virsh: Program, driver: Libvirt) -> None:
    switch = Switch(driver, {"plug": "box"})
    off = switch.off("plug", soon())
    assert (off.ok, off.before.run, off.after.state) == (True, "1", State.OFF)
    assert switch.off("plug", soon()).reason == "was off already"
    on = switch.on("plug", soon())
    assert (on.ok, on.after.run) == (True, "2")


@pytest.mark.slow
def test_a_cut_that_does_not_take_is_not_off(virsh: Program, driver: Libvirt) -> None:
    virsh.add("box", kill_takes=False)
    outcome = Switch(driver, {"plug": "box"}).off("plug", soon(3.0))
    assert not outcome.ok
    assert outcome.after.state is State.ON


def test_warnings(virsh: Program, driver: Libvirt) -> None:
    virsh.process(77, "qemu", "-uuid", BOX)
    assert driver.warnings("box", soon()) == []
    virsh.add("box", autostart="enable", managed="yes")
    assert ["autostart" in one or "memory" in one for one in driver.warnings("box", soon())] == [True, True]
    virsh.add("fox")
    assert ["no second witness" in one for one in driver.warnings("fox", soon())] == [True]


@pytest.mark.parametrize(
    ("uri", "good"),
    [
        ("qemu:///system", True),
        ("qemu:///session", True),
        ("qemu+unix:///system?socket=/run/libvirt/libvirt-sock", True),
        ("test:///default", True),
        ("qemu+ssh://host/system", False),
        ("qemu://host/system", False),
        ("qemu+ext:///system?command=/bin/sh", False),
        ("", False),
        ("qemu:///system; destroy all", False),
        ("--help", False),
    ],
)
def test_only_this_hosts_own_libvirt_is_asked(uri: str, good: bool) -> None:
    assert bool(libvirt.URI.fullmatch(uri)) is good
