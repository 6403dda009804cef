"""A process is ours by pid and start time, or not at all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resource_agents.host import processes
from tests.unit.resource_agents.running import until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose name is made to confuse whoever splits /proc/PID/stat carelessly."""
    rename = "open('/proc/self/comm','w').write(') R 1 1 1 ('); print(flush=True); import time; time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-IS", "-c", rename], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_name_with_parentheses_confuses_nobody(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.process(sleeper.pid)
    assert found is not None
    assert found.parent == os.getpid()
    assert found.session == os.getsid(sleeper.pid)
    assert found.state in "SR"


def test_a_recycled_pid_is_not_ours(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    path = str(tmp_path / "state" / "pid")
    found = processes.process(sleeper.pid)
    assert found is not None
    processes.write_record(path, sleeper.pid, found.start)
    record = processes.read_record(path)
    assert record is not None
    assert record.running() is not None
    assert Path(path).read_text().splitlines()[0] == str(sleeper.pid), "an ordinary pidfile, to everyone else"
    # The same pid, another start time: another process.
    processes.write_record(path, sleeper.pid, found.start - 1)
    record = processes.read_record(path)
    assert record is not None
    assert record.running() is None


def test_a_record_of_an_earlier_life_counts_for_nothing(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    # A container that was killed keeps its files; its pids mean nothing any more.
    path = tmp_path / "pid"
    found = processes.process(sleeper.pid)
    assert found is not None
    processes.write_record(str(path), sleeper.pid, found.start)
    pid, start, _ = path.read_text().splitlines()
    path.write_text(f"{pid}\n{start}\nanother-boot/1\n")
    assert processes.read_record(str(path)) is None


@pytest.mark.parametrize("garbage", [b"", b"\n", b"abc", b"12", b"12\n13", b"\xff\xfe", b"-4\n1\nx", b"1 2 3 4"])
def test_a_record_that_is_none(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "pid"
    path.write_bytes(garbage)
    assert processes.read_record(str(path)) is None
    assert processes.read_record(str(tmp_path / "pid" / "below-a-file")) is None


def test_the_dead_are_not_running() -> None:
    child = subprocess.Popen([sys.executable, "-IS", "-c", ""])
    until(lambda: processes.process(child.pid) is None)  # a zombie by now: nobody has waited for it
    assert Path(f"/proc/{child.pid}").exists()
    child.wait()
    assert processes.process(child.pid) is None
    assert processes.command(child.pid) == []


def test_processes_are_found_by_what_they_are(sleeper: subprocess.Popen[bytes]) -> None:
    found = processes.find(lambda words: bool(words) and "time.sleep(600)" in words[-1] and "comm" in words[-1])
    assert sleeper.pid in [one.pid for one in found]
    assert processes.program_words(["/usr/bin/python3.11", "-IS", "/x/kappa-bot", "run"]) == ["/x/kappa-bot", "run"]
    assert processes.program_words(["python3", "-m", "kappa_bot", "run"]) == ["kappa_bot", "run"]
    assert processes.program_words(["/x/kappa-bot", "run"]) == ["/x/kappa-bot", "run"]


def test_a_record_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "pid").mkdir()
    (tmp_path / "pid" / "in-the-way").touch()
    with pytest.raises(OSError, match="pid"):
        processes.write_record(str(tmp_path / "pid"), 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["pid"], "no half file is left"
