"""Run `kappa-lab` as a user does, from any copy of the tree, and look what it left behind."""

import os
import sys
from pathlib import Path

from kappa_lab.paths import BUILD

ENGINES_OWN = [p for p in (Path("/run/docker"), Path("/run/containerd")) if not p.exists()]
"""Folders that any engine makes; where the machine has one of its own they are not ours to miss."""

COMMAND = [sys.executable, "-m", "kappa_lab.cli"]


def environment(root: Path, reports: Path) -> dict[str, str]:
    """For the code in `root`: built images are shared with this checkout, reports go to `reports`."""
    return {
        **os.environ,
        "PYTHONPATH": f"{root}:{root / 'vagrant'}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "KAPPA_BUILD_DIR": str(BUILD),
        "KAPPA_DRILLS_DIR": str(reports),
    }


def left_behind() -> list[str]:
    """What a lab that was taken down must not leave: bridges, folders, mounts, processes of its engine or broker."""
    found = [f"bridge {p.name}" for p in Path("/sys/class/net").iterdir() if p.name.startswith("kappa-")]
    found += [str(p) for p in (*ENGINES_OWN, Path("/run/kappa-lab"), BUILD / "lab") if p.exists()]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if "kappa-lab" in line]
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "/run/kappa-lab" in command or str(BUILD / "lab" / "power-") in command:
                found.append(f"process {process.name}: {command[:100]}")
    return found
