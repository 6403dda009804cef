"""What makes a node: each stage once, again when what it takes has changed, and never silently."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from kappa_lab import bundle, settings
from kappa_lab.bundle import PROVISION
from kappa_lab.paths import ROOT

STAGES = sorted(path.name for path in (PROVISION / "stages").iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle with two small stages, and a node's disk of its own."""
    provision = tmp_path / "bundle" / "provision"
    (provision / "stages").mkdir(parents=True)
    text = (PROVISION / "node").read_text()
    assert "/var/lib/kappa-ha/provisioned" in text
    (provision / "node").write_text(text.replace("/var/lib/kappa-ha/provisioned", f"{tmp_path}/done"))
    (provision / "stages" / "one").write_text(f"# takes: data\necho one $PROVISION_ROLE >>{tmp_path}/did\n")
    (provision / "stages" / "two").write_text(f"[ ! -e {tmp_path}/broken ]\necho two >>{tmp_path}/did\n")
    (tmp_path / "bundle" / "data").write_text("1")
    return tmp_path


def provision(folder: Path, *stages: str) -> "subprocess.CompletedProcess[str]":
    fakes = folder / "bin"
    fakes.mkdir(exist_ok=True)
    (fakes / "id").write_text("#!/bin/sh\necho 0\n")
    (fakes / "id").chmod(0o755)
    env = {"PATH": f"{fakes}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", folder / "bundle" / "provision" / "node", *stages], env=env, capture_output=True, text=True, timeout=30
    )


def did(folder: Path) -> list[str]:
    file = folder / "did"
    return file.read_text().splitlines() if file.exists() else []


def test_what_was_done_is_not_done_again(folder: Path) -> None:
    for _ in range(2):
        ran = provision(folder, "one", "two")
        assert ran.returncode == 0, ran.stderr
    assert did(folder) == ["one machine", "two"]


def test_a_stage_whose_input_changed_is_done_again_and_no_other(folder: Path) -> None:
    provision(folder, "one", "two")
    (folder / "bundle" / "data").write_text("2")
    assert provision(folder, "one", "two").returncode == 0
    assert did(folder) == ["one machine", "two", "one machine"]


def test_a_stage_that_fails_is_named_and_is_where_the_next_run_begins(folder: Path) -> None:
    (folder / "broken").touch()
    ran = provision(folder, "one", "two")
    assert ran.returncode == 2
    assert ran.stderr == "kappa-node: Stage two failed; what it said last stands above.\n"
    (folder / "broken").unlink()
    assert provision(folder, "one", "two").returncode == 0
    assert did(folder) == ["one machine", "two"]


def test_half_a_bundle_is_said(folder: Path) -> None:
    (folder / "bundle" / "data").unlink()
    ran = provision(folder, "one")
    assert ran.returncode == 2
    assert ran.stderr.startswith("kappa-node: The bundle has no data, which stage one needs.")
    assert did(folder) == []


def test_a_stage_that_there_is_not_is_said(folder: Path) -> None:
    ran = provision(folder, "three")
    assert ran.returncode == 2
    assert ran.stderr == "kappa-node: There is no stage three; there are: one two.\n"


def test_the_container_image_runs_every_stage_of_a_node_in_its_order() -> None:
    """One source: what the Dockerfile runs is what a server runs."""
    order = next(
        line.split("set --")[1].split() for line in (PROVISION / "node").read_text().splitlines() if "set --" in line
    )
    assert sorted(order) == STAGES
    docker = (ROOT / "vagrant" / "images" / "node" / "Dockerfile").read_text()
    ran = [
        word
        for line in docker.splitlines()
        if line.startswith("RUN /opt/bundle/provision/node")
        for word in line.split()[2:]
    ]
    assert ran == order
    for package in ("corosync", "pacemaker", "nginx-light"):
        assert f" {package}" not in docker, "packages are listed in provision/packages and nowhere else"


def test_every_release_has_the_python_that_its_wheels_are_for() -> None:
    assert set(bundle.PYTHONS) == set(settings.RELEASES)
    assert bundle.wheels_of(settings.Settings().release) == bundle.WHEELS


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_bash_that_parses(stage: str) -> None:
    bash = shutil.which("bash")
    assert bash
    ran = subprocess.run([bash, "-n", PROVISION / "stages" / stage], capture_output=True, text=True)
    assert ran.stderr == ""
