"""Ask by HTTP who serves on an address, again and again, in a thread of its own that nobody has to wait for.

Each question is a connection of its own, as a client's would be that knows only the address. The group's Nginx says on
its health location which node it runs on.
"""

import http.client
import queue
import re
import threading
import time
from collections.abc import Iterator
from typing import Final

PORT: Final = 8080
PATH: Final = "/kappa/health"
EVERY_S: Final = 0.25
WITHIN_S: Final = 1.0
NODE: Final = re.compile(rb"\Aserving on ([A-Za-z0-9.-]{1,64})\n?\Z")


class Asker:
    """Started with `start`; `answers` hands out what was seen since it was last called, and never waits."""

    def __init__(self, address: str, port: int = PORT, every_s: float = EVERY_S) -> None:
        self._address, self._port, self._every_s = address, port, every_s
        self._seen: queue.SimpleQueue[dict[str, object]] = queue.SimpleQueue()

    def start(self) -> "Asker":
        threading.Thread(target=self._run, name="who-serves", daemon=True).start()
        return self

    def answers(self) -> Iterator[dict[str, object]]:
        while not self._seen.empty():
            yield self._seen.get()

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            self._seen.put(self.ask())
            due = max(due + self._every_s, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def ask(self) -> dict[str, object]:
        """One question: the journal's event of it. `status` is None when nobody answered."""
        began = time.monotonic()
        status, node = None, None
        connection = http.client.HTTPConnection(self._address, self._port, timeout=WITHIN_S)
        try:
            connection.request("GET", PATH, headers={"Connection": "close"})
            answer = connection.getresponse()
            found = NODE.match(answer.read(256))
            status, node = answer.status, found[1].decode() if found else None
        except (OSError, http.client.HTTPException):
            pass  # nobody: that is what is to be known
        finally:
            connection.close()
        took = time.monotonic() - began
        return {"e": "served", "t": time.time(), "status": status, "node": node, "ms": round(took * 1000, 3)}
