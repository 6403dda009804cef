"""When a service that was interrupted was there again, from the moments at which it was seen to serve. Pure."""

from collections.abc import Sequence
from itertools import pairwise


def ended(served: Sequence[float], fault: float, least_s: float) -> float | None:
    """The end of the longest stretch after `fault` in which nobody was served; None while there is none of `least_s`.

    `served` are moments in any order; what came before the fault is left out. A stretch that has not ended, because
    nothing was served after it, is none yet.
    """
    moments = [fault, *sorted(t for t in served if t > fault)]
    begin, end = max(pairwise(moments), key=lambda pair: pair[1] - pair[0], default=(fault, fault))
    return end if end - begin >= least_s else None
