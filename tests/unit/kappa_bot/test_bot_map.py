"""The map that a user gets: one file, in a real browser, with what hostile users wrote in it."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from kappa_bot import map_page
from kappa_bot.config import Map
from kappa_bot.places import Mark
from kappa_bot.queries import MapOrder
from kappa_bot.texts import say
from tests.unit.kappa_bot.browser import CHROMIUM, opened, tile_server


def in_a_browser(test: Callable[[Path], Awaitable[None]]) -> Callable[[Path], Awaitable[None]]:
    """For tests that need the Debian package chromium."""
    skip = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
    marked: Callable[[Path], Awaitable[None]] = pytest.mark.chromium(pytest.mark.timeout(240)(skip(test)))
    return marked


HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    '"><svg onload=window.hacked=3>',
    "<!-- <script> @script@ @data@ \u2028 \\u003c {{constructor}} ${window.hacked = 4}",
    "javascript:window.hacked=5",
    "two\nlines & a “quote”",
)


IN_VIEW = """(() => {
  const view = document.getElementById("map").getBoundingClientRect();
  return [...document.querySelectorAll(".leaflet-marker-icon")].map(icon => icon.getBoundingClientRect()).filter(
    box => box.width > 0 && box.left >= view.left && box.right <= view.right && box.top >= view.top &&
      box.bottom <= view.bottom).length;
})()"""
"""How many of the markers stand where a user sees them."""


def marks(texts: tuple[str, ...] = HOSTILE) -> list[Mark]:
    return [Mark(f"{n:024x}", f"Name & <b>{n}</b>", text, -66.9 + n / 1000, 10.5) for n, text in enumerate(texts)]


def order(origin: tuple[float, float] | None = None, title: str = "Streets › Pothole") -> MapOrder:
    return MapOrder("en", title, tuple(mark.id for mark in marks()), origin)


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    read: dict[str, object] = json.loads(found[1])
    return read


def test_the_file_holds_all_but_the_tiles() -> None:
    page = map_page.draw(order(), marks(), Map()).decode()
    assert "L.tileLayer" in page and ".leaflet-container" in page
    # Besides links to follow: no script, style or picture from anywhere.
    assert (
        re.findall(
            r"<(?:script|img|iframe|object|embed)[^>]*\ssrc=", re.sub(r"<script>.*?</script>", "", page, flags=re.S)
        )
        == []
    )
    assert re.findall(r"<link|@import|url\((?!#default)", page.split("</style>")[0]) == []
    assert "sourceMappingURL" not in page


def test_what_users_wrote_ends_no_element_and_is_read_as_it_was_written() -> None:
    page = map_page.draw(order(), marks(), Map()).decode()
    assert page.count("</script>") == page.count("<script") == 3
    places = data_of(page)["places"]
    assert isinstance(places, list)
    assert [place["text"] for place in places] == list(HOSTILE)
    assert "<img" not in re.sub(r"<script>.*?</script>", "", page, flags=re.S)


def test_tiles_attribution_and_zoom_are_those_of_the_configuration() -> None:
    tiles = Map("https://{s}.tiles.example.org/{z}/{x}/{y}.png", "<b>ours</b>", 14)
    page = map_page.draw(order(), marks(), tiles).decode()
    data = data_of(page)
    assert (data["tiles"], data["attribution"], data["maxZoom"]) == (tiles.tile_url, tiles.attribution, 14)
    assert "img-src data: https://*.tiles.example.org;" in page
    assert "OpenStreetMap</a> contributors" in map_page.draw(order(), marks(), Map()).decode().replace(
        "\\u003c", "<"
    ).replace("\\u003e", ">")


def test_a_title_that_users_named_is_escaped() -> None:
    page = map_page.draw(order(title="<script>alert(1)</script> › &"), marks(), Map()).decode()
    assert "<title>&lt;script&gt;alert(1)&lt;/script&gt; › &amp;</title>" in page


@in_a_browser
async def test_in_a_browser_places_show_tiles_load_and_hostile_words_are_words(tmp_path: Path) -> None:
    file = tmp_path / "map.html"
    with tile_server() as (tile_url, asked):
        tiles = Map(tile_url, '<a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a>', 18)
        file.write_bytes(map_page.draw(order((-66.9, 10.501), title="<i>Holes</i> & more"), marks(), tiles))
        async with opened(file, tmp_path / "browser") as page:
            await page.until(f"document.querySelectorAll('.leaflet-marker-icon').length === {len(HOSTILE)}")
            await page.until("document.querySelectorAll('img.leaflet-tile-loaded').length > 0")
            assert await page.evaluate("document.title") == "<i>Holes</i> & more"
            attribution = await page.evaluate("document.querySelector('.leaflet-control-attribution').textContent")
            assert "OpenStreetMap" in attribution
            shown = await page.evaluate(IN_VIEW)
            assert shown == len(HOSTILE), "the map begins with all its places in view"
            circles = await page.evaluate("document.querySelectorAll('#map path.leaflet-interactive').length")
            assert circles == 1, "where the user is"
            for n, text in enumerate(HOSTILE, 1):
                await page.evaluate(f"document.querySelectorAll('.leaflet-marker-icon')[{n - 1}].click()")
                await page.until(f"document.querySelector('.leaflet-popup .text')?.textContent === {json.dumps(text)}")
                name = await page.evaluate("document.querySelector('.leaflet-popup b').textContent")
                assert name == f"Name & <b>{n - 1}</b>"
                assert await page.evaluate("document.querySelectorAll('.leaflet-popup .text *').length") == 0
            listed = await page.evaluate("[...document.querySelectorAll('ol li span')].map(each => each.textContent)")
            assert listed == list(HOSTILE)
            # Zooming loads more tiles, from the same server.
            before = len(asked)
            await page.evaluate("document.querySelector('.leaflet-control-zoom-out').click()")
            await page.until("document.querySelectorAll('img.leaflet-tile-loaded').length > 0")
            for _ in range(600):
                if len(asked) > before:
                    break
                await page.evaluate("new Promise(done => setTimeout(done, 50))")
            assert len(asked) > before
            assert await page.evaluate("typeof window.hacked") == "undefined"
            assert page.complaints == []
    assert all(re.fullmatch(r"/tiles/\d+/\d+/\d+\.png", path) for path in asked), asked


@in_a_browser
async def test_in_a_browser_a_script_that_is_not_the_pages_own_does_not_run(tmp_path: Path) -> None:
    """The policy by itself: even if something were to get into the page unescaped."""
    page_text = map_page.draw(order(), marks(()), Map()).decode()
    file = tmp_path / "map.html"
    slipped = "<script>window.hacked = 1</script><img src='data:,' onerror='window.hacked = 2'>"
    file.write_text(page_text.replace("</ol>", f"</ol>{slipped}"))
    async with opened(file, tmp_path / "browser") as page:
        await page.until("document.querySelector('.leaflet-control-zoom-in') !== null")
        await page.until("document.images.length > 0 && document.querySelector('body > img').complete")
        assert await page.evaluate("typeof window.hacked") == "undefined"
        assert sum("Content Security Policy" in each for each in page.complaints) >= 2, page.complaints


def test_the_languages_each_have_their_words() -> None:
    for language in ("es", "en"):
        page = map_page.draw(MapOrder(language, "x", ()), marks(), Map()).decode()
        assert f'<html lang="{language}">' in page and say(language, "map_open") in page
