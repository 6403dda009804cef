"""On which line a key stands: against tomllib, whatever the file looks like."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kappa_bot.toml_lines import line_of

EVERYTHING = '''\
# [no] table = "here"
first = "a # no comment, no [table] either" # but this is one = x

[telegram]
"quoted key" = 1
token_file = """
[bot]
socket = "not a key"
still the text\\""" """
after = \'\'\'
key = 1 \'\'\'\'\'
[mongodb . sub]
a.b."c.d" = 2021-01-01T00:00:00Z   # a date
list = [ # a comment with ] and "
  "x", [1, 2], { inner = 3 },
  \'\'\'
  [webhook]
  \'\'\',
]
inline = { one = 1, two = { three = "}" }, "four" = [ "]" ] }
last = true
[[many]]
name = 1
[[many]]
name = 2
[webhook]
url = 'C:\\'
end = -1.5e3'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("first", 2),
        ("telegram", 4),
        ("telegram/quoted key", 5),
        ("telegram/token_file", 6),
        ("telegram/after", 10),
        ("mongodb", 12),
        ("mongodb/sub", 12),
        ("mongodb/sub/a", 13),
        ("mongodb/sub/a/b/c.d", 13),
        ("mongodb/sub/list", 14),
        ("mongodb/sub/list/inner", 15),
        ("mongodb/sub/inline", 20),
        ("mongodb/sub/inline/two/three", 20),
        ("mongodb/sub/inline/four", 20),
        ("mongodb/sub/last", 21),
        ("many/name", 23),
        ("webhook", 26),
        ("webhook/url", 27),
        ("webhook/end", 28),
        ("bot", None),
        ("bot/socket", None),
        ("telegram/key", None),
        ("no", None),
    ],
)
def test_every_key_is_found_where_it_stands(path: str, line: int | None) -> None:
    assert tomllib.loads(EVERYTHING)["webhook"]["end"] == -1500
    assert line_of(EVERYTHING, tuple(path.split("/"))) == line


def test_a_file_that_ends_within_something_has_no_line() -> None:
    for end in range(len(EVERYTHING)):
        line_of(EVERYTHING[:end], ("webhook", "end"))


words = st.text("abc", min_size=1, max_size=2)
keys = st.one_of(words, words.map(lambda word: f'"{word}."'), words.map(lambda word: f"'#{word}'"))
blanks = st.sampled_from(["", " ", "  # x = [", "\t"])
strings = st.sampled_from(
    ['"a]}#"', "'[a]'", '"""\n[a]\na = 1\n"""', "'''\nb = '\n''''", '"\\""', '"""\\"""" """', '""', "''", '""""""']
)


def values(deep: int = 2) -> st.SearchStrategy[str]:
    plain = st.one_of(strings, st.sampled_from(["1", "-1.5", "true", "1979-05-27T07:32:00Z", "inf"]))
    if not deep:
        return plain
    arrays = st.lists(values(deep - 1), max_size=3).map(lambda each: "[\n " + " ,# ]\n".join(each) + "\n]")
    pairs = st.lists(
        st.tuples(words, plain.filter(lambda text: "\n" not in text)), max_size=3, unique_by=lambda p: p[0]
    )
    inline = pairs.map(lambda each: "{ " + ", ".join(f"{key} = {value}" for key, value in each) + " }")
    return st.one_of(plain, arrays, inline)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        kind = draw(st.sampled_from(["table", "array", "key", "key", "key", "blank"]))
        path = " . ".join(draw(st.lists(keys, min_size=1, max_size=2)))
        if kind == "blank":
            lines.append(draw(blanks))
        elif kind == "key":
            lines.append(f"{path} = {draw(values())}{draw(st.sampled_from(['', ' # y = 1']))}")
        else:
            lines.append(f"[{path}]" if kind == "table" else f"[[{path}]]")
    return "\n".join(lines)


@given(documents())
def test_whatever_tomllib_reads_every_key_of_it_has_its_line(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return

    def look(path: tuple[str, ...], content: dict[str, Any]) -> None:
        for key, value in content.items():
            line = line_of(text, (*path, key))
            assert line is not None, (path, key)
            assert key in text.splitlines()[line - 1], (path, key, line)
            if isinstance(value, dict):
                look((*path, key), value)

    look((), document)
    assert line_of(text, ("no such key",)) is None
