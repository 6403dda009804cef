"""Two directories change places, at once where the kernel can."""

import ctypes
import os
import shutil
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2


def exchange(one: Path, other: Path) -> None:
    """What was `one` is `other`, and the other way round; both must exist, on one file system. At no moment is either
    name missing, but on a kernel, a C library or a file system that cannot do that (Linux 3.15 and glibc 2.28 can; an
    overlay does not rename a directory of its lower layers, which is where a container's image has its own)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        done = rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0
    except (AttributeError, OSError):
        done = False
    if not done:
        aside = other.with_name(f"{one.name}.aside")
        shutil.move(other, aside)  # copied where it cannot be renamed
        one.rename(other)
        aside.rename(one)
