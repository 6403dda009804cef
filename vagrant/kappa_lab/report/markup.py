"""Elements of HTML and SVG whose text and attributes are always escaped: there is no other way to put text into one.

What comes out is well-formed XML too, so that a test can read it as strictly as no browser does.
"""

import html
import re
from typing import Final

VOID: Final = frozenset({"meta", "br", "line", "path", "rect", "circle"})
"""Elements that never have content. (In HTML, any other must not close itself.)"""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def legal(text: str) -> str:
    """The same, with a replacement character for what XML cannot hold at all."""
    return _NOT_XML.sub("\ufffd", text)


def escaped(text: str) -> Markup:
    """Text for any place in a page."""
    return Markup(html.escape(legal(text), quote=True))


def el(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """One element. A child that is not Markup is text. `class_` is class, `_` in a name is `-`; None leaves one out."""
    head = name
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
            head += f' {key.rstrip("_").replace("_", "-")}="{escaped(shown)}"'
    if name in VOID and not children:
        return Markup(f"<{head}/>")
    return Markup(f"<{head}>{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Children one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escaped(child) for child in children))
