"""Where the lab keeps things: what it builds, what it runs on, and what it leaves for people to read."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout. The lab builds its images from the very tree it was started from."""

BUILD = Path(os.environ.get("KAPPA_BUILD_DIR") or ROOT / "build")
"""All that is made on disk. `KAPPA_BUILD_DIR` moves it, for a disk with more room or to share built images."""

CACHE = BUILD / "cache"
"""Downloads and image layers. Kept by `lab-down`, so that the next start need not build; removed by `make clean`."""

LOGS = BUILD / "logs"
STATE = BUILD / "lab"
"""What belongs to one run of the lab: its secrets, its nodes' logs, its journals. Removed by `lab-down`."""

DRILLS = Path(os.environ.get("KAPPA_DRILLS_DIR") or BUILD / "drills")
"""Reports, one folder a run, `latest` pointing at the newest. Nothing but `make clean` removes them."""

ENGINE_DATA = CACHE / "engine"
RUN = Path("/run/kappa-lab")
"""Sockets and pidfiles of the private engine. One lab a machine: its networks and addresses are the machine's."""

LOCK = Path("/run/kappa-lab.lock")
