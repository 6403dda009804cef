"""The telegram-bot agent, with a stand-in for the bot that speaks its control socket's protocol."""

import contextlib
import json
import os
import pwd
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resource_agents import cli
from tests.unit.resource_agents.running import Agents, Ended, alive, finish, kill, recorded_pid, until

FAKE = Path(__file__).with_name("fake_bot.py")


class Bot:
    """The agent, and a bot that behaves as `be` says."""

    def __init__(self, agents: Agents, directory: Path) -> None:
        self.agents = agents
        self.directory = directory
        self.config = directory / "bot.toml"
        self.socket = directory / "s"
        self.log = directory / "log" / "bot.log"
        self.binary = directory / "kappa-bot"
        self.binary.write_text(f"#!{sys.executable} -IS\n{FAKE.read_text()}")
        self.binary.chmod(0o755)
        self.be()

    def be(self, **behaviour: Any) -> None:
        half = self.config.with_suffix(".half")
        half.write_text(json.dumps({"socket": str(self.socket), **behaviour}))
        half.replace(self.config)

    @property
    def parameters(self) -> dict[str, object]:
        user = pwd.getpwuid(os.geteuid()).pw_name
        return {"binary": self.binary, "config": self.config, "socket": self.socket, "user": user, "log": self.log}

    def run(self, action: str, level: int = 0, timeout_s: float = 20, **more: object) -> Ended:
        return self.agents.run("telegram-bot", action, {**self.parameters, **more}, level=level, timeout_s=timeout_s)

    @property
    def pid(self) -> int:
        return recorded_pid(self.agents, "telegram-bot")


@pytest.fixture
def bot(agents: Agents) -> Iterator[Bot]:
    import shutil
    import tempfile

    # A Unix socket's path may be 107 bytes long; pytest's directories can be longer.
    directory = Path(tempfile.mkdtemp(prefix="bot"))
    bot = Bot(agents, directory)
    yield bot
    bot.be()
    assert bot.run("stop").code == 0
    shutil.rmtree(directory)


def test_start_returns_when_active_and_everything_is_idempotent(bot: Bot) -> None:
    bot.be(active_after_s=0.3)
    began = time.monotonic()
    assert bot.run("start").code == 0
    assert time.monotonic() - began > 0.3, "starting is not active"
    pid = bot.pid
    assert os.getsid(pid) == pid, "in a session of its own"
    assert bot.run("monitor").code == 0
    assert bot.run("monitor", level=10).code == 0
    assert bot.run("start").code == 0
    assert bot.pid == pid, "a second start starts nothing"
    assert bot.run("stop").code == 0
    assert not alive(pid)
    assert "ends in good order" in bot.log.read_text()
    assert bot.run("monitor").code == 7
    assert bot.run("stop").code == 0


def test_the_bot_gets_a_clean_environment_and_no_open_files(bot: Bot) -> None:
    assert bot.run("start").code == 0
    environment = Path(f"/proc/{bot.pid}/environ").read_bytes()
    assert b"OCF_" not in environment
    assert b"PATH=" in environment
    assert Path(f"/proc/{bot.pid}/cwd").readlink() == Path("/")
    handles = {path.name: str(path.readlink()) for path in Path(f"/proc/{bot.pid}/fd").iterdir()}
    assert handles["0"] == "/dev/null"
    assert handles["1"] == handles["2"] == str(bot.log)
    assert all("socket" in target for name, target in handles.items() if int(name) > 2), handles
    ignored = next(
        line for line in Path(f"/proc/{bot.pid}/status").read_text().splitlines() if line.startswith("SigIgn")
    )
    # Python ignores SIGPIPE and SIGXFSZ for itself; the stand-in is Python too and does so anew, so look at the others.
    ours = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    # Signal 32 and those above are the C library's own or real-time ones; only some callers leave them ignored.
    ordinary = (1 << 31) - 1
    assert int(ignored.split()[1], 16) & ordinary & ~ours == 0
    assert bot.log.stat().st_mode & 0o777 == 0o640


def test_a_start_that_dies_says_its_last_words_at_once(bot: Bot) -> None:
    token = "1234567890:" + "AAbbCCddEEffGGhhIIjjKKllMMnnOOpp"
    bot.be(die=f"config: https://api.telegram.org/bot{token}/getMe and mongodb://kappa:hunter2@db/ refused")
    began = time.monotonic()
    ended = bot.run("start")
    assert ended.code == 2, "its configuration is wrong on this host: hard, for this node only"
    assert time.monotonic() - began < 5, "it does not wait out the timeout for a dead process"
    assert "exit code 3" in ended.reason
    assert "refused" in ended.reason
    assert str(bot.log) in ended.reason
    # Law 9, even where the bot itself broke it.
    assert token not in ended.err
    assert "hunter2" not in ended.err


def test_a_start_that_never_becomes_active_says_what_is_missing(bot: Bot) -> None:
    bot.be(active_after_s=3600, status={"telegram": "401 Unauthorized", "reason": "waiting for the lease"})
    ended = bot.run("start", timeout_s=1)
    assert ended.code == 1
    for seen in ("role starting", "401 Unauthorized", "waiting for the lease"):
        assert seen in ended.reason
    pid = bot.pid
    assert alive(pid)
    assert bot.run("stop").code == 0, "Pacemaker stops what failed to start"
    assert not alive(pid)


def test_a_deaf_bot_is_failed(bot: Bot) -> None:
    # Law 5: the process is well, the socket answers, and nothing has been received for too long.
    assert bot.run("start").code == 0
    bot.be(status={"last_receive_s": 29.0})
    assert bot.run("monitor", level=10, deaf_after="30s").code == 0
    bot.be(status={"last_receive_s": 31.0, "telegram": "timed out"})
    assert bot.run("monitor", level=0, deaf_after="30s").code == 0, "level 0 looks at the process alone"
    ended = bot.run("monitor", level=10, deaf_after="30s")
    assert ended.code == 1
    assert "deaf" in ended.reason
    assert "31 s" in ended.reason
    assert "timed out" in ended.reason
    assert bot.run("monitor", level=20, deaf_after="30s").code == 1, (
        "a level that does not exist falls to the next lower"
    )
    bot.be(status={"last_receive_s": None})
    assert bot.run("monitor", level=10).code == 1


def test_what_the_bot_complains_of_is_shown_while_it_serves(bot: Bot) -> None:
    assert bot.run("start").code == 0
    bot.be(status={"reason": "another program polls with this bot's token (4 conflicts, the last 2 s ago)"})
    ended = bot.run("monitor", level=10)
    assert ended.code == 190
    assert "active, but another program polls with this bot's token" in ended.reason
    bot.be(status={"reason": ""})
    assert bot.run("monitor", level=10).code == 0


def test_a_conflict_is_degraded_and_failed_when_it_lasts(bot: Bot) -> None:
    assert bot.run("start").code == 0
    bot.be(status={"conflicts": 2, "last_receive_s": 3})
    ended = bot.run("monitor", level=10)
    assert ended.code == 190
    assert "someone else polls" in ended.reason
    bot.be(status={"conflicts": 20, "last_receive_s": 31})
    ended = bot.run("monitor", level=10)
    assert ended.code == 1
    assert "20 conflicts" in ended.reason


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ({"router": "no primary"}, 190, "no primary"),
        ({"telegram": "503 for 2 s"}, 190, "503"),
        ({"role": "standby", "reason": "node2 holds the lease"}, 190, "node2 holds the lease"),
        ({"role": "dancing"}, 1, "unknown role"),
        ({"last_receive_s": "soon"}, 1, "unusable last_receive_s"),
        ({"last_receive_s": -1}, 1, "unusable last_receive_s"),
        ({"conflicts": "many"}, 1, "unusable conflicts"),
        ({"pid": 1}, 1, "process 1 answers"),
        ({"v": 2}, 1, "another version"),
        ({"ok": False, "error": "nicht jetzt"}, 1, "nicht jetzt"),
    ],
)
def test_what_the_bot_says_is_judged(bot: Bot, status: dict[str, Any], code: int, says: str) -> None:
    assert bot.run("start").code == 0
    bot.be(status=status)
    ended = bot.run("monitor", level=10)
    assert ended.code == code, ended
    assert says in ended.reason


def test_level_20_has_the_bot_ask_both_sides_now(bot: Bot) -> None:
    assert bot.run("start").code == 0
    assert bot.run("monitor", level=20).code == 0
    # All was well when it was last used; it is not at this moment.
    bot.be(checked={"telegram": "no answer within 5 s", "router": "no primary"})
    assert bot.run("monitor", level=10).code == 0
    ended = bot.run("monitor", level=20)
    assert ended.code == 190
    assert "Telegram: no answer within 5 s; the router: no primary" in ended.reason
    # A getMe that is answered does not make up for a poll that is not.
    bot.be(status={"telegram": "503 for 2 s"})
    ended = bot.run("monitor", level=20)
    assert ended.code == 190
    assert "Telegram: 503 for 2 s" in ended.reason
    bot.be(checked={"telegram": "not asked: the lease is not good at this moment", "telegram_ms": None})
    assert bot.run("monitor", level=20).code == 0, "what was not asked says nothing"


@pytest.mark.parametrize(
    ("checked", "says"),
    [({"router": 3}, "unusable router"), ({"telegram": None}, "unusable telegram"), ("x", ""), (None, "")],
)
def test_whatever_a_check_answers_is_judged(bot: Bot, checked: Any, says: str) -> None:
    assert bot.run("start").code == 0
    if isinstance(checked, dict):
        bot.be(checked=checked)
    else:
        status = {"v": 1, "ok": True, "role": "active", "pid": bot.pid, "last_receive_s": 0.1}
        sides = {"telegram": "ok", "router": "ok"}
        bot.be(answer=json.dumps({**status, **sides, "checked": checked}) + "\n")
    ended = bot.run("monitor", level=20)
    assert ended.code == (1 if says else 0), ended
    assert says in ended.reason


def test_a_bot_that_does_not_know_the_check_is_judged_by_its_status(bot: Bot) -> None:
    bot.be(old=True)
    assert bot.run("start").code == 0
    assert bot.run("monitor", level=20).code == 0
    bot.be(old=True, status={"router": "no primary"})
    ended = bot.run("monitor", level=20)
    assert ended.code == 190
    assert "the router: no primary" in ended.reason


@pytest.mark.parametrize(
    "answer", ["", "\n", "not json\n", "[]\n", '"x"\n', "\x00\n", "[" * 100_000 + "\n", '{"v":1,"ok":true}\n']
)
def test_nonsense_on_the_socket_is_a_failure_not_a_crash(bot: Bot, answer: str) -> None:
    assert bot.run("start").code == 0
    bot.be(answer=answer or " ")
    assert bot.run("monitor", level=10).code == 1


def test_a_bot_that_does_not_answer_fails_within_the_timeout(bot: Bot) -> None:
    assert bot.run("start").code == 0
    bot.be(mute=True)
    ended = bot.run("monitor", level=10, timeout_s=2)
    assert ended.code == 1
    assert "does not answer in time" in ended.reason
    assert str(bot.socket) in ended.reason


def test_a_stranger_on_the_socket_is_not_our_bot(bot: Bot) -> None:
    assert bot.run("start").code == 0
    bot.socket.unlink()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(bot.socket))
    server.listen()

    def answer() -> None:
        client, _ = server.accept()
        client.recv(1000)
        client.sendall(
            json.dumps({"v": 1, "ok": True, "role": "active", "pid": os.getpid(), "last_receive_s": 0.1}).encode()
        )
        client.close()

    thread = threading.Thread(target=answer)
    thread.start()
    ended = bot.run("monitor", level=10)
    thread.join()
    server.close()
    assert ended.code == 1
    assert f"process {os.getpid()} answers" in ended.reason


def test_a_crashed_bot_is_a_failure_not_a_clean_stop(bot: Bot) -> None:
    assert bot.run("start").code == 0
    pid = bot.pid
    kill(pid)
    until(lambda: not alive(pid))
    ended = bot.run("monitor")
    assert ended.code == 1
    assert f"process {pid} is gone" in ended.reason
    assert bot.run("start").code == 0, "start after a crash, without a stop between"
    assert bot.pid != pid
    kill(bot.pid)
    assert bot.run("stop").code == 0
    assert bot.run("monitor").code == 7


def test_a_frozen_bot_is_failed_and_stopped_by_force_at_once(bot: Bot) -> None:
    assert bot.run("start").code == 0
    pid = bot.pid
    os.kill(pid, signal.SIGSTOP)
    ended = bot.run("monitor")
    assert ended.code == 1
    assert "frozen" in ended.reason
    assert bot.run("start").code == 1, "a frozen bot is not started"
    ended = bot.run("stop", timeout_s=30)
    assert ended.code == 0
    assert ended.seconds < 5, "it hears no SIGTERM, so there is nothing to wait for"
    assert not alive(pid)


def test_stop_waits_for_what_is_in_hand(bot: Bot) -> None:
    bot.be(drain_s=0.4)
    assert bot.run("start").code == 0
    ended = bot.run("stop")
    assert ended.code == 0
    assert ended.seconds > 0.4
    assert "ends in good order" in bot.log.read_text()


def test_stop_kills_what_does_not_listen_within_the_timeout(bot: Bot) -> None:
    bot.be(ignore_term=True, children=2)
    assert bot.run("start").code == 0
    pid = bot.pid
    assert len(members(pid)) == 3
    ended = bot.run("stop", timeout_s=1)
    assert ended.code == 0
    assert "killing" in ended.err
    assert not members(pid), "and everything it had started"


def test_stop_waits_no_longer_than_the_time_to_drain(bot: Bot) -> None:
    bot.be(ignore_term=True)
    assert bot.run("start").code == 0
    ended = bot.run("stop", drain="300ms")
    assert ended.code == 0
    assert 0.3 < ended.seconds < 5


def members(session: int) -> list[int]:
    """Who runs in this session."""
    found = []
    for path in Path("/proc").iterdir():
        with contextlib.suppress(ProcessLookupError):
            if path.name.isdigit() and os.getsid(int(path.name)) == session and alive(int(path.name)):
                found.append(int(path.name))
    return found


def test_children_of_a_killed_bot_are_found_and_ended(bot: Bot) -> None:
    bot.be(children=1)
    assert bot.run("start").code == 0
    pid = bot.pid
    kill(pid)
    until(lambda: not alive(pid))
    ended = bot.run("monitor")
    assert ended.code == 1
    assert "still run" in ended.reason
    assert bot.run("stop", timeout_s=1).code == 0
    assert not members(pid)


def test_a_bot_that_the_cluster_did_not_start_is_found_and_ended(bot: Bot) -> None:
    # The record is lost, or someone started it by hand: it polls, so it is not "stopped".
    assert bot.run("start").code == 0
    pid = bot.pid
    (bot.agents.state / f"kappa-telegram-bot-{bot.agents.instance}.pid").unlink()
    ended = bot.run("monitor")
    assert ended.code == 1
    assert str(pid) in ended.reason
    assert bot.run("start").code == 1, "a second poller is not started beside it"
    assert bot.run("stop").code == 0
    assert not alive(pid)
    assert bot.run("monitor").code == 7


def test_stop_without_parameters_ends_what_was_started(bot: Bot) -> None:
    # Law 7, and a stop that only says so would be worse than a failed one.
    assert bot.run("start").code == 0
    pid = bot.pid
    bot.binary.unlink()
    bot.config.rename(bot.directory / "gone")
    assert bot.agents.run("telegram-bot", "stop").code == 0
    assert not alive(pid)
    (bot.directory / "gone").rename(bot.config)


def test_a_stop_that_cannot_end_it_is_a_failed_stop(bot: Bot, monkeypatch: pytest.MonkeyPatch) -> None:
    # Law 6. Nothing here survives SIGKILL, so the signal is taken from the agent's hands instead.
    from resource_agents import telegram_bot
    from resource_agents.host import daemon as daemon_module
    from resource_agents.ocf.exits import Failure
    from resource_agents.ocf.operation import Operation

    assert bot.run("start").code == 0
    monkeypatch.setattr(daemon_module, "_signal", lambda targets, number: None)
    environment = bot.agents.environment(bot.parameters, timeout_s=0.5)
    operation = Operation("telegram-bot", telegram_bot.AGENT.parameters, "stop", environment, 20)
    with pytest.raises(Failure, match=f"not even SIGKILL ends {bot.pid}") as raised:
        telegram_bot.stop(operation)
    assert raised.value.code == 1
    assert recorded_pid(bot.agents, "telegram-bot") == bot.pid, "it is still on record for the next stop"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_agent_killed_in_the_middle_of_start_leaves_nothing_unrecorded(bot: Bot, number: signal.Signals) -> None:
    bot.be(active_after_s=3600)
    process = bot.agents.start_process("telegram-bot", ["start"], bot.agents.environment(bot.parameters))
    until(bot.socket.exists)
    process.send_signal(number)
    if number == signal.SIGTERM:
        ended = finish(process, time.monotonic(), 20)
        assert ended.code == 1
        assert "SIGTERM" in ended.reason
    else:
        process.communicate(timeout=20)
    pid = bot.pid
    assert alive(pid)
    assert bot.run("stop").code == 0
    assert not alive(pid)


@pytest.mark.parametrize("missing", ["config", "user", "log"])
def test_start_says_what_this_node_lacks(bot: Bot, missing: str) -> None:
    wrong = {"config": "/nonexistent/bot.toml", "user": "no-such-user", "log": "/proc/no/log"}[missing]
    ended = bot.agents.run("telegram-bot", "start", {**bot.parameters, missing: wrong})
    assert ended.code == (1 if missing == "log" else 5)
    assert wrong.split("/log")[0] in ended.reason
    assert bot.run("monitor").code == 7


def test_a_log_that_is_a_symbolic_link_is_refused(bot: Bot) -> None:
    target = bot.directory / "important"
    target.write_text("keep")
    bot.log.parent.mkdir()
    bot.log.symlink_to(target)
    assert bot.run("start").code == 1
    assert target.read_text() == "keep"


def test_a_program_that_cannot_run_is_not_installed(bot: Bot) -> None:
    bot.binary.write_text("#!/nonexistent/interpreter\n")
    ended = bot.run("start")
    assert ended.code == 5
    assert str(bot.binary) in ended.reason
    assert bot.run("monitor").code == 7


def test_the_real_bot_says_why_it_refuses_its_configuration(bot: Bot) -> None:
    root = Path(cli.__file__).resolve().parent.parent
    bot.binary.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {sys.executable} -m kappa_bot "$@"\n')
    token = bot.directory / "token"
    token.write_text("1:x")
    token.chmod(0o644)
    bot.config.write_text(f'[telegram]\ntoken_file = "{token}"\n')
    ended = bot.run("start")
    assert ended.code == 2
    assert "kappa-bot: " in ended.reason
    assert bot.run("stop").code == 0
