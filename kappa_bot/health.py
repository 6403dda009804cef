"""How a way to a server is, as whoever used it last found it: for the status, and for one log line at each change."""

from kappa_bot.logs import log

OK = "ok"


class Way:
    """To MongoDB through the router, or to Telegram. Whoever uses it says how it went."""

    def __init__(self, name: str) -> None:
        self.state = OK
        """"ok", or one line on what the last attempt met."""
        self._name = name

    def works(self) -> None:
        if self.state != OK:
            log.info("%s: works again", self._name)
        self.state = OK

    def fails(self, seen: str) -> None:
        # The same trouble over and over is one line, a different one another.
        if seen.split(" ")[0] != self.state.split(" ")[0]:
            log.warning("%s: %s", self._name, seen)
        self.state = seen
