"""A witness's file is ended, set aside under a number, and begun anew, so that each drill of a lab has its own."""

from itertools import count
from pathlib import Path


def aside(path: Path) -> Path:
    """The name under which what `path` holds now is kept: NAME-0001.jsonl, or the next number that is free."""
    return next(
        free for n in count(1) if not (free := path.with_name(f"{path.stem}-{n:04d}{path.suffix}")).exists()
    )  # fmt: skip
