"""The mongos agent's depth 20, its login, TLS and limits: as far as the shards, and no further than the deadline."""

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson
import pytest

from resource_agents.host import config_servers
from resource_agents.host.router import Link, hello
from resource_agents.host.scram import Conversation, Refused, log_in, prepared
from resource_agents.host.secret import secret
from resource_agents.host.sockets import Unanswered
from resource_agents.ocf.exits import Failure
from resource_agents.ocf.operation import Deadline
from tests.unit.resource_agents.running import Agents, recorded_pid
from tests.unit.resource_agents.test_agent_mongos import Router, free_port

Document = dict[str, Any]


@pytest.fixture
def router(agents: Agents, tmp_path: Path) -> Iterator[Router]:
    router = Router(agents, tmp_path)
    yield router
    assert router.run("stop").code == 0


@contextmanager
def server(answer: Callable[[Document], Document]) -> Iterator[int]:
    """A MongoDB server on loopback, as much of one as `answer` makes of it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    while head := client.recv(16):
                        body = client.recv(struct.unpack("<i", head[:4])[0] - 16)
                        reply = bson.encode(answer(bson.decode(body[5:])))
                        number = struct.unpack("<i", head[4:8])[0]
                        client.sendall(struct.pack("<iiiiIB", 21 + len(reply), 7, number, 2013, 0, 0) + reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(10)


SECONDARY: Document = {"ok": 1.0, "isWritablePrimary": False, "secondary": True}
KNOWS: Document = {**SECONDARY, "primary": "c1:27019"}
IS: Document = {"ok": 1.0, "isWritablePrimary": True, "primary": "c0:27019"}


def test_depth_20_is_well_when_shards_answer_and_config_servers_have_a_primary(router: Router) -> None:
    with server(lambda asked: IS) as port:
        configdb = f"cfg/127.0.0.1:{port}"
        assert router.run("start", configdb=configdb).code == 0
        ended = router.run("monitor", level=20, configdb=configdb)
        assert (ended.code, ended.err) == (0, "")


def always(reply: Document) -> Callable[[Document], Document]:
    return lambda asked: reply


@pytest.mark.parametrize(
    ("says", "state"),
    [
        ([IS], config_servers.PRIMARY),
        ([SECONDARY, KNOWS], config_servers.PRIMARY),
        ([None, IS], config_servers.PRIMARY),
        ([SECONDARY, None, SECONDARY], config_servers.NO_PRIMARY),
        ([None, None], config_servers.SILENT),
    ],
)
def test_config_servers_are_asked_in_turn(says: "list[Document | None]", state: str) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        ports = [free_port() if one is None else stack.enter_context(server(always(one))) for one in says]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        found, seen = config_servers.look(f"cfg/{hosts}", Deadline(5), None)
        assert found == state
        assert f"127.0.0.1:{ports[-1]}" in seen


def test_a_config_server_that_hangs_leaves_time_for_the_next() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs, server(lambda asked: IS) as port:
        hosts = f"127.0.0.1:{hangs.getsockname()[1]},127.0.0.1:{port}"
        assert config_servers.look(f"cfg/{hosts}", Deadline(1), None)[0] == config_servers.PRIMARY


def test_addresses_of_config_servers() -> None:
    assert config_servers.members("cfg/a:1,b,[::1]:2,[fe80::1]") == [
        ("a", 1), ("b", 27017), ("::1", 2), ("fe80::1", 27017)
    ]  # fmt: skip


def test_no_primary_is_degraded_and_unreachable_shards_are_failed(router: Router) -> None:
    away: Document = {"ok": 0.0, "code": 133, "errmsg": "Could not find host matching read preference"}
    with server(lambda asked: SECONDARY) as without, server(lambda asked: IS) as well:
        assert router.run("start").code == 0

        def look(port: int, **more: Any) -> tuple[int, str]:
            ended = router.run("monitor", level=20, configdb=f"cfg/127.0.0.1:{port}", answer_within="300ms", **more)
            return ended.code, ended.reason

        code, reason = look(without)
        assert code == 190, "moving it would not help"
        assert "no primary" in reason
        router.shards_say(away)
        code, reason = look(without)
        assert code == 190
        assert "Could not find host" in reason
        code, reason = look(well)
        assert code == 1, "law 5: a router that cannot reach its shards is failed"
        assert "Could not find host" in reason
        assert look(free_port())[0] == 1, "this node may be cut off"
        assert router.run("monitor", level=10).code == 0, "the handshake alone knows nothing of it"
        router.shards_say({"ok": 1.0})
        code, reason = look(free_port())
        assert code == 190
        assert "no config server answers this node" in reason


def test_a_command_that_does_not_come_back_in_time_is_a_failure(router: Router) -> None:
    with server(lambda asked: IS) as port:
        configdb = f"cfg/127.0.0.1:{port}"
        options = f"--reply {router.reply} --slow 1.5"
        assert router.run("start", configdb=configdb, options=options).code == 0
        ended = router.run("monitor", level=20, configdb=configdb, options=options, answer_within="300ms")
        assert ended.code == 1
        assert "does not answer in time" in ended.reason
        assert "0.3 s" in ended.reason
        assert ended.seconds < 1.4


def test_a_router_that_asks_for_a_login_is_not_blamed_for_ours(router: Router) -> None:
    with server(lambda asked: IS) as port:
        configdb = f"cfg/127.0.0.1:{port}"
        assert router.run("start", configdb=configdb).code == 0
        router.shards_say({"ok": 0.0, "code": 13, "errmsg": "command listDatabases requires authentication"})
        assert router.run("monitor", level=20, configdb=configdb).code == 0


@pytest.mark.parametrize(("mode", "content"), [(0o644, "word\n"), (0o600, ""), (0o600, None), (0o600, b"\xff")])
def test_a_password_that_cannot_be_had_is_degraded(
    router: Router, tmp_path: Path, mode: int, content: "str | bytes | None"
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
    with server(lambda asked: IS) as port:
        more: Document = {"configdb": f"cfg/127.0.0.1:{port}", "monitor_user": "watch"}
        more["monitor_password_file"] = file
        assert router.run("start", **more).code == 0
        ended = router.run("monitor", level=20, **more)
        assert ended.code == 190
        assert str(file) in ended.reason
        assert "word" not in ended.err.replace("password", "")


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"configdb": "127.0.0.1:27019"}, "name/host:port"),
        ({"configdb": "cfg/a:x"}, "no valid host and port"),
        ({"tls": "requireTLS"}, "tls_certificate_key_file"),
        ({"tls_ca_file": "/etc/ssl/ca.pem"}, "tls=disabled"),
        ({"monitor_user": "watch"}, "only one is set"),
        ({"open_files": "-1"}, "open_files=-1"),
    ],
)
def test_what_does_not_fit_together_is_refused(router: Router, parameters: Document, says: str) -> None:
    ended = router.run("validate-all", **parameters)
    assert ended.code == 6
    assert says in ended.reason


def test_missing_files_are_hard_for_this_node_only(router: Router) -> None:
    tls: Document = {"tls": "requireTLS", "tls_certificate_key_file": "/nonexistent/key.pem"}
    for action in ("start", "validate-all"):
        ended = router.run(action, level=10, **tls)
        assert ended.code == 5
        assert "/nonexistent/key.pem" in ended.reason
    assert router.run("validate-all", **tls).code == 0, "at level 0 the host is not looked at"


@pytest.mark.parametrize("wanted", [512, 1048576])
def test_it_runs_with_the_limit_it_was_given_as_far_as_the_host_allows(router: Router, wanted: int) -> None:
    ended = router.run("start", open_files=wanted)
    assert ended.code == 0
    limits = Path(f"/proc/{recorded_pid(router.agents, 'mongos')}/limits").read_text()
    granted = int(next(line for line in limits.splitlines() if line.startswith("Max open files")).split()[3])
    assert granted == wanted or (granted < wanted and f"open {granted} files, not {wanted}" in ended.err)


# TLS


def issue(directory: Path, name: str, ca: "Path | None" = None) -> Path:
    """A certificate and its key in one file, from an authority or self-signed."""
    key, certificate, both = (directory / f"{name}.{end}" for end in ("key", "crt", "pem"))
    signer = ["-CA", str(ca), "-CAkey", str(ca)] if ca else []
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(certificate), *signer],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_text(key.read_text() + certificate.read_text())
    return both


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pem")
    authority = issue(directory, "authority")
    issue(directory, "router", authority)
    issue(directory, "stranger")
    return directory


def test_with_tls_the_handshake_is_spoken_over_it(router: Router, pem: Path) -> None:
    tls: Document = {
        "tls": "requireTLS",
        "tls_certificate_key_file": pem / "router.pem",
        "tls_ca_file": pem / "authority.crt",
    }
    assert router.run("start", **tls).code == 0
    said = router.log.read_text()
    for words in (
        f"--tlsCertificateKeyFile {pem}/router.pem",
        f"--tlsCAFile {pem}/authority.crt",
        "--tlsMode requireTLS",
    ):
        assert words in said
    assert router.run("monitor", level=10, **tls).code == 0
    ended = router.run("monitor", level=10, **{**tls, "tls_ca_file": pem / "stranger.crt"})
    assert ended.code == 1
    assert "does not agree to TLS" in ended.reason
    ended = router.run("monitor", level=10, **{**tls, "tls_certificate_key_file": pem / "authority.crt"})
    assert ended.code == 1
    assert "authority.crt is not usable" in ended.reason


def test_a_server_without_tls_is_told_from_one_with_it(pem: Path) -> None:
    from resource_agents.host.tls import Files

    silent = "does not agree to TLS: does not answer in time"
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(Unanswered, match=silent):
        hello("127.0.0.1", listening.getsockname()[1], Deadline(0.3), Files("", str(pem / "authority.crt")))


# The login


def test_the_example_of_rfc_7677() -> None:
    conversation = Conversation("user", "pencil", nonce="rOprNGfwEbeRWgbNEkqO")
    assert conversation.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    said = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    assert conversation.final(said) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    conversation.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(ValueError, match="no proof"):
        conversation.verify(b"v=" + b"A" * 43 + b"=")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"r=abc,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=n,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=nmore,s=!,i=4096",
        b"r=nmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
        b"r=nmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999",
        b"r=nmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=x",
        b"\xff\xfe",
    ],
)
def test_a_hostile_server_learns_nothing(said: bytes) -> None:
    heard = []

    def answer(asked: Document) -> Document:
        heard.append(asked)
        return {"ok": 1.0, "conversationId": 1, "done": True, "payload": said.replace(b"n", b"n", 1)}

    with server(answer) as port, Link("127.0.0.1", port, Deadline(5)) as link, pytest.raises(Unanswered, match="SCRAM"):
        log_in(link, "watch", "secret word", "admin")
    assert len(heard) == 1
    assert b"secret" not in heard[0]["payload"]


def test_names_and_passwords_are_prepared_as_the_rfcs_have_it() -> None:
    assert Conversation("a=b,c", "x", "n").first() == b"n,,n=a=3Db=2Cc,r=n"
    assert prepared("I\u00adX") == b"IX"
    assert prepared("\u00aa\u2168") == b"aIX"
    assert prepared("a\u00a0b") == b"a b"


def test_a_secret_file_that_others_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\nand more\n")
    file.chmod(0o640)
    with pytest.raises(Failure, match="can be read by others") as raised:
        secret(str(file), "password file")
    assert raised.value.code == 4
    assert "hunter2" not in raised.value.reason
    file.chmod(0o600)
    assert secret(str(file), "password file") == "hunter2"
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(Failure, match="no regular file"):
        secret(str(tmp_path / "pipe"), "password file")


@pytest.mark.mongod
def test_a_real_server_lets_us_in_and_tells_wrong_from_right(tmp_path: Path) -> None:
    from tests.mongod import ReplicaSet

    with ReplicaSet(tmp_path, members=1) as mongo:
        with mongo.client() as client:
            client.admin.command("createUser", "watch=,x", pwd="p\u00e4ss\u00a0word", roles=[])
        port = mongo.members[0].port
        listing: list[tuple[str, object]] = [
            ("listDatabases", 1), ("nameOnly", True), ("filter", [("name", "admin")]), ("maxTimeMS", 1000),
            ("$db", "admin"), ("$readPreference", [("mode", "primaryPreferred")]),
        ]  # fmt: skip
        with Link("127.0.0.1", port, Deadline(10)) as link:
            assert link.ask(listing)["code"] == 13, "without a login"
            with pytest.raises(Refused):
                log_in(link, "watch=,x", "wrong", "admin")
        with Link("127.0.0.1", port, Deadline(10)) as link:
            log_in(link, "watch=,x", "p\u00e4ss\u00a0word", "admin")
            assert link.ask(listing)["ok"] == 1, "a user without any role may"
