"""The router's log: one JSON object a line, with the fields that MongoDB's own log has. Never a command's content."""

import json
import os
import sys
import time
from typing import Any, TextIO


class Log:
    """Writes to standard output, or to a file that is opened anew on rotation."""

    def __init__(self, path: str = "", append: bool = False) -> None:
        self.path = path
        self._file: TextIO = sys.stdout
        if path:
            if not append:
                self._put_aside()
            self._file = self._open()

    def fileno(self) -> int:
        return self._file.fileno()

    def rotate(self) -> None:
        """Put the file aside under the time's name and begin a new one."""
        if self.path:
            self._put_aside()
            old, self._file = self._file, self._open()
            os.dup2(self._file.fileno(), 1)
            os.dup2(self._file.fileno(), 2)
            old.close()

    def say(self, component: str, text: str, **attributes: Any) -> None:
        self._write("I", component, text, attributes)

    def caution(self, component: str, text: str, **attributes: Any) -> None:
        self._write("W", component, text, attributes)

    def fail(self, component: str, text: str, **attributes: Any) -> None:
        self._write("E", component, text, attributes)

    def _write(self, severity: str, component: str, text: str, attributes: dict[str, Any]) -> None:
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}+00:00"
        line = {"t": {"$date": stamp}, "s": severity, "c": component, "ctx": "stand-in", "msg": text}
        if attributes:
            line["attr"] = attributes
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError:
            pass  # a full disk must not end a router

    def _open(self) -> TextIO:
        # as MongoDB makes it: nobody else's to read
        return open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "a")  # noqa: PTH123

    def _put_aside(self) -> None:
        if os.path.exists(self.path):  # noqa: PTH110 (start-up time)
            os.rename(self.path, self.path + time.strftime(".%Y-%m-%dT%H-%M-%S", time.gmtime()))  # noqa: PTH104
