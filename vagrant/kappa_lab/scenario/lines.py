"""On which line of a TOML file a key stands: what tomllib does not tell."""

import re
from typing import Final

Place = tuple[str | int, ...]
"""A table: the names of the way to it; in an array of tables, the number (from 1) behind the name."""

HEADER: Final = re.compile(r"\s*(?P<open>\[\[?)\s*(?P<name>[^\[\]#]+?)\s*\]")
KEY: Final = re.compile(r"""\s*(?P<key>[A-Za-z0-9_-]+|"[^"]*"|'[^']*')\s*[.=]""")
LONG: Final = re.compile(r"\"{3}|\'{3}")


class Lines:
    """Of a file that TOML can be read from, where its tables and keys stand. A file's own lines, from 1."""

    def __init__(self, text: str) -> None:
        self._tables: dict[Place, int] = {(): 1}
        self._keys: dict[tuple[Place, str], int] = {}
        place: Place = ()
        counts: dict[str, int] = {}
        quote = ""  # within a text of several lines, what ends it
        for number, line in enumerate(text.splitlines(), start=1):
            inside = bool(quote)
            for mark in LONG.findall(line):
                quote = mark if not quote else "" if mark == quote else quote
            if inside:
                continue
            if header := HEADER.match(line):
                place = _place(header["open"] == "[[", header["name"], counts)
                self._tables.setdefault(place, number)
            elif key := KEY.match(line):
                self._keys.setdefault((place, key["key"].strip("\"'")), number)

    def of(self, place: Place, key: str = "") -> int:
        """The line of the key; of its table, where it is not there; of what the table stands in, where that is not."""
        if (place, key) in self._keys:
            return self._keys[place, key]
        for table in ((*place, key), (*place, key, 1), place):
            if table in self._tables:
                return self._tables[table]
        return self.of(place[:-1], str(place[-1]))


def _place(many: bool, name: str, counts: dict[str, int]) -> Place:
    if many:
        counts[name] = counts.get(name, 0) + 1
    parts = [part.strip().strip("\"'") for part in name.split(".")]
    return (*parts, counts[name]) if many else tuple(parts)
