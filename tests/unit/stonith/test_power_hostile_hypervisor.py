"""Tens of thousands of hypervisors that lie, forget, hang and change their minds: never a false off, hang or traceback.

What is true is known here, beside what is told: which memory lives. A machine that is saved and woken, by whatever
name its run goes then, is the same memory; only a boot begins another.
"""

import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stonith.power.brake import Brake, Limits
from stonith.power.command import run
from stonith.power.driver import Driver, DriverError, Sight, State
from stonith.power.drivers import docker, libvirt, virtualbox
from stonith.power.request import Request, perform
from stonith.power.switch import Switch
from tests.unit.stonith import fake_engine, fake_programs
from tests.unit.stonith.fake_engine import Container
from tests.unit.stonith.fake_programs import a_uuid

pytestmark = pytest.mark.slow

CASES, MANY = 30_000, 400_000

# -- what the switch concludes


@dataclass
class World:
    """The truth about one machine, the time, and a driver that tells of both as it likes."""

    chance: random.Random
    now: float = 0.0
    memory: int = 1
    run: int = 1
    alive: bool = True
    saved: bool = False
    booted: bool = True
    no_new_privileges = True
    cuts: list[float] = field(default_factory=list)

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def happens(self) -> None:
        self.now += self.chance.choice((0.001, 0.01, 0.2, 2.0))
        what = self.chance.random()
        if what < 0.06 and self.alive:  # dies
            self.alive = False
        elif what < 0.10 and self.alive:  # is saved
            self.alive, self.saved = False, True
        elif what < 0.22 and not self.alive:  # is started by somebody: woken, or booted
            self.booted = not self.saved
            self.memory += self.booted
            self.run += 1
            self.alive, self.saved = True, False
        elif what < 0.25 and self.alive:  # restored from a snapshot in place, or moved: another run of the same memory
            self.run, self.booted = self.run + 1, False

    def lives(self, memory: int) -> bool:
        return self.memory == memory and (self.alive or self.saved)

    def status(self, machine: str, deadline: float, unit: str = "") -> Sight:
        self.happens()
        lie = self.chance.random()
        if lie < 0.10:
            return Sight(State.UNKNOWN, "no answer")
        if lie < 0.14 and unit:  # who asks for a name alone, gets whoever bears it
            return Sight(State.OFF, "another machine", "v", "1")
        if lie < 0.17:
            return Sight(State.OFF, "whatever")
        if lie < 0.20:
            return Sight(State.OFF, "no run", "u")
        if lie < 0.23 and unit:
            return Sight(State.ON, "another machine", "v", "99", booted=True)
        if lie < 0.26:
            return Sight(State.UNKNOWN, "looks away", "u")
        if lie < 0.27:
            raise RuntimeError("a driver that breaks its promise")
        if self.alive:
            return Sight(State.ON, "runs", "u", str(self.run), self.booted)
        if self.saved:
            return Sight(State.UNKNOWN, "saved", "u")
        return Sight(State.OFF, "off", "u", "-")

    def off(self, machine: str, unit: str, deadline: float) -> str:
        self.cuts.append(self.now)
        what = self.chance.random()
        if what < 0.2:
            raise DriverError("no")
        if what < 0.4:
            return "killed"  # a lie
        if unit == "u":
            self.alive = self.saved = False
        self.happens()
        return "killed"

    def on(self, machine: str, unit: str, deadline: float) -> str:
        assert not self.alive or self.chance
        self.happens()
        return "started"

    def list(self, deadline: float) -> frozenset[str]:
        return frozenset(("machine",))

    def warnings(self, machine: str, deadline: float) -> tuple[str, ...]:
        return ()


def fence(seed: int) -> tuple[bool, bool]:
    """Whether off was said, and whether it was true."""
    world = World(random.Random(seed))
    driver: Driver = world
    brake, units = Brake(Limits(cuts=seed % 3), world.clock), {"plug": "u"} if seed % 5 else {}
    switch = Switch(driver, {"plug": "machine"}, world.clock, world.sleep, brake, units)
    for _ in range(1 + seed % 2):  # the second request of one switch knows of the first
        for _ in range(5):
            world.happens()
        ran, alive, deadline = world.memory, world.alive or world.saved, world.now + 8.0
        outcome = perform(switch, Request("off", "plug", 8.0, True), deadline)
        assert outcome.reason or outcome.ok
        assert all(cut <= deadline for cut in world.cuts)
        if outcome.ok and alive and world.lives(ran):
            return True, False
    return outcome.ok, True


def fence_all(seeds: range) -> None:
    said = 0
    for seed in seeds:
        ok, true = fence(seed)
        assert true, f"seed {seed}: off was said of what still lives"
        said += ok
    assert said > len(seeds) / 3  # it does not keep its word by never saying anything


def test_off_is_never_said_of_what_lives() -> None:
    fence_all(range(CASES))


@pytest.mark.slow
def test_off_is_never_said_of_what_lives_however_often() -> None:
    fence_all(range(CASES, CASES + MANY))


# -- what the drivers take for a proof

BOX = a_uuid("box")
WORDS = ["", "-", "3", "box", "fox", BOX, a_uuid("fox"), "off", "no", "yes", *libvirt.STATES, *libvirt.ENDED]


def mangled(chance: random.Random, lines: list[str]) -> str:
    """A true answer with a few things done to it."""
    lines = list(lines)
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(lines)) if lines else 0
        what = chance.randrange(6)
        if not lines or what == 0:
            lines.insert(at, chance.choice(WORDS))
        elif what == 1:
            del lines[at]
        elif what == 2:
            lines.insert(chance.randrange(len(lines)), lines[at])
        elif what == 3:
            lines[at] = lines[at][: chance.randrange(len(lines[at]) + 1)]
        elif what == 4:
            key, mark, _ = lines[at].partition(chance.choice((":", "=", "(")))
            word = chance.choice(WORDS)
            lines[at] = key + mark + {":": f" {word}", "=": f'"{word}"', "(": f"{word})"}.get(mark, word)
        else:
            lines[at] = lines[at].replace(chance.choice("abdefinost- :()"), chance.choice("x- \x00é"), 1)
    return "\n".join(lines)


def virsh_said(state: str, reason: str, number: str) -> list[str]:
    about = {"Id": number, "Name": "box", "UUID": BOX, "State": state, "Persistent": "yes", "Managed save": "no"}
    return [f"{state} ({reason})", "", *(f"{key}: {value}" for key, value in about.items()), ""]


def sure_of_virsh(text: str) -> bool:
    """By another way than the driver's: that this text can mean nothing but that the very box is off."""
    lines = [line for line in text.splitlines() if line.strip()]
    reasons = "unknown|shutdown|destroyed|crashed|failed|from snapshot|daemon|saved"
    about = {"Id:": "-", "Name:": "box", "UUID:": BOX, "State:": "shut off", "Managed save:": "no"}
    return bool(lines and re.fullmatch(f" *shut off \\(({reasons})\\) *", lines[0])) and all(
        [line.removeprefix(key).strip() for line in lines if line.startswith(key)] == [value]
        for key, value in about.items()
    )


def judge_virsh(seeds: range) -> None:
    found = 0
    for seed in seeds:
        chance = random.Random(seed)
        state = chance.choice([*libvirt.STATES, "shut off", "shut off"])
        number = "-" if state == "shut off" else "3"
        text = mangled(chance, virsh_said(state, chance.choice([*libvirt.ENDED, "migrated", "booted"]), number))
        sight = libvirt.judge(text, "box", BOX)
        assert sight.state is not State.OFF or sure_of_virsh(text), (seed, text)
        assert "\n" not in sight.evidence
        found += sight.state is State.OFF
    assert found > len(seeds) / 20


def vboxmanage_said(state: str) -> list[str]:
    about = {"name": "box", "groups": "/", "UUID": BOX, "VMState": state, "VMStateChangeTime": "2026"}
    return [f'{key}="{value}"' for key, value in about.items()]


def judge_vboxmanage(seeds: range) -> None:
    found = 0
    for seed in seeds:
        chance = random.Random(seed)
        text = mangled(chance, vboxmanage_said(chance.choice([*virtualbox.STATES, *["poweroff"] * 10])))
        sight = virtualbox.judge(text, "box", BOX)
        lines = text.splitlines()
        states = [line for line in lines if line.startswith('VMState="')]
        sure = (
            states in (['VMState="poweroff"'], ['VMState="aborted"'])
            and next((line for line in lines if re.match('name="[^"]*"$', line)), "") == 'name="box"'
            and next((line for line in lines if re.match('UUID="[^"]*"$', line)), "") == f'UUID="{BOX}"'
        )
        assert sight.state is not State.OFF or sure, (seed, text)
        found += sight.state is State.OFF
    assert found > len(seeds) / 20


def test_no_answer_of_virsh_makes_off_of_what_could_run() -> None:
    judge_virsh(range(CASES))


def test_no_answer_of_vboxmanage_makes_off_of_what_could_run() -> None:
    judge_vboxmanage(range(CASES))


@pytest.mark.slow
def test_no_answer_makes_off_of_what_could_run_however_often() -> None:
    judge_virsh(range(CASES, CASES + MANY))
    judge_vboxmanage(range(CASES, CASES + MANY))


# -- whatever comes through the engine's socket, and out of the programs


def test_no_bytes_of_an_engine_are_more_than_unknown(tmp_path: Path) -> None:
    with fake_engine.running(tmp_path / "s") as engine:
        engine.add("box", status="exited", pid=0)
        driver = docker.Docker(str(engine.path))
        assert driver.status("box", time.monotonic() + 20).state is State.OFF
        import json

        body = json.dumps(Container("box").inspect()).encode()  # one that runs
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        for seed in range(1500):
            chance = random.Random(seed)
            raw = bytearray(whole)
            for _ in range(chance.randrange(1, 12)):
                at = chance.randrange(len(raw))
                raw[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
            engine.raw["json"] = bytes(raw[: chance.choice((len(raw), chance.randrange(len(raw) + 1)))])
            sight = driver.status("box", time.monotonic() + 20)
            assert sight.state is not State.OFF, (seed, bytes(raw))


HOSTILE = [
    "import os; os.write(1, os.urandom(3000)); os.write(2, os.urandom(3000))",
    "import os; os.kill(os.getpid(), 9)",
    "import os; os.close(1); os.close(2); os._exit(0)",
    "import sys; sys.exit('shut off')",
    # a child that inherits the pipes and lives on
    "import os, time; os.fork() or (time.sleep(20), os._exit(0)); os.write(1, b'shut off (destroyed)'); os._exit(0)",
    # half a proof, then silence
    "import os, time; os.write(1, b'shut off (destroyed)\\nId: -\\n'); time.sleep(60)",
    "import os\nwhile True: os.write(1, b'shut off (destroyed)\\n' * 1000)",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
]


@pytest.mark.parametrize("code", HOSTILE, ids=range(len(HOSTILE)))
def test_a_program_that_misbehaves_is_unknown_in_time(tmp_path: Path, code: str) -> None:
    import sys

    program = tmp_path / "virsh"
    program.write_text(f"#!{sys.executable} -IS\n{code}\n")
    program.chmod(0o755)
    driver = libvirt.Libvirt("qemu:///system", str(program))
    began = time.monotonic()
    assert driver.status("box", time.monotonic() + 1.5).state is State.UNKNOWN
    assert time.monotonic() - began < 15
    manage = virtualbox.VirtualBox(str(program))
    assert manage.status("box", time.monotonic() + 1.5).state is State.UNKNOWN


@pytest.mark.parametrize("filtered", [False, True])
def test_a_child_that_keeps_the_pipes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, filtered: bool) -> None:
    import sys

    if filtered:
        monkeypatch.setattr("stonith.power.command._pidfd", lambda pid: -1)
    ran = run([sys.executable, "-IS", "-c", HOSTILE[4]], time.monotonic() + 15)
    assert (ran.code, ran.out) == (0, "shut off (destroyed)")


def test_no_process_is_left_of_programs_that_were_ended(tmp_path: Path) -> None:
    virsh = fake_programs.virsh(tmp_path / "virsh")
    virsh.set(hang="domstate")
    driver = libvirt.Libvirt("qemu:///system", str(virsh.path))
    for _ in range(5):
        driver.status("box", time.monotonic() + 0.2)
    end = time.monotonic() + 20
    mine = str(virsh.path).encode()
    while any(mine in (path / "cmdline").read_bytes() for path in processes()):
        assert time.monotonic() < end, "a virsh that was out of time still runs"
        time.sleep(0.05)


def processes() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*") if (path / "cmdline").exists()]
