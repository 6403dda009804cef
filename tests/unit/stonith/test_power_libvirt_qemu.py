"""The libvirt driver over a real libvirtd and real machines: a BIOS in emulation, nothing else, no network, no disk.

libvirtd runs as an ordinary user, with all that is its own in one folder, and ends with the test.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stonith.power import processes
from stonith.power.driver import State
from stonith.power.drivers.libvirt import Libvirt
from stonith.power.switch import Switch
from tests.unit.stonith.broker import until

DAEMON = shutil.which("libvirtd", path="/usr/sbin:/usr/bin")
QEMU = shutil.which("qemu-system-x86_64")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DAEMON and QEMU and shutil.which("virsh")),
        reason="needs libvirtd with QEMU (Debian's libvirt-clients, libvirt-daemon, -driver-qemu, qemu-system-x86)",
    ),
]

BOX = f"""<domain type="qemu"><name>box</name><memory unit="MiB">32</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="pc">hvm</type></os><devices><emulator>{QEMU}</emulator>
<controller type="usb" model="none"/><memballoon model="none"/></devices></domain>"""


@dataclass
class Host:
    """One libvirtd and its only machine."""

    folder: Path
    user: pwd.struct_passwd

    def __post_init__(self) -> None:
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": str(self.folder)}
        for name in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME", "DATA_HOME"):
            (self.folder / name).mkdir(mode=0o700)
            self.env[f"XDG_{name}"] = str(self.folder / name)
        (self.folder / "CONFIG_HOME" / "libvirt").mkdir(mode=0o700)
        # its log files by itself: no second daemon for them
        (self.folder / "CONFIG_HOME" / "libvirt" / "qemu.conf").write_text('stdio_handler = "file"\n')
        (self.folder / "box.xml").write_text(BOX)
        if os.geteuid() == 0:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, self.user.pw_uid, self.user.pw_gid)
        self.socket = self.folder / "RUNTIME_DIR" / "libvirt" / "libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"

    def start(self) -> None:
        whose = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        with (self.folder / "log").open("w") as log:
            self.daemon = subprocess.Popen([str(DAEMON)], env=self.env, stdout=log, stderr=log, cwd="/", **whose)  # type: ignore[call-overload]
        until(lambda: self.virsh("version").returncode == 0, 60)

    def stop(self, number: int = signal.SIGKILL) -> None:
        self.daemon.send_signal(number)
        self.daemon.wait(30)

    def virsh(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["virsh", "-q", "-c", self.uri, *command], env=self.env, capture_output=True, text=True, timeout=60
        )

    def qemu(self) -> int:
        """The process of the machine."""
        unit = self.virsh("domuuid", "box").stdout.strip()
        (found,) = processes.of_machine(unit, ("-uuid",))
        return int(found.partition(".")[0])


@pytest.fixture
def host() -> Iterator[Host]:
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="kappa-", ignore_cleanup_errors=True) as folder:
        host = Host(Path(folder), user)
        host.start()
        try:
            assert host.virsh("define", str(host.folder / "box.xml")).returncode == 0
            ran = host.virsh("start", "box")
            assert ran.returncode == 0, ran.stderr
            yield host
        finally:
            with contextlib.suppress(ValueError):
                os.kill(host.qemu(), signal.SIGKILL)
            host.stop()


def soon(seconds: float = 60.0) -> float:
    return time.monotonic() + seconds


def test_the_whole_way_off_and_on(host: Host) -> None:
    driver = Libvirt(host.uri)
    switch = Switch(driver, {"plug": "box"})
    assert driver.warnings("box", soon()) == []
    before = switch.status("plug", soon()).after
    assert before.state is State.ON
    assert f"process {host.qemu()}." in before.evidence
    off = switch.off("plug", soon())
    assert (off.ok, off.after.unit) == (True, before.unit)
    assert processes.of_machine(before.unit, ("-uuid",)) == []
    on = switch.on("plug", soon())
    assert (on.ok, on.after.booted) == (True, True)
    assert on.after.run != before.run
    os.kill(host.qemu(), signal.SIGKILL)
    until(lambda: switch.status("plug", soon()).after.state is State.OFF, 60)


def test_a_frozen_process_is_on_and_can_be_cut(host: Host) -> None:
    switch = Switch(Libvirt(host.uri), {"plug": "box"})
    os.kill(host.qemu(), signal.SIGSTOP)
    assert switch.status("plug", soon()).after.state is State.ON
    assert switch.off("plug", soon()).ok


def test_a_saved_memory_is_not_off_until_it_is_thrown_away(host: Host) -> None:
    switch = Switch(Libvirt(host.uri), {"plug": "box"})
    ran = host.virsh("managedsave", "box")
    assert ran.returncode == 0, ran.stderr
    assert switch.status("plug", soon()).after.state is State.UNKNOWN
    assert switch.off("plug", soon()).ok
    assert switch.on("plug", soon()).after.booted


def test_a_daemon_that_comes_back_without_its_memory_proves_nothing(host: Host) -> None:
    """It says `shut off` of a machine that runs; the process outweighs that, and when it ends, so does the doubt."""
    switch = Switch(Libvirt(host.uri), {"plug": "box"})
    number = host.qemu()
    host.stop()
    assert switch.status("plug", soon()).after.state is State.UNKNOWN
    host.start()
    assert switch.status("plug", soon()).after.state is State.ON  # it has found the machine again
    host.stop()
    for path in host.folder.glob("RUNTIME_DIR/libvirt/qemu/run/*"):
        if path.is_file():
            path.unlink()
    host.start()
    assert host.virsh("domstate", "box").stdout.strip() == "shut off"
    assert host.qemu() == number
    outcome = switch.off("plug", soon(5))
    assert (outcome.ok, outcome.after.state) == (False, State.UNKNOWN)
    assert "disagree" in outcome.reason
    os.kill(number, signal.SIGKILL)
    until(lambda: switch.status("plug", soon()).after.state is State.OFF, 60)
