"""What this process has done since it began, in plain numbers. Kept whether anybody looks or not: it costs nothing."""

from bisect import bisect_left
from collections import Counter

BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)


class Times:
    """How long something took, by class: the last one is for whatever took longer than all bounds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum += max(0.0, seconds)


class Counts:
    def __init__(self) -> None:
        self.received = 0
        """Updates stored, or found stored already."""
        self.processed = 0
        self.failed = 0
        """Of those processed: their users got an apology instead."""
        self.sent = 0
        self.dropped = 0
        self.repeated = 0
        """Attempts to send a reply after its first."""
        self.conflicts = 0
        self.renewals_failed = 0
        self.lapses = 0
        """Times that the lease was renewed after it had lapsed."""
        self.refused: Counter[int] = Counter()
        """Deliveries to the webhook that were refused, by status."""
        self.store_s = Times()
        self.reply_s = Times()


counts = Counts()
