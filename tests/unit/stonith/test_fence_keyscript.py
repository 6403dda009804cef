"""The key from a program: it works as a key file does, and whatever is wrong with it is one sentence and no key."""

import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.unit.stonith.broker import Broker, Ran, fence

SECRET = "s3cret" * 10


def script(path: Path, body: str, mode: int = 0o700) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(mode)
    return path


def off(path: Path | str, timeout: object = 20) -> Ran:
    """With a script that will not do nobody is asked, so no broker needs to be there."""
    where = {"server": "127.0.0.1:1", "key_file": "/none"}
    return fence({"action": "off", "plug": "node2", **where, "key_script": path, "timeout": timeout})


def test_the_key_that_a_script_prints_is_used_and_the_key_file_is_not(power: Broker, tmp_path: Path) -> None:
    told = tmp_path / "told"
    path = script(tmp_path / "key.sh", f'echo "$# $(env | sort | tr "\\n" " ")" >{told}; cat {power.key_file("node1")}')
    ran = power.fence("off", "node2", key_file="/none", key_script=path)
    assert (ran.code, ran.err) == (0, "")
    assert power.engine.containers["kappa-lab-node2"].status == "exited"
    assert told.read_text().startswith("0 LC_ALL=C PATH=/")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f"echo {SECRET}; exit 3", "ended with 3"),
        (f"echo {SECRET}; kill -9 $$", "signal 9"),
        ("echo s3cret", "6 bytes"),
        ("true", "0 bytes"),
        (f"while :; do echo {SECRET}; done", "does not stop printing"),
    ],
)
def test_a_script_that_gives_no_key_is_named_and_what_it_printed_is_not(tmp_path: Path, body: str, why: str) -> None:
    path = script(tmp_path / "key.sh", body)
    ran = off(path)
    assert ran.code == 1
    line = ran.one_line()
    assert why in line
    assert str(path) in line
    assert "s3cret" not in line


def test_what_is_no_script_or_not_ones_own_is_refused(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "not an executable file"),
        (script(tmp_path / "plain", "true", 0o600), "not an executable file"),
        (script(tmp_path / "open", f"echo {SECRET}", 0o722), "changed by others (mode 722"),
        (script(tmp_path / "group", f"echo {SECRET}", 0o770), "changed by others (mode 770"),
    ):
        ran = off(path)
        assert ran.code == 1
        assert why in ran.one_line()
    broken = tmp_path / "broken"
    broken.write_text("#!/nonexistent/interpreter\n")
    broken.chmod(0o700)
    assert "cannot be run" in off(broken).one_line()


@pytest.mark.parametrize("body", ["sleep 1000", f"echo {SECRET}; exec >&-; sleep 1000", f"echo {SECRET}; sleep 1000 &"])
def test_a_script_that_does_not_end_is_ended_in_time_with_all_it_started(tmp_path: Path, body: str) -> None:
    mine = f"{tmp_path}/asleep"
    Path(mine).symlink_to("/bin/sleep")
    path = script(tmp_path / "key.sh", body.replace("sleep", mine))
    began = time.monotonic()
    ran = off(path, timeout=1)
    assert ran.code == 1
    assert "in time" in ran.one_line()
    assert time.monotonic() - began < 15
    end = time.monotonic() + 10
    while left := [pid for pid in psutil.pids() if mine in _command(pid)]:
        assert time.monotonic() < end, left


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
