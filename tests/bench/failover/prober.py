"""Ask the virtual IP over HTTP, all the time, and note when it served: the same in both configurations."""

import http.client
import threading
import time
from typing import Final

from kappa_lab.topology import VIP

PORT: Final = 8080
PATH: Final = "/kappa/health"
EVERY_S: Final = 0.05
TIMEOUT_S: Final = 0.25
LEAST_S: Final = 0.3
"""A shorter stretch without an answer is no outage: one question may be lost on a busy machine."""


class Prober:
    """A thread that asks from the host, on a new connection each time, while its `with` block lasts."""

    def __init__(self) -> None:
        self._served: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask_on, name="prober", daemon=True)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def served(self, since: float) -> list[float]:
        """The moments (epoch seconds) at which an answer was there whole."""
        return [t for t in self._served if t >= since]

    def _ask_on(self) -> None:
        while not self._stop.wait(EVERY_S):
            connection = http.client.HTTPConnection(VIP, PORT, timeout=TIMEOUT_S)
            try:
                connection.request("GET", PATH)
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    self._served.append(time.time())
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
