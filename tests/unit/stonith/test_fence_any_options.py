"""Whatever is given as options: settings that are whole, or one sentence; and lines and arguments mean the same."""

import os
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stonith.agent.options import ACTIONS, BY_HAND, OPTIONS, Option, Settings, UsageError, read_argv, read_stdin
from stonith.wire import is_name

pytestmark = pytest.mark.slow

VALUED = [option for option in OPTIONS if option.type != "boolean"]
LINE = st.text(alphabet=st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]), max_size=40)
PLAIN = st.text(alphabet=string.ascii_letters + string.digits + " =:;,._-[]", min_size=1, max_size=30).map(str.strip)
LIKELY = st.sampled_from(
    ["10.0.0.1", "10.0.0.1:7710,[::1]:1", "node1", "a:b;c:d", "a:b;b:a", "off", "STATUS", "12", "0", "3s", "1e400",
     "-1", "nan", "/etc/key", "../x", '"', "node1,node2", "²"]
)  # fmt: skip
PAIRS = st.lists(st.tuples(st.sampled_from(VALUED), LIKELY | LINE), max_size=12)


def read(text: str) -> dict[str, str]:
    reading, writing = os.pipe()
    try:
        os.write(writing, text.encode("utf-8", "replace"))
        os.close(writing)
        return read_stdin(reading)
    finally:
        os.close(reading)


@settings(max_examples=1500, deadline=None)
@given(st.lists(LINE, max_size=12), PAIRS)
def test_any_lines_make_settings_or_one_sentence(noise: list[str], pairs: list[tuple[Option, str]]) -> None:
    lines = [*noise, *(f"{option.name}={value}" for option, value in pairs)]
    try:
        made = Settings(read("\n".join(lines)))
    except UsageError as error:
        assert str(error)
        return
    assert made.action in (*ACTIONS, *BY_HAND)
    assert made.servers
    assert is_name(made.client)
    assert not made.plug or is_name(made.plug)
    assert made.plug or made.action not in ("on", "off", "reboot", "status")
    assert 0.1 <= made.timeout_s <= 3600
    assert 0 <= made.delay_s <= 3600
    assert 1 <= made.retry_on <= 10


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VALUED), PLAIN, st.integers(0, 3)), min_size=1, max_size=8))
def test_lines_and_arguments_mean_the_same(given_options: list[tuple[Option, str, int]]) -> None:
    lines, words = [], []
    for option, value, form in given_options:
        if not value:
            continue
        short, long = f"-{option.short}", f"--{option.long}"
        lines.append(f"{option.name}={value}")
        words += [[short, value], [f"{short}{value}"], [long, value], [f"{long}={value}"]][form]
    assert read_argv(words) == read("\n".join(lines))


@settings(max_examples=1500, deadline=None)
@given(st.lists(LINE | LIKELY | st.sampled_from([f"-{o.short}" for o in OPTIONS] + [f"--{o.long}" for o in OPTIONS])))
def test_any_arguments_make_options_or_one_sentence(words: list[str]) -> None:
    try:
        assert set(read_argv(words)) <= {option.name for option in OPTIONS}
    except UsageError as error:
        assert str(error)
