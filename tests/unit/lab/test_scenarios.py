"""Drills as data: what is wrong in a file is named by file and key."""

from pathlib import Path

import pytest

from kappa_lab import faults, scenario
from kappa_lab.errors import LabError

GOOD = (scenario.FOLDER / "power-cut.toml").read_text()


def written(folder: Path, text: str, name: str = "power-cut") -> Path:
    file = folder / f"{name}.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", scenario.names())
def test_every_drill_that_ships_is_valid_and_its_fault_is_known(name: str) -> None:
    found = scenario.load(name)
    assert found.name == name
    assert found.fault in faults.KINDS
    assert found.traffic.users >= 20
    assert found.traffic.updates_at_least >= 100


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("users = 24", "users = 3", "traffic.users is 3; it must be a number, 20 or more"),
        ("users = 24", "", "traffic.users is missing"),
        ("users = 24", "users = true", "traffic.users is True"),
        ("users = 24", 'users = "24"', "traffic.users is '24'"),
        ("rate_per_s = 8.0", "rate_per_s = nan", "traffic.rate_per_s is nan"),
        ('kind = "power-cut"', 'kind = "flood"', "fault.kind is 'flood'; it must be one of power-cut"),
        ('node = "active"', 'node = "moon"', "fault.node is 'moon'"),
        ('name = "power-cut"', 'name = "other"', "it must be the file's own"),
        ("[fault]", "[fault]\nkindd = 1", "fault.kindd is not a key of a drill"),
        ("[fault]", "[fault", "is not TOML"),
        ("rejoin_s = 75", "rejoin_s = 0", "bounds.rejoin_s is 0"),
    ],
)
def test_a_wrong_drill_is_refused_by_file_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(LabError) as caught:
        scenario.read(written(tmp_path, GOOD.replace(old, new)))
    assert "power-cut.toml" in str(caught.value)
    assert said in str(caught.value)


def test_an_unknown_drill_names_the_known_ones() -> None:
    with pytest.raises(LabError, match=r"no drill 'flood'.*freeze-and-thaw, level-1-dead"):
        scenario.load("flood")
