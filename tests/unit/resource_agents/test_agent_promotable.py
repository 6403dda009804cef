"""The telegram-bot agent as a promotable clone: a stand-in for the bot, and one for Pacemaker's crm_attribute."""

import json
import os
import shutil
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.resource_agents.running import Agents, Ended, alive, finish, kill, until
from tests.unit.resource_agents.test_agent_telegram_bot import Bot

CRM_ATTRIBUTE = """#!/bin/sh
echo "$@" >> "${0%/*}/told"
[ ! -e "${0%/*}/hangs" ] || exec sleep 60
[ ! -e "${0%/*}/broken" ] || { echo "crm_attribute: could not connect: Transport endpoint is not connected"; exit 102; }
"""


@pytest.fixture(scope="module")
def beside_pacemaker(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agents, installed where /usr/sbin holds a crm_attribute."""
    root = tmp_path_factory.mktemp("beside") / "root"
    shutil.copytree(installed, root)
    spawn = root / "usr/lib/kappa-ha/resource_agents/host/spawn.py"
    before = spawn.read_text()
    spawn.write_text(before.replace('PATH = "', f'PATH = "{root}/usr/sbin:'))
    assert spawn.read_text() != before
    program = root / "usr/sbin/crm_attribute"
    program.write_text(CRM_ATTRIBUTE)
    program.chmod(0o755)
    return root


class PromotableBot(Bot):
    """The bot as Pacemaker runs it in a promotable clone."""

    clone: dict[str, object] = {  # noqa: RUF012 - as Pacemaker 2.1 has it
        "CRM_meta_clone": 0,
        "CRM_meta_clone_max": 3,
        "CRM_meta_clone_node_max": 1,
        "CRM_meta_globally_unique": "false",
        "CRM_meta_notify": "false",
        "CRM_meta_promoted_max": 1,
        "CRM_meta_promoted_node_max": 1,
    }

    @property
    def parameters(self) -> dict[str, object]:
        return {**super().parameters, **self.clone}

    @property
    def sbin(self) -> Path:
        return self.agents.root / "usr/sbin"

    def scores(self) -> list[str]:
        """What crm_attribute was told since this was last asked."""
        told = self.sbin / "told"
        lines = told.read_text().splitlines() if told.exists() else []
        told.unlink(missing_ok=True)
        head = f"--promotion={self.agents.instance} --lifetime=reboot "
        assert all(line.startswith(head) for line in lines), lines
        return [line.removeprefix(head) for line in lines]

    def note(self, kind: str) -> Path:
        return self.agents.state / f"kappa-telegram-bot-{self.agents.instance}.{kind}"

    def earlier(self, kind: str, seconds: float) -> None:
        """Let a note be as old as if it had been written that long before."""
        head, _, when = self.note(kind).read_text().rpartition(" ")
        self.note(kind).write_text(f"{head} {float(when) - seconds}\n")


@pytest.fixture
def bot(beside_pacemaker: Path, tmp_path: Path) -> Iterator[PromotableBot]:
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="bot"))
    bot = PromotableBot(Agents(beside_pacemaker, tmp_path / "state"), directory)
    yield bot
    bot.be()
    for sign in ("broken", "hangs"):
        (bot.sbin / sign).unlink(missing_ok=True)
    assert bot.run("stop").code == 0
    assert list(bot.agents.state.glob("*")) == [], "stop leaves no note behind"
    bot.scores()
    shutil.rmtree(directory)


def test_start_is_standby_promote_polls_demote_is_standby_again(bot: PromotableBot) -> None:
    assert bot.run("monitor").code == 7
    assert bot.run("start").code == 0
    pid = bot.pid
    assert "--standby" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    for level in (0, 10, 20):
        assert bot.run("monitor", level=level).code == 0, "unpromoted"
    for _ in range(2):
        assert bot.run("promote").code == 0
        for level in (0, 10, 20):
            ended = bot.run("monitor", level=level)
            assert (ended.code, ended.err) == (8, ""), "promoted, and nothing to remark"
    assert bot.run("start").code == 0, "a start of something promoted is no failure and changes nothing"
    assert bot.run("monitor").code == 8
    for _ in range(2):
        assert bot.run("demote").code == 0
        for level in (0, 10, 20):
            assert bot.run("monitor", level=level).code == 0
    assert bot.pid == pid, "one process all the while"
    assert bot.run("promote").code == 0
    assert bot.run("stop").code == 0, "a stop of something promoted"
    assert not alive(pid)
    assert bot.run("monitor").code == 7
    assert bot.run("promote").code == 7, "there is nothing to promote"
    assert bot.run("demote").code == 7


def test_promote_returns_when_it_polls_and_not_before(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    bot.be(active_after_s=0.4)
    ended = bot.run("promote")
    assert ended.code == 0
    assert ended.seconds > 0.4
    assert bot.run("demote").code == 0
    bot.be(active_after_s=3600, status={"telegram": "503 for 2 s", "reason": "waiting for the lease"})
    ended = bot.run("promote", timeout_s=0.6)
    assert ended.code == 1
    for seen in ("still starting", "503 for 2 s", "waiting for the lease"):
        assert seen in ended.reason
    assert bot.run("monitor").code == 8, "it may poll at any moment, so in doubt it is promoted"
    bot.be()
    assert bot.run("demote").code == 0
    assert bot.run("monitor").code == 0


def test_a_demote_that_changes_nothing_is_a_failure(bot: PromotableBot) -> None:
    # Law 6: Pacemaker would promote another.
    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    bot.be(deaf_to_orders=True)
    ended = bot.run("demote")
    assert ended.code == 1
    assert "still active" in ended.reason
    assert bot.run("monitor").code == 8
    bot.be(answer="not json\n")
    assert bot.run("demote").code == 1
    bot.be(mute=True)
    ended = bot.run("demote", timeout_s=0.6)
    assert ended.code == 1
    assert "does not answer in time" in ended.reason
    assert bot.run("monitor").code == 8


def test_a_bot_that_ends_instead_of_being_promoted_says_why(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    bot.be(dies_of_order=True)
    ended = bot.run("promote")
    assert ended.code == 1
    assert "does not know the token" in ended.reason
    assert ended.seconds < 5


def test_demote_needs_no_right_parameters_but_its_socket(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    assert bot.run("demote", deaf_after="soon", drain="-3", config="relative").code == 0
    assert bot.run("monitor").code == 0


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ({"last_receive_s": 31.0}, 9, "deaf"),
        ({"last_receive_s": None}, 9, "deaf"),
        ({"conflicts": 2, "last_receive_s": 3}, 191, "someone else polls"),
        ({"conflicts": 20, "last_receive_s": 31}, 9, "31 s"),
        ({"role": "starting", "reason": "node2 holds the lease"}, 191, "node2 holds the lease"),
        ({"role": "stopping"}, 191, "stopping"),
        ({"router": "no primary"}, 191, "no primary"),
        ({"telegram": "503 for 2 s"}, 191, "503"),
        ({"role": "dancing"}, 9, "unknown role"),
        ({"pid": 1}, 1, "process 1 answers"),
    ],
)
def test_what_a_promoted_bot_says_is_judged(bot: PromotableBot, status: dict[str, Any], code: int, says: str) -> None:
    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    bot.be(status=status)
    ended = bot.run("monitor", level=10)
    assert ended.code == code, ended
    assert says in ended.reason
    assert bot.run("monitor").code == 8, "level 0 looks at the process and at what it was told"


def test_a_standby_is_not_deaf_but_its_router_counts(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.scores() == ["--update 50"]
    bot.be(status={"last_receive_s": None})
    assert bot.run("monitor", level=10).code == 0
    bot.be(status={"router": "no primary"})
    for level in (10, 20):
        ended = bot.run("monitor", level=level)
        assert ended.code == 190
        assert "no primary" in ended.reason
    assert bot.scores() == ["--update 1"], "better than none, but the last to be promoted"
    bot.be()
    assert bot.run("monitor", level=10).code == 0
    assert bot.scores() == ["--update 50"]


def test_the_note_follows_what_the_bot_itself_says(bot: PromotableBot) -> None:
    # Someone told it over the socket, behind the cluster's back.
    assert bot.run("start").code == 0
    bot.be(status={"role": "active", "last_receive_s": 1.0})
    assert bot.run("monitor").code == 0, "level 0 does not ask"
    ended = bot.run("monitor", level=10)
    assert ended.code == 8
    assert "did not promote" in ended.err
    assert bot.run("monitor").code == 8
    bot.be(status={"role": "standby"})
    ended = bot.run("monitor", level=10)
    assert ended.code == 0
    assert "did not demote" in ended.err
    assert bot.run("monitor").code == 0


def test_a_note_about_another_process_is_none(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    kill(bot.pid)
    until(lambda: not alive(bot.pid))
    assert bot.run("monitor").code == 1
    assert bot.run("start").code == 0, "without a stop between"
    assert bot.run("monitor").code == 0, "the new one is a standby, whatever was noted about the old one"
    for garbage in (b"", b"\0\xff", b"promoted\n", b"1 2 3 promoted\n"):
        bot.note("role").write_bytes(garbage)
        assert bot.run("monitor").code == 0
        bot.note("score").write_bytes(garbage)
        bot.note("conflict").write_bytes(garbage)
        bot.be(status={"conflicts": 1, "last_receive_s": 1.0})
        assert bot.run("monitor", level=10).code == 0


def test_a_start_without_a_router_makes_a_reluctant_standby(bot: PromotableBot) -> None:
    bot.be(status={"router": "no primary"})
    ended = bot.run("start", timeout_s=1)
    assert ended.code == 0
    assert 0.3 < ended.seconds < 0.95, "it hopes for half of the time"
    assert "no primary" in ended.err
    assert bot.scores() == ["--update 1"]


def test_the_score_is_set_when_it_changes_and_seldom_else(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.scores() == ["--update 50"]
    for _ in range(3):
        assert bot.run("monitor", level=10).code == 0
        assert bot.run("monitor", level=0).code == 0
    assert bot.scores() == [], "no process for nothing"
    assert bot.run("promote").code == 0
    assert bot.scores() == []
    assert bot.run("monitor", level=10).code == 8
    assert bot.scores() == ["--update 100"]
    bot.earlier("score", 61)
    assert bot.run("monitor", level=10).code == 8
    assert bot.scores() == ["--update 100"], "an attribute daemon that began anew hears it within a minute"
    assert bot.run("stop").code == 0
    assert bot.scores() == ["--delete"]
    assert bot.run("stop").code == 0
    assert bot.scores() == []


@pytest.mark.parametrize("sign", ["broken", "hangs"])
def test_a_score_that_cannot_be_set_or_removed_fails_nothing(bot: PromotableBot, sign: str) -> None:
    assert bot.run("start").code == 0
    (bot.sbin / sign).touch()
    assert bot.run("promote").code == 0
    ended = bot.run("monitor", level=10, timeout_s=1)
    assert ended.code == 8
    assert "score could not be set" in ended.err
    ended = bot.run("stop", timeout_s=1)
    assert ended.code == 0, "least of all a stop: it would fence"
    assert "score remains" in ended.err


def test_a_conflict_is_failed_once_it_has_lasted(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    bot.be(status={"conflicts": 4, "last_receive_s": 2.0})
    assert bot.run("monitor", level=10).code == 191
    bot.earlier("conflict", 20)
    assert bot.run("monitor", level=10).code == 191
    bot.earlier("conflict", 11)
    ended = bot.run("monitor", level=10)
    assert ended.code == 9
    assert "31 s (30 s are allowed)" in ended.reason
    assert bot.run("monitor", level=10, conflict_after="10m").code == 191
    bot.be()
    assert bot.run("monitor", level=10).code == 8
    bot.be(status={"conflicts": 1, "last_receive_s": 2.0})
    assert bot.run("monitor", level=10).code == 191, "another conflict, counted from its own beginning"


def test_level_20_fails_what_does_not_answer_for_long(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    bot.be(status={"router": "no primary", "telegram": "503"})
    ended = bot.run("monitor", level=20)
    assert ended.code == 191
    bot.earlier("unwell", 61)
    ended = bot.run("monitor", level=20)
    assert ended.code == 9
    for seen in ("61 s", "no primary", "503"):
        assert seen in ended.reason
    bot.be()
    assert bot.run("monitor", level=20).code == 8
    assert not bot.note("unwell").exists()
    bot.be(checked={"router": "no answer within 5 s"})
    assert bot.run("monitor", level=20).code == 191


def test_level_20_of_a_standby_asks_the_router_alone_and_never_fails_it(bot: PromotableBot) -> None:
    assert bot.run("start").code == 0
    assert bot.run("monitor", level=20).code == 0
    bot.be(checked={"router": "no answer within 5 s"})
    assert bot.run("monitor", level=10).code == 0
    for _ in range(2):
        ended = bot.run("monitor", level=20, unwell_after="0s")
        assert ended.code == 190
        assert "a standby, but the router: no answer within 5 s" in ended.reason


@pytest.mark.parametrize(
    ("meta", "standby"),
    [
        ({"promoted_max": 1}, True),
        ({"master_max": 1}, True),
        ({"promotable": "true"}, True),
        ({"promoted_max": 0, "promotable": "false"}, False),
        ({"promoted_max": "x", "clone_max": 3}, False),
    ],
)
def test_it_knows_from_pacemaker_whether_it_is_promotable(
    bot: PromotableBot, monkeypatch: pytest.MonkeyPatch, meta: dict[str, object], standby: bool
) -> None:
    monkeypatch.setattr(PromotableBot, "clone", {f"CRM_meta_{name}": value for name, value in meta.items()})
    assert bot.run("start").code == 0
    assert ("--standby" in Path(f"/proc/{bot.pid}/cmdline").read_text()) is standby
    assert bot.run("monitor", level=10).code == 0


def test_an_anonymous_clone_is_the_same_under_any_number(bot: PromotableBot) -> None:
    def run(action: str, instance: str, **meta: object) -> Ended:
        parameters = {**bot.parameters, **{f"CRM_meta_{name}": value for name, value in meta.items()}}
        environment = {**bot.agents.environment(parameters), "OCF_RESOURCE_INSTANCE": instance}
        process = bot.agents.start_process("telegram-bot", [action], environment)
        return finish(process, time.monotonic(), 20)

    assert run("start", bot.agents.instance + ":0").code == 0
    assert bot.scores() == ["--update 50"], "the score is the resource's, whatever the number"
    assert run("monitor", bot.agents.instance).code == 0
    assert run("promote", bot.agents.instance + ":2").code == 0
    assert run("monitor", bot.agents.instance + ":1").code == 8
    assert run("monitor", bot.agents.instance + ":1", globally_unique="true").code == 1, "there they differ"


def test_the_metadata_tells_the_roles_apart(bot: PromotableBot) -> None:
    root = ElementTree.fromstring(bot.run("meta-data").out.encode())
    actions = [dict(one.attrib) for one in root.iter("action")]
    monitors = {(one.get("role"), one["depth"]): one["interval"] for one in actions if one["name"] == "monitor"}
    assert {role for role, _ in monitors} == {None, "Promoted"}
    assert len(set(monitors.values())) == len(monitors) == 6
    assert {"promote", "demote"} <= {one["name"] for one in actions}


def test_level_0_of_a_promotable_clone_asks_nobody_and_imports_little(bot: PromotableBot) -> None:
    import subprocess

    assert bot.run("start").code == 0
    assert bot.run("promote").code == 0
    bot.be(mute=True)
    interpreter = bot.agents.path("telegram-bot").read_text().splitlines()[0].removeprefix("#!").split()
    ran = subprocess.run(
        [*interpreter, "-X", "importtime", str(bot.agents.path("telegram-bot")), "monitor"],
        env=bot.agents.environment(bot.parameters),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ran.returncode == 8
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert "resource_agents.host.notes" in imported
    assert not imported & {"json", "socket", "select", "subprocess", "re", "resource_agents.host.spawn"}


def test_the_stand_in_answers_as_the_protocol_has_it(bot: PromotableBot) -> None:
    # What the agent relies on: an order is answered with the status, once it is fulfilled.
    import socket

    assert bot.run("start").code == 0
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(str(bot.socket))
        link.sendall(json.dumps({"v": 1, "do": "promote", "wait_s": 5}).encode() + b"\n")
        reply = json.loads(link.makefile().readline())
    assert (reply["role"], reply["pid"]) == ("active", bot.pid)
    assert os.getsid(bot.pid) == bot.pid


@pytest.mark.mongod
def test_the_real_bot_is_promoted_and_demoted(beside_pacemaker: Path, tmp_path: Path) -> None:
    import sys

    from tests.mongod import ReplicaSet
    from tests.unit.kappa_bot.bot_lab import bot_lab, prepared

    (tmp_path / "set").mkdir()
    (tmp_path / "prepare").mkdir()
    with ReplicaSet(tmp_path / "set") as mongo, bot_lab(prepared(mongo, tmp_path / "prepare"), tmp_path / "lab") as lab:
        binary = tmp_path / "kappa-bot"
        binary.write_text(f'#!/bin/sh\nPYTHONPATH={lab.root} exec {sys.executable} -m kappa_bot "$@"\n')
        binary.chmod(0o755)

        def member(number: int) -> Callable[..., Ended]:
            """One instance of the clone, on a node of its own as far as it knows."""
            name = f"b{number}"
            agents = Agents(beside_pacemaker, tmp_path / f"state{number}")
            config = lab.config(name)
            parameters: dict[str, object] = {
                "binary": binary, "config": config, "socket": lab.directory / f"{name}.sock", "user": "root",
                "log": tmp_path / f"{name}.log", **PromotableBot.clone,
            }  # fmt: skip
            return lambda action, level=0: agents.run("telegram-bot", action, parameters, level=level, timeout_s=30)

        one, two = member(1), member(2)
        try:
            for run in (one, two):
                ended = run("start")
                assert ended.code == 0, ended
                assert [run("monitor", level).code for level in (0, 10, 20)] == [0, 0, 0], "a standby, and well"
            assert one("promote").code == 0
            assert [one("monitor", level).code for level in (0, 10, 20)] == [8, 8, 8]
            assert [two("monitor", level).code for level in (0, 10, 20)] == [0, 0, 0]
            assert one("demote").code == 0
            assert two("promote").code == 0, "the lease was given back"
            assert [one("monitor", 10).code, two("monitor", 10).code] == [0, 8]
            assert two("stop").code == 0
            ended = one("promote")
            assert ended.code == 0
            assert ended.seconds < 5
            assert one("monitor", 20).code == 8
        finally:
            assert [run("stop").code for run in (one, two)] == [0, 0]
        assert [run("monitor").code for run in (one, two)] == [7, 7]
