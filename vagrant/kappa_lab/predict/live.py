"""The configuration: of a file that is given, or of the cluster that this machine is in."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from kappa_lab.errors import LabError

COROSYNC_CONF: Final = Path("/etc/corosync/corosync.conf")
WAIT_S: Final = 20.0
LARGEST: Final = 32 * 1024 * 1024


def cib_text(file: Path | None) -> str:
    if file is not None:
        return _text(file)
    hint = "Give a copy of its configuration with --cib FILE (`cibadmin --query > FILE` on a node makes one)."
    program = shutil.which("cibadmin") or shutil.which("cibadmin", path="/usr/sbin:/sbin")
    if program is None:
        raise LabError("This machine is in no cluster.", hint)
    try:
        asked = subprocess.run(
            [program, "--query"], stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        raise LabError("The cluster of this machine does not answer cibadmin.", hint) from None
    if asked.returncode:
        raise LabError("The cluster of this machine does not answer cibadmin.", hint)
    return asked.stdout.decode(errors="replace")


def corosync_text(file: Path | None) -> str:
    if file is None and not COROSYNC_CONF.exists():
        raise LabError(f"There is no {COROSYNC_CONF} here.", "Give the cluster's with --corosync FILE.")
    return _text(file or COROSYNC_CONF)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise LabError(f"{file} cannot be read: {error.strerror or error}.") from None
    if len(data) > LARGEST:
        raise LabError(f"{file} is larger than {LARGEST // 1024**2} MB; that is no configuration of a cluster.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise LabError(f"{file} is not text in UTF-8; give a configuration as it is written.") from None
