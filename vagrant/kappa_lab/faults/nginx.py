"""Faults of the group's web server."""

import contextlib
from typing import Final

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import cleanup, each, keep_file, once_it_runs, put_back, signal, until, within
from kappa_lab.faults.kind import Kind
from kappa_lab.topology import Node

MASTER: Final = "nginx: master process"
CONFIG: Final = "/etc/kappa/nginx.conf"
TAKEN: Final = "/run/kappa-lab-port.pid"
TAKER: Final = f"""
import os, signal, socket, time
with socket.socket() as taker:
    taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    while True:
        try:
            taker.bind(("", 8080))
            taker.listen()
            break
        except OSError:
            time.sleep(0.005)
    with open("{TAKEN}", "w") as file:
        file.write(str(os.getpid()))
    signal.pause()
"""


def kill_master(node: Node) -> None:
    """Its workers live on, keep the port, and answer; none of them is told what comes next."""
    signal(node, "KILL", MASTER)


def kill_all(node: Node) -> None:
    signal(node, "KILL", "nginx", whole_line=False)


def take_port(node: Node) -> None:
    """Nginx dies, and before it can be started again another program listens where it would."""
    docker("exec", "--detach", node.container, "python3", "-c", TAKER, doing=f"starting a program on {node.name}")
    kill_all(node)

    def taken() -> bool:
        if within(node, "sh", "-c", f"cat {TAKEN} 2>/dev/null || :", doing=f"looking for the program on {node.name}"):
            return True
        with contextlib.suppress(LabError):  # it was quicker, and is gone
            kill_all(node)
        return False

    until("another program has Nginx's port", taken, 20)


def free_port(node: Node) -> None:
    def end() -> None:
        script = f"[ ! -e {TAKEN} ] || {{ kill $(cat {TAKEN}); rm {TAKEN}; }}"
        within(node, "sh", "-c", script, doing=f"ending the program on {node.name}")

    once_it_runs(node, end)
    cleanup("web", node)


def reload_broken(node: Node) -> None:
    """As it goes when somebody edits it and reloads without a test: by hand, and as log rotation does."""
    text = within(node, "cat", CONFIG, doing=f"reading {CONFIG} on {node.name}")
    keep_file(node, CONFIG, text + "no_such_directive on;\n")
    with contextlib.suppress(LabError):  # that Nginx refuses is right; what runs must go on
        within(node, "nginx", "-c", CONFIG, "-s", "reload", doing=f"reloading Nginx on {node.name}")
    signal(node, "HUP", MASTER)


def reload_whole(node: Node) -> None:
    once_it_runs(node, lambda: put_back(node, CONFIG))
    with contextlib.suppress(LabError):  # the group is elsewhere by now
        signal(node, "HUP", MASTER)
    cleanup("web", node)


ACTIVE: Final = ("active",)

KINDS: Final = (
    Kind("nginx-master-killed", "Nginx's master process is killed; its workers live on.", each(kill_master), ACTIVE,
         predicted="nginx-dead"),
    Kind("nginx-killed", "Nginx is killed, workers and all.", each(kill_all), ACTIVE, predicted="nginx-dead"),
    Kind("nginx-port-taken", "Nginx dies, and another program takes its port.", each(take_port, free_port), ACTIVE),
    Kind("nginx-reload-broken", "Nginx's configuration is broken, and reloaded.", each(reload_broken, reload_whole),
         ACTIVE),
)  # fmt: skip
