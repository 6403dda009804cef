"""A private container engine: nothing of it on the host but its own processes, and nothing left behind.

The machine's own engine, if it has one, is neither used nor touched. With its default flags dockerd leaves docker0, NAT
rules, FORWARD DROP and ip_forward=1 on the host, so it is started without any of them; the lab's networks are internal.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from kappa_lab import reach
from kappa_lab.errors import LabError
from kappa_lab.paths import ENGINE_DATA, LOGS, RUN
from kappa_lab.run import last_line, pid_in, run
from kappa_lab.topology import NETWORKS

DOCKERD = "/usr/sbin/dockerd"
DOCKER = "/usr/bin/docker"
SOCKET = RUN / "docker.sock"
PIDFILE = RUN / "dockerd.pid"
EXEC_ROOT = RUN / "exec"

# Where dockerd and containerd put things whatever they are told. In a mount namespace of its own the engine gets both
# as empty file systems: nothing of it lands in the machine's, a system engine's are left alone, and every mount that it
# makes is gone with its last process, however that ended.
FIXED_FOLDERS = (Path("/run/docker"), Path("/run/containerd"))
HIDE = "for f in /run/docker /run/containerd; do mkdir -p $f && mount -t tmpfs -o mode=755 kappa-lab $f || exit 1; done"
IN_A_NAMESPACE = ("unshare", "--mount", "--propagation", "private", "sh", "-c", f'{HIDE}; exec "$@"', "sh")


def docker_host() -> str:
    return f"unix://{SOCKET}"


def docker(
    *args: str | Path, doing: str, timeout: float = 300, log: Path | None = None, stdin: str | None = None
) -> str:
    """Run the docker command against the private engine and return what it printed.

    What is asked of a node that is a virtual machine is carried out there.
    """
    if reach.are_machines() and (asked := reach.of_node([str(a) for a in args])):
        return reach.carry_out(asked, run, doing, timeout, log, stdin)
    return run([DOCKER, *args], doing=doing, timeout=timeout, log=log, env={"DOCKER_HOST": docker_host()}, stdin=stdin)


def pid() -> int | None:
    """The private engine's pid, if that very program is running."""
    return pid_in(PIDFILE)


def answers() -> bool:
    env = {**os.environ, "DOCKER_HOST": docker_host()}
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        ran = subprocess.run(
            [DOCKER, "version"], env=env, capture_output=True, stdin=subprocess.DEVNULL, timeout=10, check=False
        )
        return ran.returncode == 0
    return False


def start(bound_s: float = 60) -> None:
    """Start the engine unless it runs; return when it answers. Raises LabError with the engine's own last words."""
    if pid() is not None and answers():
        return
    _sweep_processes()  # an engine that was killed leaves containerd and shims, which a new one would fight over
    for folder in (RUN, ENGINE_DATA, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    PIDFILE.unlink(missing_ok=True)
    log_path = LOGS / "dockerd.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [
                *IN_A_NAMESPACE, DOCKERD, "--host", docker_host(), "--data-root", ENGINE_DATA, "--exec-root", EXEC_ROOT,
                "--pidfile", PIDFILE,
                "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false",
                "--storage-driver=overlay2",
            ],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    end = time.monotonic() + bound_s
    while not answers():
        if process.poll() is not None:
            raise LabError(
                f"The container engine ended at once: {last_line(log_path.read_text(errors='replace'))}",
                f"Its log: {log_path}. overlay2 needs ext4 or xfs: KAPPA_BUILD_DIR can name a folder on one.",
            )
        if time.monotonic() > end:
            raise LabError(f"The container engine did not answer within {bound_s:.0f} s.", f"Its log: {log_path}.")
        time.sleep(0.1)


def remove_containers() -> None:
    """Remove every container and network of the lab, whatever state they are in (the engine must be up)."""
    containers = docker("ps", "-aq", doing="listing the lab's containers").split()
    paused = docker("ps", "-q", "--filter", "status=paused", doing="listing frozen containers").split()
    if paused:
        docker("unpause", *paused, doing="thawing frozen containers")
    if containers:
        docker("rm", "-f", "-v", *containers, doing="removing the lab's containers", timeout=120)
    docker("network", "prune", "-f", doing="removing the lab's networks")


def stop(bound_s: float = 60) -> None:
    """End the engine and everything that it started, and clear what it mounted. Works on any half-dead state."""
    number = pid()
    if number is not None:
        os.kill(number, signal.SIGTERM)
        end = time.monotonic() + bound_s
        # PID 1 may not reap here: the pidfile's vanishing says that the engine has ended, kill -0 does not
        while PIDFILE.exists() and _alive(number):
            if time.monotonic() > end:
                os.kill(number, signal.SIGKILL)
                break
            time.sleep(0.1)
    _sweep_processes()
    _sweep_bridges()
    _sweep_folders()
    shutil.rmtree(RUN, ignore_errors=True)


def _alive(number: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(number, os.WNOHANG)  # when this very process started it, nobody else reaps it
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _ours() -> list[int]:
    """The private engine's processes: dockerd, containerd and shims name our run folder, and all their descendants."""
    needle = str(RUN).encode()
    parents: dict[int, int] = {}
    named: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        number = int(entry.name)
        if fields[0] == "Z":
            continue
        parents[number] = int(fields[1])
        program = command.split(b"\0", 1)[0].rsplit(b"/", 1)[-1]
        if needle in command and program.startswith((b"dockerd", b"containerd", b"docker-proxy")):
            named.add(number)
    found = set(named)
    grew = True
    while grew:
        more = {child for child, parent in parents.items() if parent in found and child not in found}
        grew = bool(more)
        found |= more
    return sorted(found - {os.getpid()})


def _sweep_processes(bound_s: float = 20) -> None:
    """SIGKILL what a dead engine left running, by pid, and wait until it is gone."""
    end = time.monotonic() + bound_s
    while left := _ours():
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if time.monotonic() > end:
            raise LabError(
                f"These processes of the lab's engine do not end: {', '.join(map(str, left))}.", "Look at them with ps."
            )
        time.sleep(0.1)


def _sweep_folders() -> None:
    """The two folders that a mount was put over: removed only while they are empty, so never a system engine's."""
    for folder in FIXED_FOLDERS:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _sweep_bridges() -> None:
    for network in NETWORKS:
        if Path(f"/sys/class/net/{network.bridge}").exists():
            run(["ip", "link", "delete", network.bridge], doing=f"removing the bridge {network.bridge}")
