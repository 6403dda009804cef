"""Small promises: what goes into an image, and failures that are one sentence."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kappa_lab import bundle, engine, hypervisor, lab, preflight
from kappa_lab.errors import LabError
from kappa_lab.paths import ROOT
from kappa_lab.run import run


def test_a_node_gets_no_database_and_no_developers_tools() -> None:
    kept = bundle.requirements_without(bundle.NODE_LEAVES_OUT)
    names = {line.split("==")[0] for line in kept.splitlines() if "==" in line}
    assert {"python-telegram-bot", "pymongo", "click", "psutil"} <= names
    assert not names & bundle.NODE_LEAVES_OUT
    assert kept.count("--hash=sha256:") > 50


def test_every_name_left_out_is_a_pinned_package() -> None:
    pinned = {line.split("==")[0] for line in bundle.REQUIREMENTS.read_text().splitlines() if "==" in line}
    assert pinned >= bundle.NODE_LEAVES_OUT


def test_a_changed_file_is_another_image(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = bundle.digest([tmp_path])
    assert before == bundle.digest([tmp_path])
    (tmp_path / "a").write_text("2")
    assert bundle.digest([tmp_path]) != before


def test_a_missing_program_is_one_sentence() -> None:
    with pytest.raises(LabError, match="Testing: the program no-such-program is not installed") as caught:
        run(["no-such-program"], doing="Testing")
    assert "sudo make deps" in str(caught.value)


def test_a_failing_program_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"Testing: sh ended with 3: last words \(all of it: .*log\)"):
        run(["sh", "-c", "echo first; echo last words >&2; echo; exit 3"], doing="Testing", log=tmp_path / "log")


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"Testing: sleep had not ended after 0 s"):
        run(["sleep", "60"], doing="Testing", timeout=0.2)


def test_too_little_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 10 * 1024**2

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(LabError, match=r"0\.0 GiB free; the lab needs \d GiB .*KAPPA_BUILD_DIR"):
        preflight._disk()


def test_a_network_in_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = '[{"dst": "default", "dev": "eth0"}, {"dst": "10.77.0.0/16", "dev": "tun0"}]'
    monkeypatch.setattr(preflight, "run", lambda *_, **__: routes)
    with pytest.raises(
        LabError, match=r"network lan \(10\.77\.0\.0/24\) is in use here: a route to 10\.77\.0\.0/16 .*tun0"
    ):
        preflight._networks()


def test_the_labs_own_bridges_are_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "run", lambda *_, **__: '[{"dst": "10.77.0.0/24", "dev": "kappa-lan"}]')
    preflight._networks()


@pytest.mark.parametrize(
    ("version", "good"), [("Docker version 19.03.8, build x", False), ("Docker version 20.10.24+dfsg1", True)]
)
def test_an_old_engine_is_said(monkeypatch: pytest.MonkeyPatch, version: str, good: bool) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr(preflight, "run", lambda *_, **__: version)
    if good:
        preflight._programs()
    else:
        with pytest.raises(LabError, match=r"too old: Docker version 19\.03\.8.*20\.10"):
            preflight._programs()


def lab_command(*args: str, preexec: object = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'vagrant'}"}
    command = [sys.executable, "-m", "kappa_lab.cli", *args]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid", "65534", "--clear-groups", *command]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)


@pytest.mark.parametrize("args", [("up",), ("down",), ("status",), ("drill", "run")])
def test_without_root_it_says_so(args: tuple[str, ...]) -> None:
    ran = lab_command(*args)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.strip() == "kappa-lab: The lab needs root: it starts containers and networks. Run it with sudo."


@pytest.mark.parametrize("args", [("drill", "run", "no-such"), ("nonsense",), ("up", "--nonsense")])
def test_wrong_words_are_one_sentence_and_no_traceback(args: tuple[str, ...]) -> None:
    ran = lab_command(*args)
    assert ran.returncode == 2
    assert ran.stderr.startswith("kappa-lab: ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("daemon", [engine, hypervisor])
def test_pid_of_another_program_is_not_the_daemons(
    daemon: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stale pidfile may name somebody else's process: it is never taken for ours, so never killed."""
    pidfile = tmp_path / "daemon.pid"
    monkeypatch.setattr(daemon, "PIDFILE", pidfile)
    assert daemon.pid() is None
    for stale in (f"{os.getpid()}\n", "", "no number", "4194305"):
        pidfile.write_text(stale)
        assert daemon.pid() is None
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "--pidfile", str(pidfile)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # a program has no command line yet while it is being put in place of what began it
        pidfile.write_text(f"{process.pid}\n")
        assert daemon.pid() == process.pid


def test_an_interrupted_run_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lab, "RUN", tmp_path / "run")
    monkeypatch.setattr(lab, "STATE", tmp_path / "state")
    monkeypatch.setattr(lab, "MARK", tmp_path / "state" / "lab.json")
    # a lab of machines may stand on this one
    monkeypatch.setattr(hypervisor, "RUN", tmp_path / "machines")
    monkeypatch.setattr(hypervisor, "FOLDER", tmp_path / "disks")
    assert lab.marked() is None
    (tmp_path / "machines").mkdir()
    assert lab.marked() == "an interrupted run"
    (tmp_path / "state").mkdir()
    assert lab.marked() == "an interrupted run"
    lab.MARK.write_text('{"by": "kappa-lab up"}')
    assert lab.marked() == "kappa-lab up"
    lab.MARK.write_text("{half")
    assert lab.marked() == "an interrupted run"
