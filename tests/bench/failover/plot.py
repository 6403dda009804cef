"""The picture of it, as SVG: a dot a repetition on an axis of seconds, a line at the median, losses beside. Pure."""

import math
import statistics
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from tests.bench.failover.results import BY_HTTP, CONFIGURATIONS, FAULTS

WIDTH: Final = 900
LEFT: Final = 250
RIGHT: Final = 190
TOP: Final = 62
LANE: Final = 27
GAP: Final = 18
COLOURS: Final = {"stock": "#b3541e", "ours": "#1f6f4a"}
STYLE: Final = (
    ".bg { fill: #ffffff } .t { fill: #17212b } .s { fill: #44525f; font-size: 12px } .h { font-weight: 600 } "
    ".grid { stroke: #d8dee4 } "
    + " ".join(f".{name} {{ fill: {colour}; stroke: {colour} }}" for name, colour in COLOURS.items())
)


def drawing(found: Mapping[str, Any]) -> str:
    """The SVG file's text; a fault that was not measured in a configuration has an empty lane."""
    longest = max((time for of in found.values() for one in of.values() for time in _times(one)), default=1.0)
    step = next(nice for nice in (1, 2, 5, 10, 20, 50) if longest / nice <= 10)
    end = step * math.ceil(longest / step)
    height = TOP + len(FAULTS) * (len(CONFIGURATIONS) * LANE + GAP) + 44

    def across(seconds: float) -> float:
        return round(LEFT + seconds / end * (WIDTH - LEFT - RIGHT), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" '
        'font-size="14" role="img" aria-label="Recovery times, stock and ours">',
        f"<style>{STYLE}</style>",
        f'<rect class="bg" width="{WIDTH}" height="{height}"/>',
        _text(20, 28, "Seconds from the fault until it serves again", "t h"),
        _text(WIDTH - RIGHT + 14, 28, "updates lost", "t h"),
        _text(20, 47, "each repetition a dot, a line at the median", "s"),
    ]
    bottom = height - 40
    for second in range(0, end + 1, step):
        x = across(second)
        parts.append(f'<line class="grid" x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 17, f"{second}", "s", "middle"))
    y = float(TOP)
    for fault, title in FAULTS.items():
        parts.append(_text(20, y + LANE * 0.7, f"{title}{'*' if fault in BY_HTTP else ''}", "t"))
        for configuration in CONFIGURATIONS:
            one = found.get(configuration, {}).get(fault)
            middle = y + LANE / 2
            parts.append(_text(LEFT - 12, middle + 5, configuration, "s", "end"))
            if one is not None:
                times = _times(one)
                median = across(statistics.median(times))
                parts += [
                    f'<circle class="{configuration}" cx="{across(t)}" cy="{middle}" r="4" fill-opacity="0.55" '
                    'stroke="none"/>'
                    for t in times
                ]
                parts.append(
                    f'<line class="{configuration}" x1="{median}" y1="{y + 3}" x2="{median}" y2="{y + LANE - 3}" '
                    'stroke-width="3"/>'
                )
                twice = f", {one['records_duplicated']} stored twice" if one["records_duplicated"] else ""
                lost = f"{one['updates_lost']} of {one['updates_sent']}{twice}"
                parts.append(_text(WIDTH - RIGHT + 14, middle + 5, lost, "t h" if one["updates_lost"] else "s"))
            y += LANE
        y += GAP
    parts.append(
        _text(20, height - 6, "* until the virtual IP serves HTTP again; the others: until a user is answered", "s")
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _times(one: Mapping[str, Any]) -> list[float]:
    return [float(sample["rto_s"]) for sample in one["samples"]]


def _text(x: float, y: float, words: str, of: str, anchor: str = "start") -> str:
    return f'<text class="{of}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'
