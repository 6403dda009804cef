"""What the judge lets pass, and why. All in seconds unless said otherwise; whatever is not here is exact.

What is exact: one poller, one holder of the virtual IP, the order "off, then taken over", updates lost, places stored
twice, one writer's epoch. All witnesses read one host's clock, so there is nothing to forgive between two of them.
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

UNDISTURBED_S: Final = 1.5
"""So long a user may wait without the service being called disturbed: more than twenty times what all but one in a
hundred wait on a quiet lab (65 ms), so that a node that boots beside it on the same two cores is no disturbance, and
less than the quickest of the recoveries that take a node (2 s)."""

GIVEN_UP_S: Final = 1.0
"""Ten of the watcher's questions: who had the address still would have answered one of them beside the new holder."""

HTTP_LAG: Final = 1.0
"""A web request to the virtual IP may be answered this long before or after its node's answers by ARP: the watcher asks
for the two at different moments, and either may come late on a busy machine."""

DOWN_FROM: Final = 0.5
"""A service that is to stop must be silent from this part of the way from the fault to the heal on: the bot may finish
what it had in hand, and act for as long as its lease lasts."""
