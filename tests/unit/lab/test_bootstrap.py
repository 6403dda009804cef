"""What installs the rest must say in one sentence why it could not, and leave nothing that a second run would trust."""

import os
import subprocess
from pathlib import Path

import pytest

from kappa_lab.paths import ROOT

BOOTSTRAP = ROOT / "vagrant" / "bootstrap"


def bootstrap(what: str, build: Path, path: Path | None = None, before: tuple[str, ...] = ()) -> tuple[int, str]:
    env = {**os.environ, "KAPPA_BUILD_DIR": str(build), "PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "2"}
    env.pop("SUDO_UID", None)
    if path is not None:
        env["PATH"] = f"{path}:{env['PATH']}"
    ran = subprocess.run(
        [*before, BOOTSTRAP, what], env=env, capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return ran.returncode, ran.stderr


def fake(folder: Path, name: str, script: str) -> None:
    """A program that stands before the real one in PATH: what the machine would answer on a bad day."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_wrong_words_are_one_sentence(tmp_path: Path) -> None:
    assert bootstrap("nonsense", tmp_path / "build") == (2, f"kappa-lab: usage: {BOOTSTRAP} deps|deps-vm|bench|venv\n")


@pytest.mark.root
def test_packages_want_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    (tmp_path / "build").mkdir(mode=0o777)
    (tmp_path / "build").chmod(0o777)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    code, said = bootstrap("deps", tmp_path / "build", before=("setpriv", "--reuid", "65534", "--clear-groups"))
    assert (code, said) == (2, "kappa-lab: Debian packages can be installed by root only. Run it with sudo.\n")


@pytest.mark.root
def test_a_package_that_does_not_install_is_one_sentence(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "dpkg-query", 'case "$*" in *mmdebstrap*) exit 1;; esac; echo install ok installed')
    fake(
        tmp_path / "bin",
        "apt-get",
        'case "$*" in *install*) echo "E: Unable to locate package mmdebstrap"; exit 100;; esac',
    )
    policy = Path("/usr/sbin/policy-rc.d")
    had = policy.exists()
    code, said = bootstrap("deps", tmp_path / "build", tmp_path / "bin")
    assert code == 2
    assert said.startswith(
        "kappa-lab: Installing mmdebstrap failed: E: Unable to locate package mmdebstrap (all of it: "
    )
    assert said.endswith("Are Debian's packages reachable?\n")
    assert said.count("\n") == 1
    assert policy.exists() == had


@pytest.mark.root
def test_without_a_package_index_it_says_so_and_trusts_no_half_environment(tmp_path: Path) -> None:
    for _ in range(2):
        code, said = bootstrap("venv", tmp_path / "build", before=("unshare", "--net"))
        assert code == 2
        assert said.startswith("kappa-lab: Making the Python environment failed: ")
        assert said.endswith("Is the Python package index reachable?\n")
        assert said.count("\n") == 1
        assert not (tmp_path / "build" / "venv" / "stamp").exists()


def test_a_build_folder_of_somebody_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = bootstrap("venv", tmp_path / "file" / "build")
    assert code == 2
    assert "cannot be written to" in said
    assert said.count("\n") == 1
