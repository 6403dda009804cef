"""Times as Pacemaker writes them: `20s`, `500ms`, `2min`, `1h`, a bare number of seconds, `PT1M30S`."""

import re
from typing import Final

from kappa_lab.errors import LabError

UNITS: Final = {
    "": 1.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "usec": 1e-6,
    "m": 60.0, "min": 60.0, "h": 3600.0, "hr": 3600.0,
}  # fmt: skip
_PLAIN: Final = re.compile(r"\s*([+-]?[0-9]{1,12})\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)
_ISO: Final = re.compile(r"P(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,9})S)?)?", re.ASCII)


def seconds(text: str, what: str, negative: bool = False) -> float:
    """`what` names the place for the sentence that refuses a time which is none."""
    if (plain := _PLAIN.fullmatch(text)) and plain[2].lower() in UNITS:
        if int(plain[1]) < 0 and not negative:
            raise LabError(f"{what} is {text[:40]!r}; it must not be less than nothing.")
        return int(plain[1]) * UNITS[plain[2].lower()]
    if (iso := _ISO.fullmatch(text.strip())) and any(iso.groups()):
        days, hours, minutes, rest = (int(part or 0) for part in iso.groups())
        return float(days * 86400 + hours * 3600 + minutes * 60 + rest)
    raise LabError(f"{what} is {text[:40]!r}; it must be a time such as 20s, 500ms or 2min.")
