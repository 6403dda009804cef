"""The clock that a lease is judged by."""

import time


def boottime() -> float:
    """Seconds since boot, counting the time the machine was suspended; never stepped.

    CLOCK_MONOTONIC stands still while a machine sleeps, and the wall clock may be set back: a bot judged by either
    could wake from a freeze and believe that its lease is still good.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
