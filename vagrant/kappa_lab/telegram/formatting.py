"""parse_mode HTML as Telegram takes it: which tags there are, and that they must be closed in order.

A text with a stray `<` is refused by the real server, so it must be refused here. The Markdown modes are not read, and
so always refused: to take what the real server may refuse would be kinder than it.
"""

import html
import re
from typing import Any

from kappa_lab.telegram.errors import bad_request

Json = dict[str, Any]

ENTITY_OF_TAG = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "a": "text_link",
    "blockquote": "blockquote",
    "tg-spoiler": "spoiler",
    "span": "spoiler",
}
_TAG = re.compile(r"<(/?)([a-zA-Z-]+)((?:\s[^<>]*)?)>")
_HREF = re.compile(r"""href\s*=\s*["']?([^"'\s>]+)""")


def utf16_length(text: str) -> int:
    """Telegram counts offsets and lengths of entities in UTF-16 units."""
    return len(text.encode("utf-16-le")) // 2


def parse(text: str, parse_mode: str) -> tuple[str, list[Json]]:
    """The plain text and its entities. Raises ApiError 400 for HTML that Telegram would not take."""
    if parse_mode.lower() in ("", "none"):
        return text.strip(), []
    if parse_mode.lower().startswith("markdown"):
        raise bad_request("can't parse entities: the lab's server does not read Markdown")
    if parse_mode.lower() != "html":
        raise bad_request("unsupported parse_mode")
    plain = ""
    entities: list[Json] = []
    open_tags: list[tuple[str, int, str]] = []
    position = 0
    while position < len(text):
        opening = text.find("<", position)
        if opening < 0:
            plain += html.unescape(text[position:])
            break
        plain += html.unescape(text[position:opening])
        tag = _TAG.match(text, opening)
        if tag is None or tag[2].lower() not in ENTITY_OF_TAG:
            name = re.match(r"</?([^\s>]*)", text[opening:])
            byte = len(text[:opening].encode())
            raise bad_request(
                f'can\'t parse entities: Unsupported start tag "{name[1] if name else ""}" at byte offset {byte}'
            )
        name_of_tag = tag[2].lower()
        if not tag[1]:
            open_tags.append((name_of_tag, utf16_length(plain), tag[3]))
        elif not open_tags or open_tags[-1][0] != name_of_tag:
            raise bad_request(f"can't parse entities: Unexpected end tag at byte offset {len(text[:opening].encode())}")
        else:
            _, start, attributes = open_tags.pop()
            entity: Json = {"type": ENTITY_OF_TAG[name_of_tag], "offset": start, "length": utf16_length(plain) - start}
            href = _HREF.search(attributes)
            if entity["type"] == "text_link" and href:
                entity["url"] = html.unescape(href[1])
            if entity["length"]:
                entities.append(entity)
        position = tag.end()
    if open_tags:
        raise bad_request(f"can't parse entities: Can't find end tag corresponding to start tag \"{open_tags[-1][0]}\"")
    return plain.strip(), sorted(entities, key=lambda entity: int(entity["offset"]))


def command_entities(text: str) -> list[Json]:
    """The `bot_command` entity that Telegram adds where a message starts with a command."""
    command = re.match(r"/[A-Za-z0-9_]{1,32}(?:@\w+)?", text)
    return [{"type": "bot_command", "offset": 0, "length": utf16_length(command[0])}] if command else []
