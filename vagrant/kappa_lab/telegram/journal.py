"""The journal: one JSON object a line, flushed a line at a time, so that a reader always finds whole lines.

`t` is `time.time()` in seconds. The events (`e`):

- `start`, `finish`: the journal was opened, the server ended gracefully. No `finish` means it did not.
- `begin`, `end`: a Bot API request was read; it was answered (`status`, `handed` update ids, `error`), or its client
  vanished (`gone`). `id` joins the two. A 409 may be answered seconds after the poll was over for Telegram: that was
  `decided`. A `begin` that is `carried` stands in an earlier segment too: the request was open when that was ended.
- `update`: a user did something: `update_id`, `chat_id`, `user`, `dialogue`, `step`.
- `confirm`: updates were forgotten because a higher offset confirmed them (or a webhook answered 2xx).
- `reply`: something reached a user (`text`: a checksum of its words). `answered`: it was the first answer to
  `update_id`. `repeat`: the user had it already.
- `dialogue`: a dialogue's `state`: started, finished, failed (`why`), with the `marker` its description carries.
- `webhook`: set, deleted, or one delivery.
- `fault`: the lab was told to misbehave, or to stop it. `complaint`: a user's, in a sentence.

The bot's token is never written, whatever a caller passes: not even when it is part of an error or a webhook's address.
"""

import json
import time
from pathlib import Path
from typing import Any, TextIO

from kappa_lab.segments import aside


class Journal:
    """Append-only. A path that cannot be opened raises OSError at once, not at the first event."""

    def __init__(self, path: Path, secret: str) -> None:
        self._path = path
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        self._open: dict[object, dict[str, Any]] = {}
        # The token's secret half is what must not leak, and is also what a percent-encoded token still shows.
        self._secrets = sorted({secret, secret.partition(":")[2]} - {""}, key=len, reverse=True)
        self.write("start")

    def write(self, event: str, **fields: object) -> None:
        """Write one event now; `t` is added here."""
        whole = {"e": event, "t": round(time.time(), 6), **fields}
        if event == "begin":
            self._open[fields.get("id")] = whole
        elif event == "end":
            self._open.pop(fields.get("id"), None)
        self._line(whole)

    def _line(self, whole: dict[str, Any]) -> None:
        line = json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
        for secret in self._secrets:
            line = line.replace(secret, "<token>")
        self._file.write(line + "\n")

    def rotate(self) -> Path:
        """End this segment in good order and begin the next; where the ended one lies now. Raises OSError."""
        ended = aside(self._path)
        self.close()
        try:
            self._path.rename(ended)
        finally:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
            self.write("start")
        for begun in self._open.values():
            self._line({**begun, "carried": True})
        return ended

    def close(self) -> None:
        """The graceful end; closing twice does nothing."""
        if not self._file.closed:
            self.write("finish")
            self._file.close()
