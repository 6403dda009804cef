"""A driver is one file: it is found by its name, loaded only when it is asked for, and told what is its own."""

from pathlib import Path

import pytest

from stonith.power import drivers
from stonith.power.config import load
from stonith.power.driver import State
from stonith.power.drivers.libvirt import Libvirt
from stonith.power.drivers.virtualbox import VirtualBox
from stonith.power.switch import Switch
from stonith.power.table import ConfigError
from tests.unit.stonith.broker import write_config
from tests.unit.stonith.test_power_switch import Scripted, off, on, soon

MINE = """
class Mine:
    no_new_privileges = True
    def __init__(self, colour): self.colour = colour
def from_table(table):
    return Mine(table.text("colour"))
"""


def configured(folder: Path, driver: str) -> Path:
    path = write_config(folder, Path("/unused"))
    path.write_text(path.read_text().replace('kind = "docker"\nsocket = "/unused"', driver))
    return path


@pytest.fixture
def more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files are drivers too."""
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(folder)])
    return folder


def test_which_there_are() -> None:
    assert drivers.kinds() == ["docker", "libvirt", "virtualbox"]


def test_a_new_one_is_one_file(tmp_path: Path, more: Path) -> None:
    (more / "mine.py").write_text(MINE)
    (more / "broken.py").write_text("raise SystemExit('nobody has asked for this one')")
    assert drivers.kinds() == ["broken", "docker", "libvirt", "mine", "virtualbox"]
    driver = load(configured(tmp_path, 'kind = "mine"\ncolour = "red"')).driver
    assert vars(driver) == {"colour": "red"}
    with pytest.raises(ConfigError, match=r"driver\.colour is missing"):
        load(configured(tmp_path, 'kind = "mine"'))
    with pytest.raises(ConfigError, match=r"driver\.size"):
        load(configured(tmp_path, 'kind = "mine"\ncolour = "red"\nsize = 1'))


@pytest.mark.parametrize(
    ("driver", "named"),
    [
        ('kind = "os"', "docker', 'libvirt', 'virtualbox"),
        ('kind = "../libvirt"', "driver.kind"),
        ('kind = "libvirt"', "driver.uri is missing"),
        ('kind = "libvirt"\nuri = "qemu+ssh://host/system"', "qemu:///system"),
        ('kind = "libvirt"\nuri = "qemu:///system"\nvirsh = "virsh"', "driver.virsh"),
        ('kind = "libvirt"\nuri = "qemu:///system"\nsocket = "/x"', "driver.socket"),
        ('kind = "virtualbox"\nvboxmanage = "VBoxManage"', "driver.vboxmanage"),
        ('kind = "virtualbox"\nuri = "qemu:///system"', "driver.uri"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, driver: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(configured(tmp_path, driver))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    assert isinstance(load(configured(tmp_path, 'kind = "libvirt"\nuri = "qemu:///session"')).driver, Libvirt)
    assert isinstance(load(configured(tmp_path, 'kind = "virtualbox"')).driver, VirtualBox)


@pytest.mark.parametrize(
    ("brake", "named"),
    [
        ("starts = -1", "brake.starts"),
        ("starts = true", "brake.starts"),
        ("within_s = 0", "brake.within_s"),
        ("cuts = 1.5", "brake.cuts"),
        ("stops = 1", "brake.stops"),
    ],
)
def test_a_brake_that_is_none_is_named(tmp_path: Path, brake: str, named: str) -> None:
    path = write_config(tmp_path, Path("/unused"))
    path.write_text(path.read_text().replace("starts = 0", brake))
    with pytest.raises(ConfigError, match=named):
        load(path)


def test_a_machine_may_be_pinned_by_its_id(tmp_path: Path) -> None:
    path = write_config(tmp_path, Path("/unused"))
    text = path.read_text()
    path.write_text(text.replace('node2 = "kappa-lab-node2"', 'node2 = "kappa-lab-node2@0af1"'))
    config = load(path)
    assert (config.machines["node2"], dict(config.units)) == ("kappa-lab-node2", {"node2": "0af1"})
    for wrong in ("kappa-lab-node2@", "@0af1", "kappa-lab-node2@a@b", "kappa-lab-node2@../x"):
        path.write_text(text.replace('node2 = "kappa-lab-node2"', f'node2 = "{wrong}"'))
        with pytest.raises(ConfigError, match=r"machines\.node2"):
            load(path)


def test_another_of_that_name_is_not_the_machine_that_was_pinned() -> None:
    pinned = {"plug": "u"}
    driver = Scripted([off(unit="v")])
    assert Switch(driver, {"plug": "machine"}).off("plug", soon()).ok
    outcome = Switch(driver, {"plug": "machine"}, units=pinned).off("plug", soon())
    assert (outcome.ok, outcome.after.state) == (False, State.UNKNOWN)
    driver = Scripted([on(unit="v")])
    assert not Switch(driver, {"plug": "machine"}, units=pinned).off("plug", soon()).ok
    assert driver.did == []
    driver = Scripted([on(), on(), off()])
    assert Switch(driver, {"plug": "machine"}, units=pinned).off("plug", soon()).ok
