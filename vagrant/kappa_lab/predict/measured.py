"""What was measured and no configuration says, and where it is from. Of it only the pause enters a worst case."""

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
STARTED: Final = Measured(0.05, "measured in the lab: the three starts of the group took 0.15 s together")
STOPPED: Final = Measured(0.05, "not measured: taken to be as quick as a start")
MONITORED: Final = Measured(0.05, "measured: the usual agents' monitors take 3 to 44 ms")
VOTED: Final = Measured(0.1, "not measured: a vote among three members is a few messages")
FOUND: Final = Measured(
    0.5, "the bot's driver looks for half a second, its server selection gives up after 1 s and begins anew"
)
FOUND_WORST_S: Final = 5.0
