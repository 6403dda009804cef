"""The part of YAML that a MongoDB configuration file is written in: indented mappings of plain or quoted values.

Lists, anchors, multi-line texts and the like are refused by name, never guessed at.
"""


class ConfigError(Exception):
    """What is wrong with the file, and in which line."""


def parse(text: str) -> dict[str, str]:
    """The values by their dotted names, as `net.port`. Raises ConfigError."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = _without_comment(raw).rstrip()
        if not line.strip() or line.strip() in ("---", "..."):
            continue
        if line.startswith("%"):
            raise ConfigError(f"line {number}: directives are not understood")
        indent = len(line) - len(line.lstrip(" "))
        if line[indent] == "\t":
            raise ConfigError(f"line {number}: a tab in the indentation")
        key, colon, value = line[indent:].partition(":")
        value = value.strip()
        if not colon or (value and line[indent + len(key) + 1] not in " \t") or key[:1] in "-{[&*!|>?\"'":
            raise ConfigError(f"line {number}: `name: value` is expected")
        while above and above[-1][0] >= indent:
            above.pop()
        path = ".".join([*(name for _, name in above), key.strip()])
        if value:
            if path in found:
                raise ConfigError(f"line {number}: {path} is given twice")
            found[path] = _scalar(value, number)
        above.append((indent, key.strip()))
    return found


def _without_comment(line: str) -> str:
    quote = ""
    for at, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#" and (at == 0 or line[at - 1] in " \t"):
            return line[:at]
    return line


def _scalar(value: str, number: int) -> str:
    if value[0] in "\"'":
        if len(value) < 2 or value[-1] != value[0]:
            raise ConfigError(f"line {number}: a quote that does not end")
        return value[1:-1]
    if value[0] in "[{&*!|>%@`":
        raise ConfigError(f"line {number}: only plain and quoted values are understood, not {value[0]!r}")
    return value
