"""Interrupted, killed, in each other's way: one sentence, a non-zero exit, nothing left, and the next run works."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kappa_lab.paths import BUILD, ROOT
from tests.lab_runs import COMMAND, environment, left_behind
from tests.sabotage import Edit, apply, copy_tree

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


class Run:
    """A `kappa-lab` command under way, in a process group of its own, as a terminal starts it."""

    def __init__(self, root: Path, reports: Path, *args: str) -> None:
        self.process = subprocess.Popen(
            # where the tests themselves run in the background, Ctrl-C is ignored, and that is handed down
            ["env", "--default-signal=INT", *COMMAND, *args],
            cwd=root, env=environment(root, reports), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        self.said = ""
        self._reached = threading.Condition()
        self._ended = False
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        while chunk := os.read(self.process.stdout.fileno(), 4096):
            with self._reached:
                self.said += chunk.decode(errors="replace")
                self._reached.notify_all()
        with self._reached:
            self._ended = True
            self._reached.notify_all()

    def until(self, text: str, bound_s: float = 120) -> None:
        """Wait until it has printed `text`."""
        with self._reached:
            assert self._reached.wait_for(lambda: text in self.said or self._ended, bound_s), self.said
            assert text in self.said, f"it ended without: {text}\n{self.said}"

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def end(self, bound_s: float = 120) -> tuple[int, str]:
        """Wait for its end; return exit code and what it wrote to standard error."""
        code = self.process.wait(bound_s)
        assert self.process.stderr is not None
        return code, self.process.stderr.read().decode()


@contextmanager
def running(root: Path, reports: Path, *args: str) -> Iterator[Run]:
    run = Run(root, reports, *args)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.signal(signal.SIGKILL)
            run.process.wait(30)


def lab(*args: str) -> subprocess.CompletedProcess[str]:
    env = environment(ROOT, BUILD / "drills")
    return subprocess.run([*COMMAND, *args], env=env, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.parametrize(
    "moment",
    [
        "starting a private container engine",
        "starting nodes",
        "three nodes form",
        "waiting for the routers",
        "users talk",
    ],
)
def test_ctrl_c_leaves_nothing(moment: str, tmp_path: Path) -> None:
    with running(ROOT, tmp_path / "drills", "drill", "run", "power-cut") as drill:
        drill.until(moment)
        drill.signal(signal.SIGINT)
        code, complaint = drill.end()
    assert code == 130, complaint
    assert complaint.splitlines()[-1] == "kappa-lab: interrupted; what it had started has been taken down."
    assert "Traceback" not in complaint
    assert left_behind() == []
    assert list((tmp_path / "drills").iterdir()) == []


def test_ctrl_c_during_a_build_leaves_nothing_half_built(tmp_path: Path) -> None:
    root = copy_tree(tmp_path / "copy")
    apply(root, [Edit("vagrant/kappa_lab/progress.py", '"""Long work', '"""(another image) Long work')])
    with running(root, tmp_path / "drills", "drill", "run", "power-cut") as drill:
        drill.until("building the")
        drill.signal(signal.SIGINT)
        code, complaint = drill.end()
    assert code == 130, complaint
    assert left_behind() == []
    with running(root, tmp_path / "drills", "build") as build:
        code, complaint = build.end(200)
    assert code == 0, complaint
    assert left_behind() == []


def test_what_a_killed_run_left_is_taken_down(tmp_path: Path) -> None:
    """SIGKILL leaves everything standing; `lab-down` needs nothing but what it finds."""
    with running(ROOT, tmp_path / "drills", "drill", "run", "power-cut") as drill:
        drill.until("three nodes form")
        drill.signal(signal.SIGKILL)
        drill.end()
    assert left_behind() != []
    down = lab("down")
    assert (down.returncode, down.stderr) == (0, "")
    assert left_behind() == []
    again = lab("down")
    assert (again.returncode, again.stderr) == (0, "")


def test_what_a_killed_engine_left_is_taken_down(tmp_path: Path) -> None:
    with running(ROOT, tmp_path / "drills", "drill", "run", "power-cut") as drill:
        drill.until("three nodes form")
        drill.signal(signal.SIGKILL)
        drill.end()
    os.kill(int(Path("/run/kappa-lab/dockerd.pid").read_text()), signal.SIGKILL)
    down = lab("down")
    assert (down.returncode, down.stderr) == (0, "")
    assert left_behind() == []


def test_two_at_once_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    with running(ROOT, tmp_path / "drills", "drill", "run", "power-cut") as first:
        first.until("starting nodes")
        for args in (("drill", "run", "power-cut"), ("up",), ("down",)):
            second = lab(*args)
            assert second.returncode == 2
            assert f"in use by cli.py drill run (pid {first.process.pid})" in second.stderr
            assert second.stderr.count("\n") == 1
        first.until("three nodes form")  # it goes on
        first.signal(signal.SIGINT)
        assert first.end()[0] == 130
    assert left_behind() == []


@pytest.fixture
def foreign_network() -> Iterator[str]:
    """Somebody else's interface with an address that the lab would use."""
    subprocess.run(["ip", "link", "add", "foreign0", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "10.77.1.77/16", "dev", "foreign0"], check=True)
        subprocess.run(["ip", "link", "set", "foreign0", "up"], check=True)
        yield "foreign0"
    finally:
        subprocess.run(["ip", "link", "delete", "foreign0"], check=True)


def test_an_address_in_use_is_said_before_anything_is_started(foreign_network: str) -> None:
    ran = lab("up")
    assert ran.returncode == 2
    assert "(10.77.0.0/24) is in use here: a route to 10.77.0.0/16" in ran.stderr
    assert foreign_network in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert left_behind() == []


def test_up_twice_and_down_twice() -> None:
    for _ in range(2):
        up = lab("up")
        assert up.returncode == 0, up.stderr
        assert "Online: [ node1 node2 node3 ]" in up.stdout or "is up already" in up.stdout
    status = lab("status")
    assert "Online: [ node1 node2 node3 ]" in status.stdout
    for _ in range(2):
        down = lab("down")
        assert down.returncode == 0, down.stderr
    assert left_behind() == []
    assert "No lab is up" in lab("status").stdout
