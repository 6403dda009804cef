"""Members, initiation and records with real mongods, as the lab's containers run them: by command."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from pymongo.monitoring import CommandListener, CommandStartedEvent

from kappa_lab.mongodb import member, records
from tests.mongod import find_mongod, free_port, until
from tests.unit.mongodb_lab.peers import environment

Document = dict[str, Any]

pytestmark = pytest.mark.mongod


@dataclass
class Tier:
    folder: Path
    ports: list[int]

    @property
    def members(self) -> list[str]:
        return [word for port in self.ports for word in ("--member", f"127.0.0.1:{port}")]

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/?replicaSet=kappa0"

    def secret(self, name: str, text: str, mode: int = 0o600) -> str:
        file = self.folder / name
        file.write_text(text)
        file.chmod(mode)
        return str(file)

    def initiate(self, *more: str, members: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        return tool(
            "initiate",
            *(self.members if members is None else members),
            *("--keyfile", str(self.folder / "key"), "--admin-password-file", str(self.folder / "admin")),
            *("--judge-password-file", str(self.folder / "judge"), *more),
        )

    def records(self, *more: str) -> subprocess.CompletedProcess[str]:
        return tool("records", "--uri", self.uri, "--password-file", str(self.folder / "judge"), *more)


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"kappa_lab.mongodb.{name}", *arguments],
        env=environment(), capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    """Two running members that were never initiated."""
    found = find_mongod()
    assert found
    made = Tier(tmp_path_factory.mktemp("tier"), [free_port(), free_port()])
    made.secret("key", secrets.token_hex(40) + "\n")
    made.secret("admin", "of the administrator\n")
    made.secret("judge", "of the judge\n")
    processes = []
    for port in made.ports:
        with (made.folder / f"{port}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [
                        *(sys.executable, "-m", "kappa_lab.mongodb.member", "--keyfile", str(made.folder / "key")),
                        *(
                            "--data",
                            str(made.folder / "data" / str(port)),
                            "--bind-ip",
                            "127.0.0.1",
                            "--port",
                            str(port),
                        ),
                    ],
                    env={**environment(), "KAPPA_MONGOD": found},
                    stdout=log,
                    stderr=log,
                )
            )
    try:
        yield made
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait(30)


def test_it_makes_a_set_with_users_and_a_second_time_changes_nothing(tier: Tier) -> None:
    for made in ("the replica set is new", "the replica set was there already"):
        ran = tier.initiate()
        assert ran.returncode == 0, ran.stderr
        assert made in ran.stdout
        assert ran.stderr == ""
    assert ran.stdout.count("was there already") == 3
    with MongoClient[Document](tier.uri, username="kappa_admin", password="of the administrator") as client:
        hello = client.admin.command("hello")
        assert hello["me"] == f"127.0.0.1:{tier.ports[0]}", "the first is preferred"
        states = [one["stateStr"] for one in client.admin.command("replSetGetStatus")["members"]]
        assert sorted(states) == ["PRIMARY", "SECONDARY"]
        for made in ("createUser", "updateUser"):
            client.kappa.command(made, "kappa_bot", pwd="x", roles=[{"role": "readWrite", "db": "kappa"}])
        for made in ("createRole", "updateRole"):
            client.kappa.command(made, "kappaBot", privileges=[], roles=[])
        client.kappa.Data.insert_one({"_id": 1, "updateId": 5, "properties": {"Popup_es": "un bache"}})
        client.kappa.Updates.insert_many([{"_id": 5}, {"_id": 6, "pending": True}])
        client.kappa.Replies.insert_one({"_id": "5:0"})
        client.kappa.Lease.insert_one({"_id": "poller", "epoch": 3, "holder": "node2"})
        for more in ("root", "userAdminAnyDatabase", "readWriteAnyDatabase"):
            with pytest.raises(OperationFailure) as caught:
                client.admin.command("grantRolesToUser", "kappa_admin", roles=[more])
            assert caught.value.code == 13
        with pytest.raises(OperationFailure) as caught:
            client.other.data.insert_one({})
        assert caught.value.code == 13


def test_what_the_judge_reads_and_that_it_can_change_nothing(tier: Tier, tmp_path: Path) -> None:
    assert tier.initiate().returncode == 0
    out = tmp_path / "records.json"
    ran = tier.records("--out", str(out))
    assert ran.returncode == 0, ran.stderr
    held = json.loads(out.read_text())
    assert held["places"] == [{"_id": "1", "updateId": 5, "text": "un bache", "creationDate": None}]
    assert (held["pending_updates"], held["unsent_replies"]) == (1, 1)
    assert held["lease"] == {"epoch": 3, "holder": "node2"}
    assert json.loads(tier.records().stdout) == {**held, "read_at": pytest.approx(held["read_at"], abs=30)}
    login: dict[str, Any] = {"username": "kappa_judge", "password": "of the judge", "authSource": "kappa"}
    with MongoClient[Document](tier.uri, **login) as client:
        for write in (client.kappa.Data.delete_one, client.kappa.Lease.insert_one, client.admin.other.insert_one):
            with pytest.raises(OperationFailure) as caught:
                write({})
            assert caught.value.code == 13


def test_records_are_whole_or_not_at_all(tier: Tier, tmp_path: Path) -> None:
    assert tier.initiate().returncode == 0
    out = tmp_path / "records.json"
    wrong = tier.secret("wrong", "not this one")
    nobody = f"mongodb://127.0.0.1:{free_port()}/?replicaSet=kappa0"
    for ran in (
        tier.records("--password-file", wrong, "--out", str(out)),
        tier.records("--uri", nobody, "--within", "0.5", "--out", str(out)),
        tier.records("--uri", "not mongodb", "--out", str(out)),
        tier.records("--uri", "mongodb://", "--out", str(out)),
        tier.records("--out", str(tmp_path / "no" / "such")),
        tier.records("--password-file", str(tmp_path / "missing"), "--out", str(out)),
        tier.records("--password-file", tier.secret("open", "x", 0o644), "--out", str(out)),
    ):
        assert ran.returncode == 1
        assert len(ran.stderr.splitlines()) == 1, ran.stderr
        assert ran.stdout == ""
        assert "not this one" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused_in_one_sentence(tier: Tier) -> None:
    assert tier.initiate().returncode == 0
    one = ["--member", f"127.0.0.1:{tier.ports[0]}"]
    other_key = tier.secret("other", secrets.token_hex(40))
    for ran, said in (
        (tier.initiate(members=one), "is already a member of kappa0/"),
        (tier.initiate("--set-name", "kappa1"), "not of kappa1/"),
        (tier.initiate("--keyfile", other_key), "the keyfile is refused"),
        (tier.initiate("--keyfile", tier.secret("open", "abcdefgh", 0o644)), "too open"),
        (tier.initiate("--judge-password-file", tier.secret("changed", "x")), "with another password"),
        (tier.initiate("--judge-password-file", tier.secret("empty", "")), "is empty"),
        (tier.initiate(members=["--member", "nonsense:x"]), "is not HOST:PORT"),
        (tier.initiate("--within", "0.5", members=["--member", f"127.0.0.1:{free_port()}"]), "Not in time"),
    ):
        assert ran.returncode == 1, ran.stdout
        assert said in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
        assert "Traceback" not in ran.stderr


class Reads(CommandListener):
    """The read concern of each command that reads."""

    def __init__(self) -> None:
        self.concerns: list[str | None] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "count"):
            self.concerns.append(event.command.get("readConcern", {}).get("level"))

    def succeeded(self, event: object) -> None: ...
    def failed(self, event: object) -> None: ...


def test_what_is_read_is_what_a_majority_has(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tier.initiate().returncode == 0
    reads = Reads()
    monkeypatch.setattr(records, "MongoClient", partial(MongoClient, event_listeners=[reads]))
    records.read(tier.uri, "kappa_judge", "of the judge")
    assert reads.concerns == ["majority"] * 4


def test_a_member_ends_gracefully_when_told_to(tmp_path: Path) -> None:
    port, key = free_port(), tmp_path / "key"
    key.write_text("abcdefgh")
    key.chmod(0o400)
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "kappa_lab.mongodb.member", "--keyfile", str(key)),
                *("--data", str(tmp_path / "data"), "--bind-ip", "127.0.0.1", "--port", str(port)),
            ],
            env=environment(),
            stdout=out,
        )
    try:
        until(lambda: "Waiting for connections" in log.read_text(), "mongod listens")
        assert Path(f"/proc/{process.pid}/exe").resolve().name == "mongod", "signals reach mongod itself"
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_what_a_member_lacks_is_one_sentence(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("abcdefgh")
    key.chmod(0o644)
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho 'error while loading shared libraries: libcurl.so.4' >&2\nexit 127\n")
    broken.chmod(0o755)
    for mongod, said in (
        (find_mongod() or "", "too open"),
        ("/no/such/mongod", "/no/such/mongod (KAPPA_MONGOD) cannot be run"),
        (str(broken), "libcurl.so.4. On Debian 12 it needs: libcurl4 libssl3 liblzma5"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "kappa_lab.mongodb.member", "--keyfile", str(key), "--data", str(tmp_path / "d")],
            env={**os.environ, **environment(), "KAPPA_MONGOD": mongod}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ran.returncode == 1
        assert said in ran.stderr
        assert len(ran.stderr.splitlines()) == 1


def test_the_packaged_mongod_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAPPA_MONGOD", raising=False)
    assert member.version(member.binary()).count(".") == 2
