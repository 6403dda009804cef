"""Bring the lab up and take it down: engine, images, data tier, Telegram, nodes, and the cluster's configuration."""

import contextlib
import fcntl
import json
import os
import shutil
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from kappa_lab import cluster, disks, engine, hypervisor, images, power, preflight, reach, secrets
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import CACHE, DRILLS, LOCK, LOGS, ROOT, RUN, STATE
from kappa_lab.progress import say, step
from kappa_lab.run import run
from kappa_lab.topology import MEMBERS, NODES, TELEGRAM, TELEGRAM_CONTROL_PORT, node

MARK = STATE / "lab.json"
PROJECT = "kappa-lab"
COMPOSE = ROOT / "vagrant" / "compose.yaml"
REPLICA_SET = f"mongodb://{','.join(f'{m}:27017' for m in MEMBERS)}/?replicaSet=kappa0"
CONTAINERS = len(NODES) + len(MEMBERS) + 3
NODE_CIB = "/usr/share/kappa-ha/cib.xml"


@dataclass(frozen=True)
class Configuration:
    """What the lab's cluster runs. In every configuration one group has the resources `vip`, `web` and `bot`."""

    cib: str | None = None
    """The cluster's configuration as XML; None: what crm_configs/ makes, as it lies in the node image."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Laid over the nodes' own files at every boot: absolute path and content. Owned by root, readable by all."""
    everywhere: tuple[str, ...] = ("router",)
    """Clones, by their primitive: one instance on each node."""
    fencing: tuple[str, ...] = ("fence-kappa", "fence-kappa-2")
    """Fence devices."""


SHIPPED = Configuration()


@contextlib.contextmanager
def sole_user() -> Iterator[None]:
    """Hold the machine's one lab while something is done to it. Raises LabError when another process holds it."""
    preflight.root()
    with LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            who = lock.read().strip() or "another process"
            raise LabError(
                f"The lab is in use by {who}.", "Wait for it to end, or stop it with Ctrl-C where it runs."
            ) from None
        lock.truncate(0)
        lock.write(f"{' '.join(Path(a).name for a in sys.argv[:3])} (pid {os.getpid()})")
        lock.flush()
        yield
        lock.truncate(0)


def marked() -> str | None:
    """What brought up the lab that stands (or half stands) here, or None when there is none."""
    try:
        return str(json.loads(MARK.read_text())["by"])
    except FileNotFoundError:
        return "an interrupted run" if _left() else None
    except (OSError, ValueError, KeyError):
        return "an interrupted run"


def _left() -> bool:
    """Is there anything that a lab leaves when nobody takes it down?"""
    around = () if hypervisor.inside() else (hypervisor.RUN, hypervisor.FOLDER)
    return any(folder.exists() for folder in (RUN, STATE, *around))


def stands() -> bool:
    """Is the engine up and every container of the lab running, and every machine where its nodes are machines?"""
    if engine.pid() is None or not engine.answers():
        return False
    states = docker("ps", "-a", "--format", "{{.State}}", doing="listing the lab's containers").split()
    if not reach.are_machines():
        return len(states) == CONTAINERS and set(states) == {"running"}
    with contextlib.suppress(LabError):
        states += [reach.state(node.container, f"asking for {node.name}") for node in NODES]
    return len(states) == CONTAINERS and set(states) == {"running"}


def compose_environment(tags: dict[str, str]) -> dict[str, str]:
    """What the compose file asks for, and the engine that it is for."""
    return {
        "DOCKER_HOST": engine.docker_host(),
        "KAPPA_NODE_IMAGE": tags["node"],
        "KAPPA_SERVICES_IMAGE": tags["services"],
        "KAPPA_STATE": str(STATE),
        "COMPOSE_PROJECT_NAME": PROJECT,
    }


def compose(*args: str, doing: str, tags: dict[str, str], log: Path | None = None) -> str:
    return run(
        ["docker-compose", "-f", COMPOSE, *args], doing=doing, env=compose_environment(tags), log=log, timeout=300
    )


def prepare() -> dict[str, str]:
    """Check the machine, start the engine, build what is missing; return the images' tags."""
    preflight.check()
    with step("starting a private container engine"):
        engine.start()
    return images.ensure()


def up(by: str, configuration: Configuration = SHIPPED) -> None:
    """Bring up a fresh lab, from nothing to a bot that serves. Raises LabError; the caller takes down what stands."""
    lay_out(by, configuration)
    tags = prepare()
    with step("starting nodes, data tier and Telegram lab server"):
        compose("up", "-d", "--no-build", doing="Starting the lab's containers", tags=tags, log=LOGS / "compose-up.log")
    settle(configuration)


def lay_out(by: str, configuration: Configuration = SHIPPED, kind: str = "docker") -> None:
    """Make the files of one run: who it belongs to, what its nodes are, their secrets and files, room for logs."""
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    MARK.write_text(json.dumps({"by": by, "kind": kind, "pid": os.getpid(), "t": time.time()}))
    secrets.make(STATE / "secrets")
    (STATE / "journal").mkdir(parents=True)
    disks.make()
    lay_over(configuration.files, STATE / "files")


def lay_over(files: Mapping[str, str], folder: Path) -> None:
    """Write what the nodes are to have in place of their image's own files, below `folder`, which is made."""
    folder.mkdir()
    for path, content in files.items():
        file = folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


def settle(configuration: Configuration = SHIPPED) -> None:
    """From started containers to a cluster whose bot serves."""
    with step("starting the power brokers"):
        power.start(sys.executable)
    with step("three nodes form a cluster, three members a replica set"):
        both(data_tier, membership)
    with step("loading the cluster's configuration"):
        load_configuration(configuration.cib)
    with step("waiting for the routers, the virtual IP, Nginx and the bot"):
        ready(configuration=configuration)


def both(*tasks: Callable[[], None]) -> None:
    """Run tasks side by side; the first failure is raised when all have ended."""
    failures: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(task,), daemon=True) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def data_tier() -> None:
    members = [argument for member in MEMBERS for argument in ("--member", f"{member}:27017")]
    docker(
        "exec", "kappa-lab-mongo1", "python", "-m", "kappa_lab.mongodb.initiate", *members,
        "--keyfile", "/lab/secrets/mongodb.key",
        "--admin-user", "kappa_admin", "--admin-password-file", "/lab/secrets/mongodb-admin.password",
        "--judge-password-file", "/lab/secrets/mongodb-judge.password",
        doing="Initiating the replica set", timeout=120, log=LOGS / "initiate.log",
    )  # fmt: skip
    docker(
        "exec", NODES[0].container, "kappa-bot", "prepare-database", "--config", "/etc/kappa/bot.toml",
        "--admin-user", "kappa_admin", "--admin-password-file", "/lab/secrets/mongodb-admin.password",
        "--uri", REPLICA_SET,
        doing="Preparing the bot's database", timeout=120, log=LOGS / "prepare-database.log",
    )  # fmt: skip


def membership(bound_s: float = 90) -> None:
    names = {one.name for one in NODES}
    cluster.wait_for("three nodes online with quorum", lambda s: s.online == names and s.quorum, bound_s, 0.3)


def load_configuration(cib: str | None = None, adapt: Callable[[ElementTree.Element], None] = lambda _: None) -> None:
    """Load crm_configs/, or the configuration given, into the running cluster in one piece.

    What the cluster itself wrote (its nodes) is kept. `adapt` may change the new <configuration> before.
    """
    first = NODES[0].container
    live = ElementTree.fromstring(
        docker("exec", first, "cibadmin", "--query", doing="Reading the cluster's configuration")
    )
    wanted = ElementTree.fromstring(
        cib or docker("exec", first, "cat", NODE_CIB, doing="Reading the prepared configuration")
    )
    configuration, new = live.find("configuration"), wanted.find("configuration")
    if configuration is None or new is None:
        raise LabError("The cluster's configuration has no <configuration> section.", "Its nodes' logs may say why.")
    adapt(new)
    keep_own_properties(configuration, new)
    for section in [s for s in configuration if s.tag != "nodes"]:
        configuration.remove(section)
    for section in [s for s in new if s.tag != "nodes"]:
        configuration.append(section)
    configuration[:] = sorted(
        configuration, key=lambda s: SECTIONS.index(s.tag) if s.tag in SECTIONS else len(SECTIONS)
    )
    text = ElementTree.tostring(configuration, encoding="unicode")
    docker(
        "exec", "-i", first, "cibadmin", "--replace", "--scope", "configuration", "--xml-pipe",
        doing="Loading the cluster's configuration", stdin=text,
    )  # fmt: skip


OWN = ("have-watchdog", "dc-version", "cluster-infrastructure", "cluster-name")


def keep_own_properties(live: ElementTree.Element, new: ElementTree.Element) -> None:
    """Take over what the cluster itself wrote among its properties: it does so once, and believes it later."""
    into = new.find("crm_config/cluster_property_set")
    if into is None:
        return
    for pair in live.iterfind("crm_config/cluster_property_set/nvpair"):
        if pair.get("name") in OWN:
            into.append(pair)


SECTIONS = ("crm_config", "nodes", "resources", "constraints", "fencing-topology", "op_defaults", "rsc_defaults")


def ready(bound_s: float = 90, configuration: Configuration = SHIPPED) -> cluster.Status:
    """Wait until all that should run does: the clones on each node, the group on one node, fencing on some node."""
    return cluster.wait_for(WHOLE, lambda seen: is_whole(seen, configuration), bound_s)


WHOLE = "every clone on three nodes, the group on one, fencing ready"


def is_whole(seen: cluster.Status, configuration: Configuration = SHIPPED) -> bool:
    names = frozenset(one.name for one in NODES)
    return (
        seen.online == names
        and all(seen.running.get(clone) == names for clone in configuration.everywhere)
        and group_on(seen) is not None
        and all(seen.running.get(device) for device in configuration.fencing)
    )


def group_on(seen: cluster.Status) -> str | None:
    """The one node on which all of the group runs."""
    where = {seen.where(resource) for resource in ("vip", "web", "bot")}
    return where.pop() if len(where) == 1 else None


def forget_failures(seen: cluster.Status) -> None:
    """What an operator does who has mended a cause: the cluster may try again where it had given up."""
    on = node(seen.asked).container
    docker("exec", on, "crm_resource", "--cleanup", doing="clearing the cluster's memory of failures", timeout=60)


def down(quiet: bool = False) -> None:
    """Remove every container, network, process and file of the lab, whatever their state; keep reports and cache."""
    stood = _left()
    with contextlib.nullcontext() if quiet or not stood else step("taking the lab down"):
        power.stop()
        if RUN.exists():
            if engine.pid() is None or not engine.answers():
                # only an engine can clean up after one that was killed: its folders name its containers
                with contextlib.suppress(LabError):
                    engine.start()
            if engine.answers():
                engine.remove_containers()
        engine.stop()
        hypervisor.stop()
        disks.remove()
        shutil.rmtree(STATE, ignore_errors=True)
    if stood and not quiet:
        say(f"  kept: reports in {DRILLS}, built images in {CACHE} (`make clean` removes both)")


def show() -> None:
    """Print what stands: containers, and the cluster in its own words."""
    by = marked()
    if by is None:
        say("No lab is up. `sudo make lab-up` starts one, `sudo make drill` runs a drill in one.")
        return
    say(f"The lab was brought up by {by}.")
    if engine.pid() is None or not engine.answers():
        say("Its engine does not answer: `sudo make lab-down` clears what is left.")
        return
    rows = docker("ps", "-a", "--format", "{{.Names}}\t{{.Status}}", doing="listing the lab's containers").strip()
    for row in sorted(rows.splitlines()):
        name, _, state = row.partition("\t")
        say(f"  {name.removeprefix('kappa-lab-'):<10} {state}")
    for one in NODES:
        with contextlib.suppress(LabError):
            say("\n" + docker("exec", one.container, "crm_mon", "-1", doing=f"asking {one.name}", timeout=20).rstrip())
            return
    say("No node answers crm_mon.")


# Traffic to the lab's own addresses never takes a proxy that the machine may have for the world outside.
_OPENER = build_opener(ProxyHandler({}))


def telegram(method: str, path: str, body: object | None = None) -> dict[str, object]:
    """Ask the Telegram lab server's control API."""
    url = f"http://{TELEGRAM}:{TELEGRAM_CONTROL_PORT}{path}"
    data = json.dumps(body).encode() if body is not None else None
    request = Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    try:
        with _OPENER.open(request, timeout=10) as answer:
            found = json.loads(answer.read() or b"{}")
    except (URLError, OSError, ValueError) as error:
        raise LabError(f"The Telegram lab server does not answer {method} {path}: {error}.") from None
    return dict(found)


def stop_gracefully(container: str, seconds: int = 20) -> None:
    docker("stop", "-t", str(seconds), container, doing=f"stopping {container}")
