"""Stands in for the bot in the agent's tests: the control socket's protocol, and whatever behaviour the test writes
into its configuration (JSON here), which it reads again for every request.

Keys: socket; active_after_s; die (a last line, and it exits with 3); ignore_term; drain_s; status (fields to override);
mute (takes connections and never answers); answer (raw text instead of a reply); children (processes of its own);
deaf_to_orders (promote and demote change nothing); dies_of_order; checked (what a check finds: fields to override);
old (it does not know `check`).
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

STANDBY = False


def behaviour() -> Any:
    return json.loads(Path(sys.argv[3]).read_text())


def status(said: dict[str, Any], began: float) -> dict[str, Any]:
    wanted = "standby" if STANDBY else "active"
    active = wanted == "active" and time.monotonic() - began >= said.get("active_after_s", 0)
    reply = {
        "v": 1,
        "ok": True,
        "role": "active" if active else "standby" if STANDBY else "starting",
        "pid": os.getpid(),
        "epoch": 1,
        "last_receive_s": 0.1 if active else None,
        "backlog": 0,
        "conflicts": 0,
        "telegram": "ok",
        "router": "ok",
        "reason": "",
    }
    reply.update(said.get("status", {}))
    return reply


def check(said: dict[str, Any], began: float) -> dict[str, Any]:
    if said.get("old"):
        return {"v": 1, "ok": False, "error": "unknown request 'check': known are status, promote, demote, stop"}
    telegram = ("not asked: standby", None) if STANDBY else ("ok", 30.5)
    checked = {"telegram": telegram[0], "telegram_ms": telegram[1], "router": "ok", "router_ms": 1.5}
    return {**status(said, began), "checked": {**checked, **said.get("checked", {})}}


def order(said: dict[str, Any], do: str) -> None:
    global STANDBY
    print(f"fake bot is told to {do}", file=sys.stderr, flush=True)
    if said.get("dies_of_order"):
        print("kappa-bot: Telegram does not know the token", file=sys.stderr, flush=True)
        os._exit(5)
    if not said.get("deaf_to_orders"):
        STANDBY = do == "demote"


def main() -> None:
    global STANDBY
    assert sys.argv[1:3] == ["run", "--config"], sys.argv
    assert sys.argv[4:] in ([], ["--standby"]), sys.argv
    STANDBY = sys.argv[4:] == ["--standby"]
    said = behaviour()
    print("fake bot begins", file=sys.stderr, flush=True)
    if "die" in said:
        print(said["die"], file=sys.stderr, flush=True)
        sys.exit(3)

    def end(number: int, frame: object) -> None:
        time.sleep(behaviour().get("drain_s", 0))
        print("fake bot ends in good order", file=sys.stderr, flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if said.get("ignore_term") else end)
    for _ in range(said.get("children", 0)):
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(60)
    began = time.monotonic()
    Path(said["socket"]).unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(said["socket"])
    server.listen(8)
    kept = []
    while True:
        client, _ = server.accept()
        said = behaviour()
        if said.get("mute"):
            kept.append(client)
            continue
        request = json.loads(client.makefile().readline())
        assert request["v"] == 1, request
        if request["do"] in ("promote", "demote"):
            assert 0 < request["wait_s"] <= 600, request
            order(said, request["do"])
            began = time.monotonic() if request["do"] == "promote" else began
            # A real one answers once it has done it.
            time.sleep(min(said.get("active_after_s", 0), request["wait_s"]))
        reply = status(said, began)
        if request["do"] == "check":
            assert 0 < request["wait_s"] <= 10, request
            reply = check(said, began)
        elif request["do"] not in ("promote", "demote"):
            assert request == {"v": 1, "do": "status"}, request
        client.sendall((said.get("answer") or json.dumps(reply) + "\n").encode())
        client.close()


main()
