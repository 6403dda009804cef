"""The lab with virtual machines for nodes: the same services beside them, the same brokers, the same cluster.

What differs from the lab of containers is here: Vagrant brings the machines up, `pcs` makes the cluster, a watchdog is
the last level of fencing. Everything after that goes through `kappa_lab.reach`.
"""

import functools
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from kappa_lab import box, bundle, engine, forming, hypervisor, images, lab, power, preflight, reach, settings, vagrant
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import LOGS, STATE
from kappa_lab.progress import step
from kappa_lab.run import last_line
from kappa_lab.topology import NETWORKS, NODES, Node

BOOTS: Final = 1.5
SERVICES: Final = ("mongo1", "mongo2", "mongo3", "telegram", "watcher", "lease")


def prepare() -> None:
    """Outside the namespace, where there may be a network: build box and images, then start the hypervisor."""
    chosen = settings.load()
    preflight.check()
    preflight.machines(len(NODES), chosen.machine.memory_mb)
    hypervisor.emulated(chosen)
    if not chosen.machine.box:
        box.build(chosen)
    with step("starting a private container engine"):
        engine.start()
    try:
        images.ensure(["services"])
    finally:
        engine.stop()  # and once more in the namespace, where its bridges belong
    with step("starting a private hypervisor"):
        hypervisor.start()


def up(by: str) -> None:
    """In the namespace: bring up a fresh lab on machines. Raises LabError; the caller takes down what stands."""
    chosen = settings.load()
    slow = hypervisor.emulated(chosen)
    lab.lay_out(by, kind="vagrant")
    hypervisor.start()  # it may be the second lab of this run
    with step("starting a private container engine"):
        engine.start()
    tags = images.ensure(["services"])
    services(tags)
    with step(f"Vagrant brings up {len(NODES)} machines ({'emulated' if slow else 'KVM'})"):
        vagrant.bring_up_machines(chosen, slow)
    with step("the project and its secrets to the machines"):
        give_project()
        lab.both(*(functools.partial(give_secrets, node) for node in NODES))
        follow_logs()
    with step("pcs makes a cluster of them, with SBD"):
        forming.form(slow)
    settle(slow)


def services(tags: dict[str, str]) -> None:
    """What stands beside the cluster, and the networks for the nodes that are to come."""
    with step("starting data tier and Telegram lab server"):
        lab.compose(
            "up", "-d", "--no-build", *SERVICES,
            doing="Starting the services beside the cluster", tags=tags, log=LOGS / "compose-up.log",
        )  # fmt: skip
        missing_networks()


def up_in_containers(by: str) -> None:
    """The lab of containers, its nodes made by Vagrant from the same image. Raises LabError."""
    lab.lay_out(by)
    tags = lab.prepare()
    services(tags)
    with step(f"Vagrant brings up {len(NODES)} containers"):
        vagrant.bring_up_containers(lab.compose_environment(tags))
    lab.settle()


def become_vagrant(words: tuple[str, ...]) -> None:
    """Go on as Vagrant, in whichever of its labs stands here."""
    chosen = settings.load()
    if reach.are_machines():
        vagrant.of_machines(chosen, hypervisor.emulated(chosen)).become(words)
    if lab.marked() is None:
        raise LabError("No lab is up.", "`sudo make vm-up` starts one of machines.")
    vagrant.of_containers(lab.compose_environment(images.tags())).become(words)


def pace() -> float:
    """So many times longer than in the lab of containers each stage of a drill may take: a machine has to boot."""
    return forming.SLOWER if hypervisor.emulated(settings.load()) else BOOTS


def settle(slow: bool) -> None:
    """From a cluster of machines to a bot that serves."""
    pace = forming.SLOWER if slow else 1
    with step("starting the power brokers"):
        power.start(sys.executable)
    with step("three nodes see each other, three members are a replica set"):
        lab.both(lab.data_tier, lambda: lab.membership(120 * pace))
    with step("loading the cluster's configuration"):
        lab.load_configuration(adapt=lambda new: forming.adapt(new, slow))
    with step("waiting for the routers, the virtual IP, Nginx and the bot"):
        lab.ready(90 * pace)


def missing_networks() -> None:
    """The rings are the machines' alone; compose makes no network that none of its containers is on."""
    there = docker("network", "ls", "--format", "{{.Name}}", doing="listing the lab's networks").split()
    for network in NETWORKS:
        name = f"{lab.PROJECT}_{network.name}"
        if name not in there:
            docker(
                "network", "create", "--internal", "--subnet", network.subnet, "--gateway", network.host,
                "--opt", f"com.docker.network.bridge.name={network.bridge}", name,
                doing=f"making the network {network.name}",
            )  # fmt: skip


def send(node: Node, archive: Path) -> None:
    """Unpack a tar file at the root of a machine."""
    unpack = reach.Asked("exec", node.name, ("tar", "-x", "-C", "/", "--no-same-owner", "-f", "-"))
    with archive.open("rb") as source:
        ran = subprocess.run(
            hypervisor.command(*reach.ssh(unpack)),
            stdin=source,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if ran.returncode != 0:
        raise LabError(f"Sending files to {node.name} failed: {last_line(ran.stderr)}.")


def give_secrets(node: Node) -> None:
    """Put on a machine what a configuration tool would: its own secrets, and nobody else's."""
    with tempfile.TemporaryDirectory(dir=STATE) as scratch:
        archive = Path(scratch) / "secrets.tar"
        with tarfile.open(archive, "w") as tar:
            for file in sorted((STATE / "secrets").iterdir()):
                others = file.name.startswith("fence-") and file.name != f"fence-{node.name}.key"
                if not others and file.name not in ("corosync.key", "pacemaker.key"):  # pcs makes these
                    tar.add(file, f"lab/secrets/{file.name}")
        send(node, archive)
    docker("exec", node.container, "kappa-node-boot", "/lab/secrets", doing=f"placing the secrets of {node.name}")


def give_project() -> None:
    """The project's package as it is now: the box holds the one that it was built with."""
    with tempfile.TemporaryDirectory(dir=STATE) as scratch:
        folder = Path(scratch)
        bundle.own_wheel(folder / "dist")
        archive = folder / "project.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(folder / "dist", "opt/bundle/dist")
            tar.add(bundle.PROVISION, "opt/bundle/provision", filter=bundle.anonymous)

        def update(node: Node) -> None:
            docker("exec", node.container, "rm", "-rf", "/opt/bundle/dist", doing=f"clearing the way on {node.name}")
            send(node, archive)
            docker(
                "exec", node.container, "/opt/bundle/provision/node", "project",
                doing=f"installing the project on {node.name}", timeout=300,
            )  # fmt: skip

        lab.both(*(functools.partial(update, node) for node in NODES))


FOLLOW: Final = """
while :; do
  ssh -F "$1" "$2" "sudo -n tail -n +$(($(wc -l <"$3") + 1)) -F /var/log/pacemaker/pacemaker.log" >>"$3" 2>/dev/null
  sleep 0.3
done
"""


def follow_logs() -> None:
    """Have each machine's Pacemaker log here as it is written, where a container's would be."""
    for node in NODES:
        file = STATE / "log" / node.name / "pacemaker" / "pacemaker.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        subprocess.Popen(
            hypervisor.command("bash", "-c", FOLLOW, "follow", reach.SSH_CONFIG, node.name, file),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def states() -> list[str]:
    """What libvirt says of the machines, a line each."""
    return [
        f"{node.name:<10} {hypervisor.virsh('domstate', node.container, doing=f'asking for {node.name}').strip()}"
        for node in NODES
    ]
