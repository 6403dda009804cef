"""What was measured and no configuration says, and where it is from. Of it only the pause enters a worst case."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Measured:
    seconds: float
    source: str


PAUSE: Final = Measured(1.0, "measured in the lab: the controller stands still for one second, often twice")
PAUSE_WORST_S: Final = 2.0
FENCED: Final = Measured(0.1, "measured in the lab: a broker that answers proves a node off within 0.1 s")
REFUSED: Final = Measured(1.0, "measured in the lab: a level that refuses connections costs about a second")
MOVES: Final = "median of 25 moves and standbys in the lab, from the order for this step to the next"
ORDERED: Final = Measured(0.27, "the same moves, from the operator's command to the first stop; 0 to 2 s")
SHORT: Final = Measured(0.1, "not measured: taken to be as quick as the web server")
STARTED: Final[Mapping[str, Measured]] = {
    "address": Measured(0.47, MOVES),
    "web server": Measured(0.1, MOVES),
    "bot": Measured(0.48, f"{MOVES}: 0.34 s until it has the lease, 0.38 s until it polls, then the first answer"),
    "router": Measured(0.26, "median of 80 starts in the lab, from the order for this step to the next"),
}
STOPPED: Final[Mapping[str, Measured]] = {
    "bot": Measured(0.15, f"{MOVES}; it gives its lease back"),
    "web server": Measured(0.04, MOVES),
    "address": Measured(0.04, MOVES),
}
"""By role; what has none here is SHORT, and so are promoting and demoting."""
MONITORED: Final = Measured(0.05, "measured: the usual agents' monitors take 3 to 44 ms")
VOTED: Final = Measured(0.1, "not measured: a vote among three members is a few messages")
FOUND: Final = Measured(
    0.5, "the bot's driver looks for half a second, its server selection gives up after 1 s and begins anew"
)
FOUND_WORST_S: Final = 5.0
STOPPED_SEEN: Final = Measured(1.5, "measured in the lab with a process that was stopped (SIGSTOP)")
FORCED: Final = Measured(0.1, "measured in the lab with a process that was stopped; what hangs otherwise is waited for")
