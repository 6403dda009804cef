"""A disk that boots, without a loop device or a mount: mke2fs fills a partition in place, GRUB is put before it."""

import re
import struct
from pathlib import Path
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.run import run

SECTOR: Final = 512
PARTITION_AT: Final = 1024**2
"""The first partition's place; GRUB's core stands between it and the first sector, as on any BIOS machine."""

SIGNATURE: Final = 0x4B415050
UUID: Final = "4b617070-6148-4a00-8000-6e6f64650001"
"""Of the file system; a fixed one, for all boxes are alike."""

GRUB: Final = Path("/usr/lib/grub/i386-pc")
MODULES: Final = ("biosdisk", "part_msdos", "ext2", "linux", "normal", "configfile", "boot")
LINUX: Final = 0x83


def make(image: Path, tree: Path, size_gb: int, log: Path, epoch: str) -> None:
    """Write a raw image of `size_gb` GiB whose only partition holds `tree`, with GRUB to boot it. Raises LabError."""
    size = size_gb * 1024**3
    with image.open("wb") as file:
        file.truncate(size)
    run(
        [
            "mke2fs", "-q", "-F", "-t", "ext4", "-L", "kappa-root", "-U", UUID, "-m", "1",
            "-O", "^metadata_csum_seed,^orphan_file",
            "-E", f"offset={PARTITION_AT},hash_seed={UUID},root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1",
            "-d", tree, image, f"{(size - PARTITION_AT) // 1024}k",
        ],
        doing="Making the box's file system",
        hint="Is there room on the disk?",
        log=log,
        env={"E2FSPROGS_FAKE_TIME": epoch, "SOURCE_DATE_EPOCH": epoch},
    )  # fmt: skip
    _one_time(image, epoch, log)
    core = image.with_suffix(".core")
    run(
        ["grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/boot/grub", *MODULES],
        doing="Making the box's boot loader",
    )
    try:
        before = boot_sectors((GRUB / "boot.img").read_bytes(), core.read_bytes(), size)
    except FileNotFoundError:
        raise LabError("GRUB's first sector is not there.", "`sudo make deps` installs it (grub-pc-bin).") from None
    core.unlink()
    with image.open("r+b") as file:
        file.write(before)


def used_inodes(told: str) -> list[int]:
    """The numbers of a file system's files and folders, out of what dumpe2fs tells."""
    count = re.search(r"^Inode count:\s+(\d+)", told, re.MULTILINE)
    if not count:
        raise LabError("dumpe2fs does not tell how many inodes the box's file system has.")
    free: set[int] = set()
    for line in re.findall(r"^  Free inodes: ?(.*)$", told, re.MULTILINE):
        for part in filter(None, (part.strip() for part in line.split(","))):
            first, _, last = part.partition("-")
            free.update(range(int(first), int(last or first) + 1))
    return [number for number in (2, *range(11, int(count[1]) + 1)) if number not in free]


def _one_time(image: Path, epoch: str, log: Path) -> None:
    """When each inode was changed and read tells when the disk was made, and nothing but debugfs can set it."""
    partition = f"{image}?offset={PARTITION_AT}"
    told = run(["dumpe2fs", partition], doing="Looking at the box's file system")
    commands = image.with_suffix(".debugfs")
    commands.write_text("".join(f"sif <{n}> ctime @{epoch}\nsif <{n}> atime @{epoch}\n" for n in used_inodes(told)))
    run(
        ["debugfs", "-w", "-f", commands, partition],
        doing="Giving the box's files one time", log=log, env={"E2FSPROGS_FAKE_TIME": epoch},
    )  # fmt: skip
    commands.unlink()


def boot_sectors(boot: bytes, core: bytes, size: int) -> bytes:
    """What stands before the partition: the master boot record with GRUB's first 440 bytes, then GRUB's core.

    GRUB's own setup does the same, and more for machines that are not of this kind. The first sector loads the one
    after it, which holds the list of the rest: one run of sectors.
    """
    if len(boot) != SECTOR or len(core) < 2 * SECTOR:
        raise LabError(f"GRUB's images are {len(boot)} and {len(core)} bytes long, which is not what they should be.")
    core += bytes(-len(core) % SECTOR)
    if len(core) > PARTITION_AT - SECTOR:
        raise LabError(f"GRUB's core of {len(core)} bytes does not fit before the partition.")
    first = bytearray(boot[:440]) + struct.pack("<IH", SIGNATURE, 0)
    struct.pack_into("<Q", first, 0x5C, 1)  # where the core begins
    start, length = PARTITION_AT // SECTOR, (size - PARTITION_AT) // SECTOR
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", LINUX, b"\xfe\xff\xff", start, length)
    first += entry + bytes(48) + b"\x55\xaa"
    listed = bytearray(core)
    struct.pack_into("<QH", listed, 0x1F4, 2, len(core) // SECTOR - 1)  # where the rest of it is, and how much
    return bytes(first + listed)
