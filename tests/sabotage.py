"""Break a law on purpose in a copy of the tree, and see the tests that guard it go red.

A law's test that cannot fail guards nothing. `red()` copies the tree, changes exactly one piece of text, runs the named
tests there, and insists that they fail *as tests* (pytest's exit 1) and not because the copy does not import.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("resource_agents", "stonith", "kappa_bot", "crm_configs", "vagrant", "tests")
FILES = ("pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Edit:
    """One change to one file of the copy: `old` must stand there exactly once."""

    path: str
    old: str
    new: str


def copy_tree(to: Path) -> Path:
    """Copy what the project is made of (not what it built) to `to`."""
    for room in ROOMS:
        ignored = shutil.ignore_patterns("__pycache__", ".vagrant", "*.egg-info")
        shutil.copytree(ROOT / room, to / room, ignore=ignored)
    for file in FILES:
        shutil.copy2(ROOT / file, to / file)
    return to


def apply(root: Path, edits: Sequence[Edit]) -> None:
    for edit in edits:
        file = root / edit.path
        text = file.read_text()
        found = text.count(edit.old)
        assert found == 1, f"{edit.path}: the text to break stands there {found} times, not once: {edit.old!r}"
        file.write_text(text.replace(edit.old, edit.new))


def run_tests(root: Path, tests: Sequence[str], timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """Run pytest on `tests` (node ids relative to the tree) in the copy, with the copy's own code."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    env["PYTHONPATH"] = f"{root}:{root / 'vagrant'}"
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--rootdir", str(root), *tests],
        cwd=root,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def red(tmp_path: Path, edits: Sequence[Edit], tests: Sequence[str]) -> str:
    """Apply `edits` in a copy and run `tests` there; they must fail. Returns what pytest printed."""
    root = copy_tree(tmp_path / "copy")
    apply(root, edits)
    ran = run_tests(root, tests)
    assert ran.returncode == 1, f"pytest ended with {ran.returncode}, not 1 (tests failed):\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
