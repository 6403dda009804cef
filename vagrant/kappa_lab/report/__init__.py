"""The report of a drill: report.json for programs, report.html for people, a few lines for the terminal."""

import json
import re
from pathlib import Path
from typing import Final

from kappa_lab.judge import Verdict
from kappa_lab.judge.evidence import read
from kappa_lab.report.page import page
from kappa_lab.report.picture import picture
from kappa_lab.report.record import record
from kappa_lab.report.summary import summary

__all__ = ["record", "summary", "write"]

TOKEN: Final = re.compile(r"\d{5,}:[A-Za-z0-9_-]{25,}")
"""What a bot's token looks like, also behind the "bot" of an address. None should come this far; none goes further."""


def write(verdict: Verdict, history: Path, out_dir: Path) -> Path:
    """Write report.json and report.html for the history that was judged; returns the page. Raises OSError.

    Each file is replaced whole: a reader finds the old one or the new one.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    content = json.dumps(record(verdict), indent=1, ensure_ascii=False, allow_nan=False)
    _replace(out_dir / "report.json", content + "\n")
    return _replace(out_dir / "report.html", page(verdict, picture(verdict, read(history))))


def _replace(file: Path, text: str) -> Path:
    half = file.with_name(f".{file.name}.new")
    # surrogates come through JSON unharmed, and are no text that a file could hold
    half.write_text(TOKEN.sub("(a token)", text), encoding="utf-8", errors="replace")
    return half.replace(file)
