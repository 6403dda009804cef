"""The Vagrantfile with containers: `vagrant up` makes the nodes of a lab that serves."""

import os
import subprocess
from pathlib import Path

import pytest

from kappa_lab import cluster, images, lab, machines, power, vagrant
from kappa_lab.topology import NODES
from tests.lab_runs import left_behind

pytestmark = pytest.mark.cluster


def states(told: vagrant.Vagrant) -> dict[str, str]:
    """Machine → state, of what `vagrant status` prints for programs."""
    lines = told.run("status", "--machine-readable", doing="vagrant status").splitlines()
    fields = [line.split(",") for line in lines]
    return {field[1]: field[3] for field in fields if len(field) > 3 and field[2] == "state"}


def test_vagrant_brings_up_halts_and_destroys_the_nodes_of_a_lab_that_serves() -> None:
    with lab.sole_user():
        lab.down(quiet=True)
        try:
            machines.up_in_containers("a test of Vagrant")
            seen = lab.ready(5)
            assert seen.online == {node.name for node in NODES}
            told = vagrant.of_containers(lab.compose_environment(images.tags()))
            assert states(told) == {node.name: "running" for node in NODES}

            # a halt is a goodbye, not a fault: the node leaves, and nobody shoots it
            told.run("halt", "node2", doing="vagrant halt", timeout=120)
            assert states(told)["node2"] == "stopped"
            cluster.wait_for("node2 has left", lambda s: s.online == {"node1", "node3"}, 30)
            told.run("up", "node2", "--provider=docker", doing="vagrant up of one", timeout=120)
            lab.ready(60)
            assert not [line for line in power.audit() if '"off"' in line], "a node was fenced"

            told.run("destroy", "--force", doing="vagrant destroy", timeout=120)
            assert set(states(told).values()) == {"not_created"}
        finally:
            lab.down(quiet=True)
    assert left_behind() == []


def test_vagrant_without_a_lab_is_one_sentence(tmp_path: Path) -> None:
    env = {**os.environ, **vagrant.COMMON, "VAGRANT_DEFAULT_PROVIDER": "docker", "DOCKER_HOST": "unix:///nonexistent"}
    env.pop("KAPPA_STATE")
    env["VAGRANT_DOTFILE_PATH"] = str(tmp_path / "vagrant")
    ran = subprocess.run(
        ["vagrant", "up", "node1"], env=env, cwd=vagrant.FOLDER, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode != 0
    assert "kappa-lab up --lab vagrant-docker" in ran.stderr
    assert left_behind() == []
