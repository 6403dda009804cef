"""Files of a report: each is replaced whole, and none ever holds a token."""

import json
import re
from pathlib import Path
from typing import Final

TOKEN: Final = re.compile(r"\d{5,}:[A-Za-z0-9_-]{25,}")
"""What a bot's token looks like, also behind the "bot" of an address. None should come this far; none goes further."""


def write(file: Path, text: str) -> Path:
    """A reader finds the old file or the new one. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.new")
    # surrogates come through JSON unharmed, and are no text that a file could hold
    half.write_text(TOKEN.sub("(a token)", text), encoding="utf-8", errors="replace")
    return half.replace(file)


def write_json(file: Path, content: object) -> Path:
    return write(file, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
