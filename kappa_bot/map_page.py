"""One HTML file with a map of places: all in the file but the tiles, which come from the server that is configured.

What users wrote gets into the page in two ways only: escaped, and as data that the page's script puts into text nodes.
The page's Content-Security-Policy lets nothing run and nothing be loaded beyond what is known here.
"""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from kappa_bot.config import Map
from kappa_bot.places import Mark
from kappa_bot.queries import MapOrder
from kappa_bot.texts import say

FOCUS_ZOOM = 17
"""As near as a map begins, however near to each other its places are."""


class MissingError(Exception):
    """What every map needs is not installed; the message says what."""


def draw(order: MapOrder, places: Sequence[Mark], tiles: Map) -> bytes:
    """The file, in UTF-8."""
    language = order.language
    data = {
        "places": [{"at": [p.latitude, p.longitude], "name": p.name, "text": p.description} for p in places],
        "origin": [order.origin[1], order.origin[0]] if order.origin is not None else None,
        "tiles": tiles.tile_url,
        "attribution": tiles.attribution,
        "maxZoom": tiles.max_zoom,
        "focusZoom": min(FOCUS_ZOOM, tiles.max_zoom),
        "here": say(language, "map_here"),
        "open": say(language, "map_open"),
    }
    style, scripts = _style(), (_leaflet("leaflet.js"), _own("map.js"))
    fill = {
        "language": language,
        "title": escape(order.title),
        "policy": escape(_policy(style, scripts, tiles.tile_url)),
        "style": style,
        "data": _json(data),
        "leaflet": scripts[0],
        "script": scripts[1],
        "noscript": escape(say(language, "map_script")),
        "places": "\n".join(_item(place, say(language, "map_open")) for place in places),
    }
    # In one pass: what is filled in is not looked at again.
    return re.sub(r"@(\w+)@", lambda match: fill[match[1]], _own("map.html")).encode()


def _item(place: Mark, link: str) -> str:
    """A place in the list under the map, which is there without tiles and without scripts too."""
    at = f"{place.latitude:.6f}", f"{place.longitude:.6f}"
    url = f"https://www.openstreetmap.org/?mlat={at[0]}&mlon={at[1]}#map={FOCUS_ZOOM}/{at[0]}/{at[1]}"
    anchor = f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(link)}</a>'
    return f"<li><b>{escape(place.name)}</b> <span>{escape(place.description)}</span> {anchor}</li>"


def _json(data: object) -> str:
    """JSON that cannot end the element it stands in, nor begin another."""
    text = json.dumps(data, ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _policy(style: str, scripts: Sequence[str], tile_url: str) -> str:
    parts = urlsplit(tile_url.replace("{s}", "*"))
    return "; ".join(
        [
            "default-src 'none'",
            "script-src " + " ".join(f"'sha256-{_digest(each)}'" for each in scripts),
            f"style-src 'sha256-{_digest(style)}'",
            f"img-src data: {parts.scheme}://{parts.netloc}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _style() -> str:
    # Leaflet's own names pictures in files of its own; none of them is used here.
    leaflet = re.sub(r"url\([^)]*\)", "none", _leaflet("leaflet.css"))
    return leaflet + _own("map.css")


@cache
def _leaflet(name: str) -> str:
    """A file of Leaflet's, as its package carries it."""
    # Only who asks for a map waits for this.
    from importlib import resources

    try:
        text = (resources.files("xstatic.pkg.leaflet") / "data" / name).read_text("utf-8")
    except (ImportError, OSError):
        raise MissingError(f"Leaflet's {name} is missing: pip install XStatic-Leaflet") from None
    # Where its sources are is of use to nobody who has this file alone.
    text = re.sub(r"\n//# sourceMappingURL=.*", "", text)
    # The parser of HTML makes one line end of two.
    return text.replace("\r\n", "\n")


@cache
def _own(name: str) -> str:
    return (Path(__file__).parent / "pages" / name).read_text("utf-8")
