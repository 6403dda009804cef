"""The shortest part of a storm that still fails: delta debugging over its faults.

`search` is the algorithm alone, and asks nobody: it names the parts to try and is told how each ended. Whoever drives
it may stop at any moment and has a part that fails by then, and may go on later by telling what was seen before.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from typing import Final

Part = tuple[int, ...]
"""Numbers of the faults that stay, in their order."""

PIECES: Final = 2
"""The search begins with the faults in so many pieces."""


def search(faults: int) -> Generator[Part, bool, Part]:
    """Name parts of a storm of so many faults, of which the whole is known to fail; send True where one fails too.

    Returns a part that fails, and from which no single fault can be taken without its passing (so far as the answers
    are always the same). Each part that is named is shorter than any that failed before it, and is named once.
    """
    best: Part = tuple(range(faults))
    pieces = PIECES
    passed: set[Part] = {()}
    while len(best) > 1:
        for part in _shorter(best, pieces):
            if part not in passed:
                if (yield part):
                    pieces = max(pieces - 1, PIECES) if len(part) > len(best) // 2 else PIECES
                    best = part
                    break
                passed.add(part)
        else:
            if pieces >= len(best):
                break
            pieces = min(2 * pieces, len(best))
    return best


def _shorter(best: Part, pieces: int) -> Iterator[Part]:
    """First each piece alone, then all but each piece; the latest first, for what broke last is the likeliest cause."""
    cuts = _cut(best, min(pieces, len(best)))[::-1]
    yield from cuts
    if len(cuts) > PIECES:
        for piece in cuts[::-1]:
            gone = set(piece)
            yield tuple(number for number in best if number not in gone)


def _cut(whole: Part, pieces: int) -> list[Part]:
    """In so many pieces of about one length, none of them empty."""
    edges = [len(whole) * number // pieces for number in range(pieces + 1)]
    return [whole[begin:end] for begin, end in pairwise(edges)]


def shortest(faults: int, fails: Callable[[Part], bool | None], told: Sequence[tuple[Part, bool]] = ()) -> Part:
    """The search driven to its end, or until `fails` says None: no more. `told`: what is known from earlier trials."""
    known = dict(told)
    best: Part = tuple(range(faults))
    trying = search(faults)
    try:
        part = next(trying)
        while True:
            failed = known[part] if part in known else fails(part)
            if failed is None:
                return best
            if failed:
                best = part
            part = trying.send(failed)
    except StopIteration as end:
        found: Part = end.value
        return found
