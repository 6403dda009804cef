"""What the judge lets pass, and why. All in seconds unless said otherwise; whatever is not here is exact.

What is exact: one poller, one holder of the virtual IP, the order "off, then taken over", updates lost, places stored
twice. All witnesses read one host's clock, so there is nothing to forgive between two of them.
"""

from typing import Final

CLOCK_STEP: Final = 0.05
"""Two lines of one witness may stand this far out of order: a line's time is taken just before it is written."""

WATCHER_HOLE: Final = 1.0
"""The watcher may miss this much (ten of its rounds): a busy machine runs it late. In a longer hole, a second holder of
the virtual IP could have come and gone unseen."""

IN_FLIGHT: Final = 1.0
"""What the dead node had sent may be read by the Telegram lab server this long after the power was cut: it lay in a
socket's buffer. This says only when a cut was not a cut; one poller is judged without it."""

LEAST_USERS: Final = 20
LEAST_UPDATES: Final = 100
"""Less traffic than this (users, updates) proves little."""

REPEATED_REPLIES: Final = 1
"""Replies that one chat may receive twice for one fault. Telegram has no way to send a message under a key of one's
own: when a node dies between sending a reply and noting that it was sent, the next one has to send it again."""

POWER_FAULTS: Final = frozenset({"power-cut", "level-1-dead"})
"""Kinds of fault that end the node at once: nothing more is to come from it."""

NODE_FAULTS: Final = POWER_FAULTS | {"freeze-and-thaw", "rings-cut", "one-way-cut", "corosync-killed"}
"""Kinds of fault that the judge knows: each takes a whole node away, so each demands fencing, a new active node, and
the old one's return. Of any other kind it says that it cannot judge it."""
