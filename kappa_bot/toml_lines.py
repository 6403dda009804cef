"""On which line of a TOML file a key stands. Only asked for where something is wrong: tomllib itself keeps no lines.

The text is known to be TOML (tomllib has read it), so this looks for where values end and does not judge them.
"""

from collections.abc import Iterator

Path = tuple[str, ...]

BARE_ENDS = frozenset(" \t\r\n=.]},#[{\"'")


def line_of(text: str, path: Path) -> int | None:
    """The line of the key or of the table's header, the first of several; None where it is not there."""
    try:
        return next((line for key, line in _Scanner(text).found() if key == path), None)
    except IndexError:
        return None  # it ended within something: the file was changed meanwhile


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def found(self) -> Iterator[tuple[Path, int]]:
        """Every key and every table with the line it stands on, dotted ones and inline tables' ones as well."""
        table: Path = ()
        while self._blank():
            line = self._line()
            if self._text[self._at] == "[":
                self._at += 2 if self._text.startswith("[[", self._at) else 1
                table = self._key()
                yield from _prefixes(table, 0, line)
                self._skip_line()
            else:
                yield from self._assignment(table)

    def _assignment(self, table: Path) -> Iterator[tuple[Path, int]]:
        line = self._line()
        path = table + self._key()
        yield from _prefixes(path, len(table), line)
        self._at = self._text.index("=", self._at) + 1
        self._blank()
        yield from self._value(path)

    def _value(self, path: Path) -> Iterator[tuple[Path, int]]:
        opening = self._text[self._at]
        if opening in "\"'":
            self._string()
        elif opening in "[{":
            self._at += 1
            while self._blank() and self._text[self._at] not in "]}":
                if self._text[self._at] == ",":
                    self._at += 1
                elif opening == "{":
                    yield from self._assignment(path)
                else:
                    yield from self._value(path)
            self._at += 1
        else:
            while self._at < len(self._text) and self._text[self._at] not in ",]}#\n":
                self._at += 1

    def _key(self) -> Path:
        """A key, of as many parts as dots make of it."""
        parts: list[str] = []
        while True:
            self._blank()
            parts.append(self._string() if self._text[self._at] in "\"'" else self._bare())
            self._blank()
            if self._text[self._at] != ".":
                return tuple(parts)
            self._at += 1

    def _bare(self) -> str:
        began = self._at
        while self._text[self._at] not in BARE_ENDS:
            self._at += 1
        return self._text[began : self._at]

    def _string(self) -> str:
        """A string of any of the four kinds; what it says only matters of a key."""
        quote = self._text[self._at]
        closing = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        began = self._at
        self._at += len(closing)
        while not self._text.startswith(closing, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
            if self._at >= len(self._text):
                raise IndexError
        self._at += len(closing)
        if len(closing) == 3:
            # One or two quotes more before the closing ones belong to the text.
            while self._text.startswith(quote, self._at):
                self._at += 1
        return _unquoted(self._text[began : self._at])

    def _blank(self) -> bool:
        """Pass over white space and comments; whether anything follows."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                self._skip_line()
            elif self._text[self._at].isspace():
                self._at += 1
            else:
                return True
        return False

    def _skip_line(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end + 1

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


def _prefixes(path: Path, known: int, line: int) -> Iterator[tuple[Path, int]]:
    """`a.b = 1` names the table a as well."""
    for length in range(known + 1, len(path) + 1):
        yield path[:length], line


def _unquoted(string: str) -> str:
    import tomllib

    found = tomllib.loads(f"key = {string}")["key"]
    return str(found)
