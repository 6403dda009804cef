"""The box: a disk that a BIOS would boot, and steps that trust nothing half done."""

import struct
import subprocess
import tarfile
from pathlib import Path

import pytest

from kappa_lab import bundle, topology
from kappa_lab.box import disk, steps
from kappa_lab.errors import LabError
from kappa_lab.settings import RELEASES, Machine, Settings

BOOT = bytes(range(256)) + bytes(254) + b"\x55\xaa"
CORE = bytes(3 * 512 + 100)
GIB = 1024**3


def test_the_first_sector_names_the_core_and_the_partition() -> None:
    sectors = disk.boot_sectors(BOOT, CORE, 4 * GIB)
    assert struct.unpack_from("<Q", sectors, 0x5C) == (1,)
    assert sectors[510:512] == b"\x55\xaa"
    state, _, kind, _, start, length = struct.unpack_from("<B3sB3sII", sectors, 446)
    assert (state, kind, start, (start + length) * 512) == (0x80, 0x83, 2048, 4 * GIB)
    assert sectors[462:510] == bytes(48), "three empty partitions"
    assert sectors[:0x5C] == BOOT[:0x5C]


def test_the_core_is_whole_sectors_and_lists_its_rest() -> None:
    sectors = disk.boot_sectors(BOOT, CORE, 4 * GIB)
    assert len(sectors) == 512 * 5
    assert struct.unpack_from("<QH", sectors, 512 + 0x1F4) == (2, 3)


@pytest.mark.parametrize(
    ("boot", "core", "said"),
    [
        (BOOT[:-1], CORE, "511 and 1636 bytes long"),
        (BOOT, bytes(700), "512 and 700 bytes long"),
        (BOOT, bytes(1024**2), "does not fit before the partition"),
    ],
)
def test_grub_of_another_make_is_refused(boot: bytes, core: bytes, said: str) -> None:
    with pytest.raises(LabError, match=said):
        disk.boot_sectors(boot, core, 4 * GIB)


def test_a_list_of_packages_is_its_lines_without_comments_and_other_releases() -> None:
    text = "# a comment\ncorosync\n\n  pcs \nold bookworm\nnew trixie\n"
    assert steps.names(text, "bookworm") == ["corosync", "pcs", "old"]
    assert steps.names(text, "trixie") == ["corosync", "pcs", "new"]
    for file in steps._lists():
        for release in RELEASES:
            found = steps.names(file.read_text(), release)
            assert found
            assert all(name.replace("-", "").replace(".", "").isalnum() for name in found), found


def test_another_content_or_size_is_another_box() -> None:
    here = steps.built(Settings())
    assert here.name.startswith("kappa/node-bookworm-")
    assert steps.built(Settings()) == here
    bigger, newer = steps.built(Settings(machine=Machine(disk_gb=8))), steps.built(Settings(release="trixie"))
    assert len({here.file, bigger.file, newer.file}) == 3
    assert bigger.base == here.base, "the packages are the same: nothing to make anew"
    assert newer.base != here.base


def test_what_an_interrupted_build_left_is_thrown_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steps, "FOLDER", tmp_path)
    monkeypatch.setattr(steps, "LOCK", tmp_path.with_suffix(".lock"))
    box = steps.built(Settings())
    box.file.write_text("whole")
    half = steps._half(box.file)
    half.write_text("half")
    (tmp_path / f"tree{steps.HALF}" / "etc").mkdir(parents=True)
    assert steps.build(Settings()) == box
    assert list(tmp_path.iterdir()) == [box.file]


def test_without_room_on_the_disk_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Usage:
        free = GIB

    monkeypatch.setattr(steps, "FOLDER", tmp_path)
    monkeypatch.setattr(steps, "LOCK", tmp_path.with_suffix(".lock"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: name)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(LabError, match=r"has 1\.0 GiB free; building the box needs \d GiB there\. .*KAPPA_BUILD_DIR"):
        steps.build(Settings())


def test_a_program_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(steps, "FOLDER", tmp_path)
    monkeypatch.setattr(steps, "LOCK", tmp_path.with_suffix(".lock"))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None if name == "grub-mkimage" else name)
    with pytest.raises(LabError, match=r"grub-mkimage is not installed\. `sudo make deps-vm`"):
        steps.build(Settings())


def test_a_box_is_three_files_without_owner_or_age(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(b"disk")
    steps.pack(tmp_path / "one.box", image, 4)
    image.touch()
    steps.pack(tmp_path / "two.box", image, 4)
    assert (tmp_path / "one.box").read_bytes() == (tmp_path / "two.box").read_bytes()
    with tarfile.open(tmp_path / "one.box") as archive:
        assert archive.getnames() == ["metadata.json", "Vagrantfile", "box.img"]
        assert {(entry.uid, entry.mtime) for entry in archive} == {(0, int(bundle.EPOCH))}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.img", "one.box", "two.box"]


def test_two_builds_at_once_do_not_clear_each_others_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import fcntl

    monkeypatch.setattr(steps, "FOLDER", tmp_path)
    monkeypatch.setattr(steps, "LOCK", tmp_path.with_suffix(".lock"))
    half = tmp_path / f"tree{steps.HALF}"
    half.mkdir()
    with steps.LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LabError, match="being built already"):
            steps.build(Settings())
    assert half.is_dir()


TOLD = """Inode count:              8192
Group 0: (Blocks 0-32767)
  Free inodes: 15, 17-4096
Group 1: (Blocks 32768-65535) [INODE_UNINIT]
  Free inodes: 4098-8192
Group 2:
  Free inodes: 
"""  # noqa: W291


def test_inodes_in_use_are_those_that_are_not_free() -> None:
    assert disk.used_inodes(TOLD) == [2, 11, 12, 13, 14, 16, 4097]
    with pytest.raises(LabError, match="does not tell how many inodes"):
        disk.used_inodes("")


NETWORKS = steps.SOURCE / "root" / "usr" / "local" / "sbin" / "kappa-box-networks"


def test_a_machine_has_the_addresses_that_its_hardware_addresses_tell(tmp_path: Path) -> None:
    """The same rule as the topology's, so that neither Vagrant nor a lease has to tell a machine who it is."""
    node = topology.NODES[1]
    addresses = {"eth0": "52:54:00:12:34:56", "lo": "00:00:00:00:00:00"}
    addresses |= {f"eth{n}": topology.mac(at) for n, at in enumerate((node.lan, *node.rings), start=1)}
    for name, address in addresses.items():
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "address").write_text(f"{address}\n")
    subprocess.run(["bash", NETWORKS, tmp_path / "net", tmp_path / "out"], check=True, timeout=20)
    written = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert sorted(written) == [f"10-eth{n}.network" for n in range(4)]
    for n, at in enumerate((node.lan, *node.rings), start=1):
        assert f"Name=eth{n}\n" in written[f"10-eth{n}.network"]
        assert f"Address={at}/24\n" in written[f"10-eth{n}.network"]
    assert "DHCP=ipv4\n" in written["10-eth0.network"]
    assert "UseGateway=no\n" in written["10-eth0.network"], "no machine has a way out"
