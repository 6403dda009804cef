"""A private hypervisor: libvirtd in a network and a mount namespace of its own, so that nothing of it is on the host.

All of a lab of virtual machines happens in that namespace: their networks, the container engine with what stands
beside the cluster, the power brokers, Vagrant. When its last process has ended there is nothing to clean up but a
folder. The machine's own libvirt, if it has one, is neither used nor touched.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.paths import BUILD, LOGS
from kappa_lab.run import last_line, pid_in, run
from kappa_lab.settings import Settings

LIBVIRTD: Final = "/usr/sbin/libvirtd"
FOLDER: Final = BUILD / "machines"
"""The machines' disks and libvirt's state; removed when the lab goes down."""

RUN: Final = Path("/run/kappa-machines")
PIDFILE: Final = RUN / "libvirtd.pid"
SOCKET: Final = RUN / "libvirt" / "libvirt-sock"
URI: Final = "qemu:///system"
INSIDE: Final = "KAPPA_MACHINES_NAMESPACE"
"""Set for what runs in the namespace."""

KVM: Final = Path("/dev/kvm")
PROCESSOR: Final = Path("/proc/cpuinfo")

# libvirt's fixed places, each with the folder that stands in for it in the namespace
PLACES: Final = {
    "/run/libvirt": RUN / "libvirt",
    "/var/lib/libvirt": FOLDER / "libvirt",
    "/var/log/libvirt": LOGS / "libvirt",
    "/var/cache/libvirt": FOLDER / "cache",
    "/etc/libvirt": FOLDER / "etc",
}
QEMU_CONF: Final = """# machines that only this lab has, run by the one who started it
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
LIBVIRTD_CONF: Final = """auth_unix_rw = "none"
log_filters = "3:qemu 3:libvirt 4:event"
"""

# Debian's libvirt asks for this user before it reads that it is to use another; only its service's package makes it
USERS: Final = {
    "passwd": "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin",
    "group": "libvirt-qemu:x:64055:",
}

MOUNTED: Final = f"{RUN.name}/libvirt /run/libvirt "
"""How the first of them stands in the mounts of every process in the namespace, and of no other."""

SET_UP: Final = (
    "ip link set lo up && "
    # /sys shows the network of whoever mounted it; the control groups under it stay as they are
    f"mkdir -p {RUN}/cgroup && mount --rbind /sys/fs/cgroup {RUN}/cgroup && mount -t sysfs sysfs /sys && "
    f"mount --rbind {RUN}/cgroup /sys/fs/cgroup && "
    + " && ".join(f"mkdir -p {place} {there} && mount --bind {there} {place}" for place, there in PLACES.items())
    + "".join(f" && mount --bind {FOLDER}/{name} /etc/{name}" for name in USERS)
    + f' && exec "{LIBVIRTD}" --pid-file "{PIDFILE}"'
)


NEW: Final = ("unshare", "--mount", "--net", "--propagation", "private", "sh", "-ec", SET_UP)
AGAIN: Final = (LIBVIRTD, "--pid-file", str(PIDFILE))
"""In a new namespace, or once more in the one where this program is."""


def emulated(settings: Settings) -> bool:
    """Whether machines are emulated: by the settings' word, or for want of KVM. Raises LabError where KVM must be."""
    if settings.machine.profile == "emulated":
        return True
    why = no_kvm()
    if settings.machine.profile == "kvm" and why:
        raise LabError(
            f"lab.toml asks for KVM, and this machine has none: {why}.",
            'Set profile = "auto" there, or enable virtualisation.',
        )
    return bool(why)


def no_kvm(device: Path = KVM, processor: Path = PROCESSOR) -> str:
    """Why machines cannot have KVM here, "" where they can.

    A device alone does not make it: where the processor does not virtualise, what stands behind the device interprets
    a machine's kernel itself, slower than QEMU does and without all of its instructions.
    """
    if not device.exists():
        return f"{device} is not there"
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{device} cannot be used ({error.strerror})"
    with contextlib.suppress(OSError):
        if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", processor.read_text(), re.MULTILINE):
            return f"there is {device}, but the processor has neither VMX nor SVM"
    return ""


def pid() -> int | None:
    """libvirtd's pid, if that very program is running."""
    return pid_in(PIDFILE)


def inside() -> bool:
    """Whether this program runs in the namespace."""
    return INSIDE in os.environ


def command(*args: str | Path) -> list[str]:
    """`args` as a command that runs in the namespace, wherever this is called."""
    if inside():
        return [str(a) for a in args]
    number = pid()
    if number is None:
        raise LabError("The private hypervisor does not run.", "`sudo make lab-down` clears what is left of it.")
    return ["nsenter", "--target", str(number), "--mount", "--net", "--wd=" + str(Path.cwd()), *(str(a) for a in args)]


def environment() -> dict[str, str]:
    """What programs in the namespace are told."""
    return {INSIDE: "1", "LIBVIRT_DEFAULT_URI": URI, "PYTHONUNBUFFERED": "1"}


def within() -> int:
    """Run this same program with the same arguments in the namespace, to its end; its exit code.

    It is interrupted when this one is, and cleans up for itself before this returns.
    """
    sys.stdout.flush()
    argv = command(sys.executable, "-m", "kappa_lab.cli", *sys.argv[1:])
    child = subprocess.Popen(argv, env={**os.environ, **environment()})
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.terminate()


def virsh(*args: str, doing: str, timeout: float = 60) -> str:
    return run(command("virsh", "--quiet", "--connect", URI, *args), doing=doing, timeout=timeout)


def start(bound_s: float = 30) -> None:
    """Start the hypervisor unless it runs; return when it answers. Raises LabError with its own last words."""
    if pid() is not None and answers():
        return
    stop()  # what is left of one that died
    for folder in (RUN, LOGS, *PLACES.values()):
        folder.mkdir(parents=True, exist_ok=True)
    (FOLDER / "etc" / "qemu.conf").write_text(QEMU_CONF)
    (FOLDER / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF)
    for name, line in USERS.items():
        there = Path("/etc", name).read_text()
        (FOLDER / name).write_text(there if "\nlibvirt-qemu:" in there else f"{there}{line}\n")
    log = LOGS / "libvirtd.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            AGAIN if inside() else NEW,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    end = time.monotonic() + bound_s
    while not answers():
        if process.poll() is not None:
            raise LabError(
                f"The hypervisor ended at once: {last_line(log.read_text(errors='replace'))}", f"Its log: {log}."
            )
        if time.monotonic() > end:
            raise LabError(f"The hypervisor did not answer within {bound_s:.0f} s.", f"Its log: {log}.")
        time.sleep(0.1)


def answers() -> bool:
    with contextlib.suppress(LabError):
        virsh("version", doing="asking the hypervisor", timeout=10)
        return True
    return False


def stop(bound_s: float = 30) -> None:
    """End the hypervisor, its machines and whatever else runs in its namespace; remove disks and state."""
    end = time.monotonic() + bound_s
    while left := _ours():
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if time.monotonic() > end:
            raise LabError(
                f"These processes of the lab's hypervisor do not end: {', '.join(map(str, left))}.",
                "Look at them with ps.",
            )
        for number in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(number, os.WNOHANG)
        time.sleep(0.1)
    if inside():
        _empty()
        return
    for folder in (RUN, FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    for place in PLACES:
        with contextlib.suppress(OSError):
            Path(place).rmdir()  # one that was made to be mounted over; never one with anything in it


def _empty() -> None:
    """Clear what libvirt kept, and leave the folders that are mounted here: another hypervisor may follow in them."""
    for interface in Path("/sys/class/net").iterdir():  # here there are none but the lab's
        if interface.name != "lo":
            with contextlib.suppress(LabError):
                run(["ip", "link", "delete", interface.name], doing=f"removing {interface.name}")
    mounted = {*PLACES.values(), RUN / "cgroup"}
    for folder in (
        RUN,
        FOLDER,
        *(there for there in PLACES.values() if there.is_relative_to(RUN) or FOLDER in there.parents),
    ):
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry in mounted or (folder == FOLDER and entry.name in USERS):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


def _ours() -> list[int]:
    """Whatever runs in the namespace: what is mounted there tells it from all else, also when libvirtd is dead."""
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and MOUNTED in _mounts(entry) and not _zombie(entry)
    ]
    return sorted(set(found) - {os.getpid()})


def _mounts(entry: Path) -> str:
    try:
        return (entry / "mountinfo").read_text()
    except OSError:
        return ""


def _zombie(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def machines() -> Sequence[str]:
    """The domains that libvirt knows here."""
    return virsh("list", "--all", "--name", doing="listing the machines").split()
