"""The journal: one JSON object a line, flushed a line at a time, so that a reader always finds whole lines.

`t` is `time.time()` in seconds. The events (`e`):

- `start`, `finish`: the journal was opened, the server ended gracefully. No `finish` means it did not.
- `begin`, `end`: a Bot API request was read; it was answered (`status`, `handed` update ids, `error`), or its client
  vanished (`gone`). `id` joins the two. A 409 may be answered seconds after the poll was over for Telegram: that was
  `decided`.
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
from typing import TextIO


class Journal:
    """Append-only. A path that cannot be opened raises OSError at once, not at the first event."""

    def __init__(self, path: Path, secret: str) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8", buffering=1)
        # The token's secret half is what must not leak, and is also what a percent-encoded token still shows.
        self._secrets = sorted({secret, secret.partition(":")[2]} - {""}, key=len, reverse=True)
        self.write("start")

    def write(self, event: str, **fields: object) -> None:
        """Write one event now; `t` is added here."""
        line = json.dumps({"e": event, "t": round(time.time(), 6), **fields}, ensure_ascii=False, separators=(",", ":"))
        for secret in self._secrets:
            line = line.replace(secret, "<token>")
        self._file.write(line + "\n")

    def close(self) -> None:
        """The graceful end; closing twice does nothing."""
        if not self._file.closed:
            self.write("finish")
            self._file.close()
