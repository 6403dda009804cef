"""The uplink agent with real sockets, and a stand-in for Pacemaker's attrd_updater that keeps what it is told."""

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.resource_agents.running import Agents, Ended, finish, until

UPDATER = """#!/bin/sh
# --name NAME --update VALUE | --name NAME --delete
echo "$*" >>{directory}/calls
test -e {directory}/broken && {{ echo "Could not connect to attribute manager" >&2; exit 102; }}
test -e {directory}/killing && kill -9 $PPID
case $3 in
  --update) echo "$4" >{directory}/held/$2 ;;
  --delete) rm -f {directory}/held/$2 ;;
esac
"""


class Server:
    """Listens on loopback and treats each connection as told. `says` None: never answers."""

    def __init__(self, says: bytes | None = b"") -> None:
        self.says = says
        self.asked = 0
        self.tls: ssl.SSLContext | None = None
        self._listening: socket.socket | None = None
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = int(server.getsockname()[1])

    def up(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def down(self) -> None:
        if self._listening:
            # Closing alone does not wake who is in accept().
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None

    def _serve(self, listening: socket.socket) -> None:
        kept = []
        while True:
            try:
                link, _ = listening.accept()
            except OSError:
                return
            self.asked += 1
            kept.append(link)
            if self.says is not None:
                with contextlib.suppress(OSError):
                    link.settimeout(5)
                    if self.tls:
                        link = self.tls.wrap_socket(link, server_side=True)
                    if self.says:
                        link.recv(4096)
                        link.sendall(self.says)
                    link.close()


def hello(msg: bytes) -> bytes:
    document = b"\x01ok\0" + struct.pack("<d", 1) + b"\x02msg\0" + struct.pack("<i", len(msg) + 1) + msg + b"\0"
    body = b"\0\0\0\0\0" + struct.pack("<i", len(document) + 5) + document + b"\0"
    return struct.pack("<iiii", 16 + len(body), 2, 1, 2013) + body


class Uplink:
    def __init__(self, agents: Agents, directory: Path) -> None:
        self.agents = agents
        self.directory = directory
        (directory / "held").mkdir()
        self.updater = directory / "attrd_updater"
        self.updater.write_text(UPDATER.format(directory=directory))
        self.updater.chmod(0o755)
        self.telegram = Server()
        self.router = Server(hello(b"isdbgrid"))

    def run(self, action: str, level: int = 0, interval_s: float = 5, timeout_s: float = 20, **more: object) -> Ended:
        return self.agents.run(
            "uplink", action, self.parameters(**more), level=level, interval_s=interval_s, timeout_s=timeout_s
        )

    def parameters(self, **more: object) -> dict[str, object]:
        return {
            "telegram_url": f"http://127.0.0.1:{self.telegram.port}/bot",
            "router": f"127.0.0.1:{self.router.port}",
            "updater": self.updater,
            "answer_within": "500ms",
            "dampen": "1h",
            **more,
        }

    def held(self) -> dict[str, str]:
        return {path.name: path.read_text().strip() for path in (self.directory / "held").iterdir()}

    def calls(self) -> list[str]:
        calls = self.directory / "calls"
        found = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return found

    def reached(self) -> tuple[str | None, str | None]:
        held = self.held()
        return held.get("kappa-telegram"), held.get("kappa-router")


@pytest.fixture
def uplink(agents: Agents, tmp_path: Path) -> Iterator[Uplink]:
    uplink = Uplink(agents, tmp_path)
    uplink.telegram.up()
    uplink.router.up()
    yield uplink
    uplink.telegram.down()
    uplink.router.down()


def test_it_keeps_its_attributes_and_stop_removes_them(uplink: Uplink) -> None:
    assert uplink.run("monitor").code == 7
    assert uplink.run("validate-all", level=10).code == 0
    assert uplink.held() == {}
    ended = uplink.run("start")
    assert ended.code == 0, ended
    assert uplink.reached() == ("1", "1")
    assert int(uplink.held()["kappa-latency-ms"]) < 500
    assert f"kappa-telegram is now 1: 127.0.0.1:{uplink.telegram.port} answered" in ended.err
    assert uplink.run("start").code == 0
    assert uplink.run("monitor").code == 0
    assert uplink.run("stop").code == 0
    assert uplink.held() == {}
    assert uplink.run("monitor").code == 7
    assert uplink.run("stop").code == 0
    assert not list(uplink.agents.state.iterdir())


def test_nothing_is_started_where_nothing_changed(uplink: Uplink) -> None:
    # Law 10: attrd_updater is a process, and a monitor runs every few seconds for years.
    assert uplink.run("start").code == 0
    uplink.calls()
    for _ in range(3):
        assert uplink.run("monitor", results=9).code == 0
    assert uplink.calls() == []


def test_what_cannot_be_reached_is_no_failure_of_the_resource(uplink: Uplink) -> None:
    uplink.telegram.down()
    uplink.router.down()
    assert uplink.run("start").code == 0, "a node without uplink starts it all the same, and says 0"
    assert uplink.held() == {"kappa-telegram": "0", "kappa-router": "0"}
    assert uplink.run("monitor").code == 0
    uplink.telegram.up()
    uplink.router.up()
    ended = uplink.run("monitor", results=1)
    assert ended.code == 0
    assert uplink.reached() == ("1", "1")
    assert "kappa-latency-ms" in uplink.held()
    uplink.telegram.down()
    ended = uplink.run("monitor", results=1)
    assert ended.code == 0
    assert uplink.reached() == ("0", "1")
    assert "kappa-latency-ms" not in uplink.held()
    assert "connection refused" in ended.err


def test_an_attribute_changes_only_after_so_many_equal_results(uplink: Uplink) -> None:
    assert uplink.run("start").code == 0
    uplink.telegram.down()
    for _ in range(2):
        assert uplink.run("monitor", results=3, router="none").code == 0
        assert uplink.reached()[0] == "1"
    uplink.telegram.up()
    assert uplink.run("monitor", results=3).code == 0
    uplink.telegram.down()
    for expected in ("1", "1", "0"):
        assert uplink.run("monitor", results=3).code == 0
        assert uplink.reached()[0] == expected, "a good result between begins the count anew"


def test_or_after_so_long_without_the_old_value(uplink: Uplink) -> None:
    assert uplink.run("start").code == 0
    uplink.telegram.down()
    began = time.monotonic()
    assert uplink.run("monitor", results=1000, dampen="600ms").code == 0
    assert uplink.reached()[0] == "1"
    until(lambda: (uplink.run("monitor", results=1000, dampen="600ms").code, uplink.reached()[0]) == (0, "0"), 5)
    assert time.monotonic() - began >= 0.6


def test_a_router_counts_only_while_the_data_tier_behind_it_is_reached(uplink: Uplink) -> None:
    # A router's handshake comes out of its own head: what it routes to may be out of reach from this node.
    member, gone = Server(), Server()
    member.up()
    gone.up()
    gone.down()
    both = f"127.0.0.1:{gone.port}, 127.0.0.1:{member.port}"
    assert uplink.run("start", data_tier=both, results=1).code == 0
    assert uplink.reached() == ("1", "1")
    member.down()
    ended = uplink.run("monitor", data_tier=both, results=1)
    assert ended.code == 0
    assert uplink.reached() == ("1", "0")
    assert f"reaches nothing of the data tier: 127.0.0.1:{gone.port} connection refused" in ended.err
    member.up()
    assert uplink.run("monitor", data_tier=both, results=1).code == 0
    assert uplink.reached() == ("1", "1")
    member.down()


def test_a_router_that_is_none_does_not_count(uplink: Uplink) -> None:
    uplink.router.says = hello(b"something else")
    ended = uplink.run("start")
    assert ended.code == 0
    assert uplink.reached() == ("1", "0")
    assert "does not answer as a router" in ended.err


def test_a_server_that_never_answers_is_waited_for_only_so_long(uplink: Uplink) -> None:
    uplink.telegram.says = None
    uplink.router.says = None
    began = time.monotonic()
    assert uplink.run("start", telegram_check="http").code == 0
    assert time.monotonic() - began < 5
    assert uplink.reached() == ("0", "0")


@pytest.mark.parametrize(
    ("says", "value"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "1"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "1"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "0"),
        (b"SSH-2.0-x\r\n", "0"),
        (b"\0" * 5000, "0"),
        (b"", "0"),
    ],
)
def test_http_wants_an_answer(uplink: Uplink, says: bytes, value: str) -> None:
    uplink.telegram.says = says
    assert uplink.run("start", telegram_check="http", router="none").code == 0
    assert uplink.reached() == (value, None)


def test_tls_wants_a_certificate_that_is_trusted(uplink: Uplink) -> None:
    uplink.telegram.says = b"this is no TLS"
    url = f"https://127.0.0.1:{uplink.telegram.port}"
    assert uplink.run("start", telegram_url=url, telegram_check="connect").code == 0
    assert uplink.reached()[0] == "1"
    assert uplink.run("monitor", telegram_url=url, telegram_check="tls", results=1).code == 0
    assert uplink.reached()[0] == "0"


def test_tls_with_a_certificate_that_is_trusted_and_with_one_that_is_not(uplink: Uplink, tmp_path: Path) -> None:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x -addext"
    made = [*words.split(), "subjectAltName=IP:127.0.0.1", "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/pem"]
    subprocess.run(["openssl", *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pem", tmp_path / "key")
    uplink.telegram.down()
    uplink.telegram.tls = context
    uplink.telegram.says = b"HTTP/1.1 404 Not Found\r\n\r\n"
    uplink.telegram.up()
    url = f"https://127.0.0.1:{uplink.telegram.port}"
    parameters = uplink.parameters(telegram_url=url, telegram_check="http", router="none", results=1)
    environment = uplink.agents.environment(parameters)
    trusting = {**environment, "SSL_CERT_FILE": f"{tmp_path}/pem"}
    for expected, given in (("0", environment), ("1", trusting), ("0", environment)):
        action = "start" if not uplink.held() else "monitor"
        ended = finish(uplink.agents.start_process("uplink", [action], given), time.monotonic(), 20)
        assert ended.code == 0
        assert uplink.reached()[0] == expected, ended.err
    assert "self-signed certificate" in ended.err or "self signed certificate" in ended.err


def test_a_name_that_does_not_resolve_is_zero(uplink: Uplink) -> None:
    ended = uplink.run("start", telegram_url="http://no-such-host.invalid:1", answer_within="3s")
    assert ended.code == 0
    assert uplink.reached()[0] == "0"
    assert "its name" in ended.err


def test_a_name_is_resolved_and_either_address_will_do(uplink: Uplink) -> None:
    # localhost may be ::1 first, where nobody listens.
    assert uplink.run("start", telegram_url=f"http://localhost:{uplink.telegram.port}").code == 0
    assert uplink.reached()[0] == "1"


def test_a_probe_measures_nothing(uplink: Uplink) -> None:
    assert uplink.run("start").code == 0
    asked = uplink.telegram.asked
    uplink.telegram.down()
    assert uplink.run("monitor", interval_s=0, results=1).code == 0
    assert uplink.reached()[0] == "1"
    assert uplink.telegram.asked == asked


def test_a_write_that_failed_is_said_and_tried_again(uplink: Uplink) -> None:
    assert uplink.run("start").code == 0
    (uplink.directory / "broken").touch()
    uplink.telegram.down()
    ended = uplink.run("monitor", results=1)
    assert ended.code == 1
    assert "cannot write node attribute kappa-telegram: Could not connect to attribute manager" in ended.reason
    (uplink.directory / "broken").unlink()
    assert uplink.run("monitor", results=1).code == 0
    assert uplink.reached()[0] == "0"


def test_one_killed_while_it_writes_is_made_good_by_the_next(uplink: Uplink) -> None:
    # The cluster took the 0, nobody noted it down, and in the meantime Telegram is back.
    assert uplink.run("start").code == 0
    uplink.telegram.down()
    (uplink.directory / "killing").touch()
    environment = uplink.agents.environment(uplink.parameters(results=1))
    process = uplink.agents.start_process("uplink", ["monitor"], environment)
    process.communicate(timeout=10)
    assert process.returncode == -9
    until(lambda: uplink.reached()[0] == "0", 5)
    (uplink.directory / "killing").unlink()
    uplink.telegram.up()
    assert uplink.run("monitor").code == 0
    assert uplink.reached()[0] == "1"


@pytest.mark.root
def test_a_resolver_that_never_answers_is_waited_for_only_so_long(uplink: Uplink, tmp_path: Path) -> None:
    # No signal ends the C library's resolver, and with its defaults it would take ten seconds and more.
    # Its packets go to a neighbour that is not there.
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    own = (
        f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && ip link add eth0 type veth peer name other && "
        'ip link set other up && ip link set eth0 up && ip addr add 192.0.2.1/24 dev eth0 && exec "$0" "$@"'
    )
    wrapper = ("unshare", "-m", "-n", "--", "sh", "-c", own)
    here = replace(uplink.agents, wrapper=wrapper)
    began = time.monotonic()
    parameters = uplink.parameters(telegram_url="http://telegram.example:80", router="none")
    ended = here.run("uplink", "start", parameters)
    assert ended.code == 0, ended
    assert "its name is not resolved in time" in ended.err
    assert time.monotonic() - began < 5
    assert uplink.reached()[0] == "0"


def test_a_start_that_cannot_write_fails_and_stop_cleans_up(uplink: Uplink) -> None:
    (uplink.directory / "broken").touch()
    assert uplink.run("start").code == 1
    ended = uplink.run("stop")
    assert ended.code == 0, "a node is not shot for an attribute"
    assert "stays until this node leaves" in ended.err
    assert uplink.run("monitor").code == 7
    ended = uplink.run("start", updater="/nonexistent/attrd_updater")
    assert ended.code == 5
    assert "/nonexistent/attrd_updater" in ended.reason


def test_stop_without_parameters_removes_what_was_written(uplink: Uplink) -> None:
    assert (
        uplink.run("start", telegram_attribute="a.telegram", router_attribute="none", latency_attribute="a.ms").code
        == 0
    )
    assert set(uplink.held()) == {"a.telegram", "a.ms"}
    assert uplink.agents.run("uplink", "stop", {"updater": uplink.updater, "telegram_attribute": "&"}).code == 0
    assert uplink.held() == {}


def test_stop_removes_them_though_the_record_is_lost(uplink: Uplink) -> None:
    assert uplink.run("start").code == 0
    next(uplink.agents.state.iterdir()).unlink()
    assert uplink.run("monitor").code == 7
    assert uplink.run("stop").code == 0
    assert uplink.held() == {}


def test_level_10_writes_them_again(uplink: Uplink) -> None:
    # A cluster that was restarted in maintenance mode has forgotten them.
    assert uplink.run("start").code == 0
    before = uplink.held()
    for name in before:
        (uplink.directory / "held" / name).unlink()
    assert uplink.run("monitor").code == 0
    assert uplink.held() == {}
    assert uplink.run("monitor", level=10, interval_s=60).code == 0
    assert uplink.held() == before


@pytest.mark.parametrize("garbage", [b"", b"\xff\0", b"kappa-attributes\n", b"x" * 9000, b"1\n2\n3\n"])
def test_a_garbage_record_is_a_failure_that_stop_ends(uplink: Uplink, garbage: bytes) -> None:
    assert uplink.run("start").code == 0
    record = next(uplink.agents.state.iterdir())
    record.write_bytes(garbage)
    ended = uplink.run("monitor")
    assert ended.code == 1, "in doubt a failure, never stopped"
    assert str(record) in ended.reason
    assert uplink.run("stop").code == 0
    assert uplink.held() == {}


def test_a_record_of_an_earlier_life_of_the_machine_counts_for_nothing(uplink: Uplink) -> None:
    assert uplink.run("start").code == 0
    record = next(uplink.agents.state.iterdir())
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0].split()[0] + " 0000/1", *lines[1:]]))
    assert uplink.run("monitor").code == 7
    assert uplink.run("start").code == 0
    assert uplink.run("monitor").code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("telegram_url", "ftp://x"),
        ("telegram_url", "https://"),
        ("router", "somewhere"),
        ("router", "127.0.0.1:27017/x"),
        ("router", "[::1]"),
        ("data_tier", "127.0.0.1:1,somewhere"),
        ("data_tier", "127.0.0.1:1,"),
        ("data_tier", "none"),
        ("telegram_attribute", "two words"),
        ("telegram_attribute", "kappa-router"),
        ("results", "0"),
        ("telegram_check", "ping"),
    ],
)
def test_what_cannot_be_meant_is_refused(uplink: Uplink, name: str, value: str) -> None:
    wrong: dict[str, object] = {name: value}
    ended = uplink.agents.run("uplink", "validate-all", wrong)
    assert ended.code == 6
    assert name in ended.reason


def test_a_stop_whose_updater_hangs_comes_to_its_end_in_time(uplink: Uplink, tmp_path: Path) -> None:
    # Law 7: however short the time, an attribute is not worth a fenced node; and the others are removed all the same.
    assert uplink.run("start").code == 0
    first, others = "kappa-telegram", set(uplink.held()) - {"kappa-telegram"}
    hanging = tmp_path / "hanging"
    hanging.write_text(f'#!/bin/sh\n[ "$2" != {first} ] || exec sleep 1000\nexec {uplink.updater} "$@"\n')
    hanging.chmod(0o755)
    ended = uplink.run("stop", timeout_s=4, updater=hanging)
    assert ended.code == 0
    assert ended.err.count("stays until this node leaves the cluster") == 1
    assert others
    assert list(uplink.held()) == [first]
