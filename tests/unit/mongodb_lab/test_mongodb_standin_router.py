"""The router stand-in against a member with knobs: greetings, commands, changes of the primary, bad clients."""

import random
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import bson
import pytest

from tests.unit.mongodb_lab.peers import (
    EXHAUST_ALLOWED,
    MORE_TO_COME,
    OP_MSG,
    FakeMember,
    StandIn,
    lab,
    message,
    send,
    until,
)

NOT_A_ROUTERS = {
    "setName", "setVersion", "hosts", "me", "primary", "secondary", "electionId", "lastWrite", "topologyVersion",
    "compression",
}  # fmt: skip

PATIENT = ("--setParameter", "defaultFindReplicaSetHostTimeoutMS=60000")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeMember, StandIn]]:
    with lab(tmp_path_factory.mktemp("calm")) as both:
        yield both


@pytest.fixture
def calm(lasting: tuple[FakeMember, StandIn]) -> Iterator[tuple[FakeMember, StandIn]]:
    """For tests that leave both standing."""
    member, router = lasting
    yield lasting
    member.replies.clear()
    member.asked.clear()
    assert not router.ended()
    assert "Traceback" not in router.said()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[FakeMember, StandIn]]:
    with lab(tmp_path) as both:
        yield both


def test_hello_says_isdbgrid_and_nothing_of_a_replica_set(calm: tuple[FakeMember, StandIn]) -> None:
    with calm[1].client() as client:
        said = client.ask({"hello": 1})
    assert said["msg"] == "isdbgrid"
    assert said["isWritablePrimary"] is True
    assert said["maxWireVersion"] == 17
    assert said["maxBsonObjectSize"] == 16777216
    assert said["ok"] == 1
    assert not NOT_A_ROUTERS & set(said)


@pytest.mark.parametrize("name", ["isMaster", "ismaster"])
def test_an_old_greeting_is_answered_in_kind(calm: tuple[FakeMember, StandIn], name: str) -> None:
    with calm[1].client() as client:
        said = client.ask_legacy({name: 1, "helloOk": True})
        wrapped = client.ask_legacy({"$query": {name: 1}, "$readPreference": {"mode": "nearest"}})
    for one in (said, wrapped):
        assert one["msg"] == "isdbgrid"
        assert one["ismaster"] is True
        assert not NOT_A_ROUTERS & set(one)
    assert said["helloOk"] is True
    assert "helloOk" not in wrapped


def test_a_greeting_that_would_be_awaited_is_answered_at_once(calm: tuple[FakeMember, StandIn]) -> None:
    version = {"processId": bson.ObjectId(), "counter": bson.Int64(0)}
    began = time.monotonic()
    with calm[1].client() as client:
        said = client.ask({"hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 9000}, EXHAUST_ALLOWED)
    assert said["msg"] == "isdbgrid"
    assert time.monotonic() - began < 5


def test_a_login_passes_through_the_greeting(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    with router.client() as client:
        first = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,,n=u,r=x", "db": "admin"}
        said = client.ask({"hello": 1, "saslSupportedMechs": "kappa.u", "speculativeAuthenticate": first})
        assert said["saslSupportedMechs"] == ["SCRAM-SHA-256"]
        assert said["speculativeAuthenticate"]["conversationId"] == 1
        assert said["msg"] == "isdbgrid"
        assert not NOT_A_ROUTERS & set(said)
        before = member.connections
        client.ask({"saslContinue": 1})
        assert member.connections == before, "the login went on over another connection than it began on"


def test_during_an_election_a_greeting_still_names_the_users_mechanisms(pair: tuple[FakeMember, StandIn]) -> None:
    """Without them a driver would guess, log in the wrong way, and take an election for a wrong password."""
    member, router = pair
    asked = {"hello": 1, "saslSupportedMechs": "kappa.u", "speculativeAuthenticate": {"saslStart": 1}}
    with router.client() as client:
        client.ask(asked)
    member.become(primary=False)
    until(lambda: '"primary": null' in router.said(), "the stand-in has seen it")
    with router.client() as client:
        said = client.ask(asked)
        other = client.ask({**asked, "saslSupportedMechs": "kappa.other"})
    assert said["saslSupportedMechs"] == ["SCRAM-SHA-256"]
    assert set(other["saslSupportedMechs"]) == {"SCRAM-SHA-1", "SCRAM-SHA-256"}
    assert "speculativeAuthenticate" not in said
    assert said["msg"] == "isdbgrid"


def test_commands_reach_the_primary_as_they_are(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    with router.client() as client:
        assert client.ask({"insert": "places", "documents": [{"a": 1}]})["echo"] == "insert"
        assert client.ask({"find": "places"})["echo"] == "find"
    asked = [one for one in member.asked if next(iter(one)) == "insert"]
    assert asked == [{"insert": "places", "documents": [{"a": 1}], "$db": "admin"}]


def test_one_connection_to_the_primary_for_each_client(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    with router.client() as one, router.client() as other:
        before = member.connections
        for client in (one, other, one, other):
            client.ask({"find": "places"})
        assert member.connections == before + 2


def test_greetings_and_pings_cost_the_primary_nothing(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    before = member.connections
    with router.client() as client:
        client.ask({"hello": 1})
        assert client.ask({"ping": 1})["ok"] == 1
        assert client.ask({"isdbgrid": 1})["isdbgrid"] == 1
    assert member.connections == before


def test_a_request_that_wants_no_answer_gets_none(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    with router.client() as client:
        client.tell({"insert": "places", "writeConcern": {"w": 0}}, MORE_TO_COME)
        assert client.ask({"find": "places"})["echo"] == "find"
    assert [next(iter(one)) for one in member.asked][-2:] == ["insert", "find"]


def test_leave_to_answer_in_many_replies_is_taken_back(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    with router.client() as client:
        client.ask({"getMore": bson.Int64(1)}, EXHAUST_ALLOWED)
    assert member.flags[-1] == 0


def test_a_command_in_a_second_section_is_found(calm: tuple[FakeMember, StandIn]) -> None:
    _, router = calm
    rows = b"documents\0" + bson.encode({"a": 1})
    sections = b"\1" + struct.pack("<i", 4 + len(rows)) + rows + b"\0" + bson.encode({"ping": 1, "$db": "admin"})
    with router.client() as client:
        client._request = 5
        send(client.sock, OP_MSG, struct.pack("<I", 0) + sections, 5)
        assert client.hear() == {"ok": 1.0}


# -- no primary


def test_without_a_primary_it_greets_and_pings_and_commands_fail_in_time(tmp_path: Path) -> None:
    with lab(tmp_path, primary=False) as (_, router), router.client(timeout=4) as client:
        assert client.ask({"hello": 1})["msg"] == "isdbgrid"
        assert client.ask({"ping": 1})["ok"] == 1
        began = time.monotonic()
        said = client.ask({"find": "places"})
        took = time.monotonic() - began
        assert (said["ok"], said["code"], said["codeName"]) == (0, 133, "FailedToSatisfyReadPreference")
        assert 'Could not find host matching read preference { mode: "primary" } for set kappa0' in said["errmsg"]
        assert took > 0.4, "it waits for a primary as long as it was told to, then says so"
        assert client.ask({"ping": 1})["ok"] == 1, "the connection lives on"


def test_waiting_for_a_primary_ends_with_the_commands_own_time(tmp_path: Path) -> None:
    with lab(tmp_path, *PATIENT, primary=False) as (_, router), router.client() as client:
        said = client.ask({"find": "places", "maxTimeMS": 200})
    assert (said["ok"], said["code"], said["codeName"]) == (0, 50, "MaxTimeMSExpired")


def test_a_command_waits_for_the_election_and_goes_to_the_new_primary(tmp_path: Path) -> None:
    with lab(tmp_path, *PATIENT, primary=False) as (member, router), router.client() as client:
        client.tell({"find": "places"})
        member.become(primary=True)
        assert client.hear()["echo"] == "find"


def test_a_client_that_leaves_is_not_kept_waiting_for_a_primary(tmp_path: Path) -> None:
    with lab(tmp_path, *PATIENT, primary=False) as (_, router), router.client() as client:
        assert client.ask({"endSessions": []})["ok"] == 1


# -- the primary changes


def test_an_idle_connection_ends_when_the_primary_steps_down(pair: tuple[FakeMember, StandIn]) -> None:
    member, router = pair
    with router.client(timeout=3) as client, router.client() as monitor:
        client.ask({"find": "places"})
        monitor.ask({"hello": 1})
        member.become(primary=False)
        assert client.closed()
        assert monitor.ask({"hello": 1})["msg"] == "isdbgrid", "a connection that only greets has no part in it"


def test_an_idle_connection_ends_when_the_primary_is_lost(pair: tuple[FakeMember, StandIn]) -> None:
    member, router = pair
    with router.client() as client:
        client.ask({"find": "places"})
        member.stop()
        assert client.closed()


def test_a_command_whose_primary_is_lost_ends_with_its_connection(pair: tuple[FakeMember, StandIn]) -> None:
    """What became of it nobody knows: no answer may claim either."""
    member, router = pair
    member.replies["insert"] = "drop"
    with router.client() as client:
        client.tell({"insert": "places"})
        assert client.closed()


@pytest.mark.parametrize("code", [10107, 13435, 11602, 189, 11600, 91])
def test_a_refusal_by_a_former_primary_makes_the_driver_connect_again(
    calm: tuple[FakeMember, StandIn], code: int
) -> None:
    member, router = calm
    member.replies["insert"] = {
        "ok": 0.0, "errmsg": "not primary", "code": code, "codeName": "X", "errorLabels": ["RetryableWriteError"],
    }  # fmt: skip
    with router.client() as client:
        said = client.ask({"insert": "places"})
        assert (said["ok"], said["code"], said["codeName"]) == (0, 91, "ShutdownInProgress")
        assert said["errorLabels"] == ["RetryableWriteError"]
        assert "not primary" in said["errmsg"]
        assert f"127.0.0.1:{member.port}" in said["errmsg"]
        assert client.closed()
    with router.client() as client:
        assert client.ask({"find": "places"})["echo"] == "find", "the member was asked anew, and is primary after all"


def test_a_write_concern_that_a_step_down_ended_counts_as_well(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    member.replies["insert"] = {"ok": 1.0, "n": 1, "writeConcernError": {"code": 189, "errmsg": "stepped down"}}
    with router.client() as client:
        said = client.ask({"insert": "places"})
        assert said["writeConcernError"]["code"] == 91
        assert client.closed()


def test_other_errors_pass_as_they_are(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    wrong = {"ok": 0.0, "errmsg": "E11000", "code": 11000, "codeName": "DuplicateKey"}
    member.replies["insert"] = wrong
    member.replies["update"] = {"ok": 1.0, "writeConcernError": {"code": 64, "errmsg": "timed out"}}
    with router.client() as client:
        assert client.ask({"insert": "places"}) == wrong
        assert client.ask({"update": "places"})["writeConcernError"]["code"] == 64
        assert client.ask({"find": "places"})["ok"] == 1


def test_two_that_call_themselves_primary_are_told_apart_by_their_election(tmp_path: Path) -> None:
    with FakeMember(election=9) as new, FakeMember(election=4) as old:
        hosts = new.hosts = old.hosts = [f"127.0.0.1:{member.port}" for member in (new, old)]
        with StandIn(tmp_path, f"kappa0/{hosts[1]},{hosts[0]}") as router:
            until(lambda: f'"primary": "{hosts[0]}"' in router.said(), "the later election is known")
            until(lambda: old.greeted >= 2, "the other has been heard, and is asked again")
            asked = old.greeted
            old.become(primary=True)  # it says so once more, of an election between the two
            until(lambda: old.greeted > asked, "and is heard")
            with router.client() as client:
                client.ask({"insert": "places"})
        assert [next(iter(one)) for one in new.asked].count("insert") == 1
        assert [next(iter(one)) for one in old.asked].count("insert") == 0


def test_members_that_the_seeds_do_not_name_are_found(tmp_path: Path) -> None:
    with FakeMember() as primary, FakeMember(primary=False) as secondary:
        hosts = primary.hosts = secondary.hosts = [f"127.0.0.1:{member.port}" for member in (primary, secondary)]
        with StandIn(tmp_path, f"kappa0/{hosts[0]}", *PATIENT) as router:
            with router.client() as client:
                client.ask({"find": "places"})
                primary.stop()
                assert client.closed()
            with router.client() as client:
                client.tell({"insert": "places"})
                secondary.become(primary=True)
                assert client.hear()["echo"] == "insert"
        assert [next(iter(one)) for one in secondary.asked].count("insert") == 1


# -- clients that are not well


def test_hostile_bytes_end_their_own_connection_only(calm: tuple[FakeMember, StandIn]) -> None:
    _, router = calm
    dice = random.Random(7)
    with router.client() as bystander:
        bystander.ask({"find": "places"})
        hostile = [
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            struct.pack("<iiii", -5, 1, 0, OP_MSG),
            struct.pack("<iiii", 15, 1, 0, OP_MSG),
            struct.pack("<iiii", 48_000_001, 1, 0, OP_MSG),
            struct.pack("<iiii", 2_147_483_647, 1, 0, OP_MSG) + b"x" * 100,
            struct.pack("<iiii", 16, 1, 0, OP_MSG),
            struct.pack("<iiii", 16, 1, 0, 2012),
            struct.pack("<iiii", 20, 1, 0, 2002) + b"abcd",
            struct.pack("<iiiiIB", 21, 1, 0, OP_MSG, 0, 0),
            struct.pack("<iiiiIBi", 25, 1, 0, OP_MSG, 0, 0, 999),
            struct.pack("<iiiiIBi", 25, 1, 0, OP_MSG, 0, 1, -3),
            struct.pack("<iiiiIBi", 25, 1, 0, OP_MSG, 0, 7, 4),
            struct.pack("<iiii", 24, 1, 0, 2004) + b"noendnop",
            *(struct.pack("<iiii", 16 + 40, 1, 0, OP_MSG) + dice.randbytes(40) for _ in range(50)),
        ]
        for data in hostile:
            with router.client() as client:
                client.sock.sendall(data)
                client.sock.shutdown(socket.SHUT_WR)
                assert client.closed(), data
        assert bystander.ask({"find": "places"})["ok"] == 1
    assert not router.ended()
    assert "Traceback" not in router.said()


def test_a_command_that_is_no_bson_inside_is_not_the_routers_end(calm: tuple[FakeMember, StandIn]) -> None:
    _, router = calm
    broken = bson.encode({"hello": 1, "x": "yyyy"}).replace(b"yyyy", b"\xff\xfe\xff\xfe")
    with router.client() as client:
        send(client.sock, OP_MSG, struct.pack("<IB", 0, 0) + broken, 1)
        assert client.closed()
    with router.client() as client:
        assert client.ask({"hello": 1})["msg"] == "isdbgrid"


def test_half_a_message_holds_up_nobody(calm: tuple[FakeMember, StandIn]) -> None:
    _, router = calm
    with router.client() as half, router.client() as client:
        half.sock.sendall(struct.pack("<iiii", 40_000_000, 1, 0, OP_MSG) + b"x" * 1000)
        assert client.ask({"find": "places"})["ok"] == 1


def test_a_message_in_many_pieces_is_one_message(calm: tuple[FakeMember, StandIn]) -> None:
    _, router = calm
    payload = message({"find": "places", "$db": "admin"})
    frame = struct.pack("<iiii", 16 + len(payload), 5, 0, OP_MSG) + payload
    with router.client() as client:
        client._request = 5
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(frame)):
            client.sock.sendall(frame[at : at + 1])
        assert client.hear()["echo"] == "find"
        client.sock.sendall(frame + frame)
        assert client.hear()["ok"] == client.hear()["ok"] == 1


def test_large_messages_pass_both_ways(calm: tuple[FakeMember, StandIn]) -> None:
    member, router = calm
    member.replies["find"] = {"ok": 1.0, "data": b"z" * 15_000_000}
    with router.client() as client:
        assert len(client.ask({"find": "places", "data": b"y" * 15_000_000})["data"]) == 15_000_000
    assert len(member.asked[-1]["data"]) == 15_000_000


def test_a_client_that_goes_takes_its_command_with_it(pair: tuple[FakeMember, StandIn]) -> None:
    member, router = pair
    member.replies["find"] = "hang"
    with router.client() as other:
        other.ask({"insert": "places"})
        opened = len(member.open)
        with router.client() as client:
            client.tell({"find": "places"})
            until(lambda: any("find" in one and one["find"] == "places" for one in member.asked), "the member has it")
            assert len(member.open) == opened + 1
        until(lambda: member.abandoned() == 1, "the connection to the primary ends, while the member is still at work")
        assert other.ask({"insert": "places"})["ok"] == 1


def test_many_connections_at_once(calm: tuple[FakeMember, StandIn]) -> None:
    _, router = calm
    clients = [router.client() for _ in range(200)]
    try:
        for client in clients:
            client.tell({"hello": 1})
        assert all(client.hear()["msg"] == "isdbgrid" for client in clients)
        for client in clients[::4]:
            client.tell({"find": "places"})
        assert all(client.hear()["ok"] == 1 for client in clients[::4])
    finally:
        for client in clients:
            client.close()


# -- its own end, and its next beginning


def test_it_ends_cleanly_with_clients_connected(pair: tuple[FakeMember, StandIn]) -> None:
    member, router = pair
    member.replies["aggregate"] = "hang"
    with router.client() as idle, router.client() as busy:
        idle.ask({"find": "places"})
        busy.tell({"aggregate": "places"})
        until(lambda: any("aggregate" in one for one in member.asked), "the member works on it")
        assert router.terminate() == 0
        assert idle.closed()
        assert busy.closed()
    member.release()
    assert "Traceback" not in router.said()


def test_as_mongos_it_goes_on_serving_for_a_while_when_told_to_end(tmp_path: Path) -> None:
    with lab(tmp_path, "--setParameter", "mongosShutdownTimeoutMillisForSignaledShutdown=800") as (_, router):
        assert router.process
        with router.client() as client:
            client.ask({"find": "places"})
            router.process.send_signal(signal.SIGTERM)
            until(lambda: client.ask({"hello": 1})["ok"] == 0, "its greeting says that it goes")
            said = client.ask({"hello": 1})
            assert (said["code"], said["codeName"]) == (91, "ShutdownInProgress")
            assert 0 < said["remainingQuiesceTimeMillis"] <= 800
            assert client.ask({"find": "places"})["ok"] == 1
            assert not router.ended()
        assert router.process.wait(10) == 0


def test_it_starts_again_on_the_same_port_at_once(tmp_path: Path) -> None:
    with lab(tmp_path) as (member, router):
        with router.client() as client:
            client.ask({"find": "places"})
            router.stop()
            assert client.closed()
        with StandIn(tmp_path, f"kappa0/127.0.0.1:{member.port}", port=router.port) as again, again.client() as client:
            assert client.ask({"find": "places"})["echo"] == "find"
