"""What the drills are broken with still fits the code: seen here at once, and not minutes into the cluster's tests."""

import re
from pathlib import Path

import pytest

from tests.cluster import test_drills
from tests.sabotage import ROOT, Edit, apply

EDITS = {name: value for name, value in vars(test_drills).items() if isinstance(value, Edit)}


@pytest.mark.parametrize("name", EDITS)
def test_the_text_to_break_is_there_and_the_broken_code_compiles(name: str, tmp_path: Path) -> None:
    edit = EDITS[name]
    copy = tmp_path / edit.path
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / edit.path).read_text())
    apply(tmp_path, [edit])
    if copy.suffix == ".py":
        compile(copy.read_text(), edit.path, "exec")


def test_there_is_something_to_break() -> None:
    assert len(EDITS) >= 3


NAMED = re.compile(r"(test_\w+\.py)::(test_\w+)")
LAWS = {
    (law.name, *match) for law in (ROOT / "tests/laws").glob("test_*.py") for match in NAMED.findall(law.read_text())
}


@pytest.mark.parametrize(("law", "file", "test"), sorted(LAWS))
def test_the_tests_a_law_leans_on_are_there(law: str, file: str, test: str) -> None:
    homes = list((ROOT / "tests/unit").rglob(file))
    assert any(f"def {test}(" in home.read_text() for home in homes), f"{law} leans on {file}::{test}: not there"


def test_laws_lean_on_tests() -> None:
    assert len(LAWS) >= 20
