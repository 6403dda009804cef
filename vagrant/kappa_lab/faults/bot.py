"""Faults of the bot's process, of what it hears, and of who else uses its token."""

import contextlib
import json
import threading
import urllib.error
from collections.abc import Mapping
from typing import Final
from urllib.request import ProxyHandler, Request, build_opener

from kappa_lab import lab
from kappa_lab.errors import LabError
from kappa_lab.faults.inside import (
    cleanup,
    each,
    frozen,
    keep_file,
    killed,
    once_it_runs,
    put_back,
    signal,
    until,
    within,
)
from kappa_lab.faults.kind import Fault, Kind, Target, Value
from kappa_lab.paths import STATE
from kappa_lab.topology import TELEGRAM, TELEGRAM_PORT, Node

BOT: Final = "kappa-bot run "
"""In the command line of the bot, and of nothing else on a node."""
CONFIG: Final = "/etc/kappa/bot.toml"
BROKEN: Final = "this is no configuration\n"


def deaf(target: Target, given: Mapping[str, Value]) -> Fault:
    """Telegram takes the polls of these nodes and never answers; all else that they ask it is answered."""
    polls = int(str(given["polls"]))

    def inject() -> None:
        nodes = [node.name for node in target.nodes]
        aim: dict[str, object] = {"kind": "hang", "methods": ["getUpdates"], "nodes": nodes}
        lab.telegram("POST", "/fault", {**aim, "count": polls} if polls else aim)

    def heal() -> None:
        lab.telegram("DELETE", "/fault")

    return Fault(inject, heal)


def out_of_memory(node: Node) -> None:
    """The process may have no more than it has: the next page that it asks the kernel for is refused."""
    _limit_memory(node, "65536")


def memory_back(node: Node) -> None:
    with contextlib.suppress(LabError):  # it has died of it: the one that runs now has no limit
        _limit_memory(node, "unlimited")


def _limit_memory(node: Node, soft: str) -> None:
    pid = within(node, "pgrep", "-o", "-f", BOT, doing=f"looking for the bot on {node.name}").strip()
    # as the bot's own user: nobody else in the node may set another process's limits
    within(
        node, "setpriv", "--reuid=kappa", "--regid=kappa", "--clear-groups",
        "prlimit", f"--pid={pid}", f"--as={soft}:", doing=f"limiting the memory of the bot on {node.name}",
    )  # fmt: skip


def crash_loop(target: Target, given: Mapping[str, Value]) -> Fault:
    """It dies on this node whenever it has served for a while, however often it is started there."""
    older = str(int(float(str(given["lives_s"]))))
    ended = threading.Event()
    killed = threading.Event()
    killer: list[threading.Thread] = []

    def kill_again_and_again() -> None:
        while not ended.wait(0.5):
            for node in target.nodes:
                with contextlib.suppress(LabError):  # it does not run there, or not for long enough
                    within(
                        node, "pkill", "-KILL", "--older", older, "-f", BOT,
                        doing=f"killing the bot on {node.name} once more",
                    )  # fmt: skip
                    killed.set()

    def inject() -> None:
        killer.append(threading.Thread(target=kill_again_and_again, name="crash-loop", daemon=True))
        killer[0].start()
        if not killed.wait(20):
            raise LabError("The bot did not run where it was to be killed.")

    def heal() -> None:
        ended.set()
        for thread in killer:
            thread.join(30)
        for node in target.nodes:
            cleanup("bot", node)

    return Fault(inject, heal)


def never_starts(node: Node) -> None:
    """Its configuration is broken while it runs, and found to be when it is started anew."""
    keep_file(node, CONFIG, BROKEN)
    signal(node, "KILL", BOT)


def starts_again(node: Node) -> None:
    once_it_runs(node, lambda: put_back(node, CONFIG))
    cleanup("bot", node)


class Stranger:
    """A forgotten second bot: polls with the same token, from an address that is no node's, as the usual libraries do.

    It acknowledges nothing: what a stranger acknowledges is gone, and no bot could bring it back.
    """

    POLL_S = 5
    URL = f"http://{TELEGRAM}:{TELEGRAM_PORT}/bot"

    def __init__(self) -> None:
        self.polled = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="foreign-poller", daemon=True)
        self._opener = build_opener(ProxyHandler({}))

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(self.POLL_S + 30)

    def _poll(self) -> None:
        token = (STATE / "secrets" / "telegram.token").read_text().strip()
        body = json.dumps({"timeout": self.POLL_S}).encode()
        pause = 1.0
        while not self._ended.is_set():
            request = Request(f"{self.URL}{token}/getUpdates", data=body, headers={"Content-Type": "application/json"})
            try:
                with self._opener.open(request, timeout=self.POLL_S + 10) as answer:
                    answer.read()
                pause = 1.0
                # what it was handed and does not acknowledge it is handed again at once
                self._ended.wait(0.5)
            except urllib.error.HTTPError as error:
                error.close()
                # python-telegram-bot tries again after 1, 1.5, 2.25 … s
                self._ended.wait(pause)
                pause = min(pause * 1.5, 30.0)
            except OSError:
                self._ended.wait(pause)
            self.polled.set()


def foreign_poller(_target: Target, _given: Mapping[str, Value]) -> Fault:
    stranger = Stranger()

    def inject() -> None:
        stranger.start()
        until("the foreign poller has polled", stranger.polled.is_set, 30)

    return Fault(inject, stranger.end)


ACTIVE: Final = ("active",)

KINDS: Final = (
    Kind("bot-killed", "The bot's process is killed.", killed(BOT), ACTIVE, predicted="bot-dead"),
    Kind("bot-frozen", "The bot's process stands still (SIGSTOP).", frozen(BOT), ACTIVE, predicted="bot-frozen"),
    Kind("bot-deaf", "Telegram takes the node's polls and never answers; 0 polls: all of them.", deaf,
         ("active", "passives", "all"), parameters={"polls": 0}, predicted="bot-deaf"),
    Kind("bot-out-of-memory", "The bot's process gets no more memory.", each(out_of_memory, memory_back), ACTIVE,
         predicted="bot-dead"),
    Kind("bot-crash-loop", "The bot dies on this node each time that it has served there for `lives_s`.", crash_loop,
         ACTIVE, parameters={"lives_s": 3.0}, predicted="crash-loop"),
    Kind("bot-never-starts", "The bot dies, and its configuration on this node is broken.",
         each(never_starts, starts_again), ACTIVE, predicted="start-fails"),
    Kind("foreign-poller", "A forgotten second bot polls with the same token from elsewhere.", foreign_poller, (),
         storm=False),
)  # fmt: skip
