"""The vip agent between two network namespaces that share a link, and nothing else."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.resource_agents.running import Agents, Ended, finish, until

pytestmark = pytest.mark.root

VIP = "192.0.2.100"
VIP6 = "2001:db8::100"


class Host:
    """A network namespace that lives as long as its process."""

    def __init__(self) -> None:
        assert shutil.which("unshare"), "unshare is missing: install util-linux"
        assert shutil.which("ip"), "ip is missing: install iproute2"
        self.process = subprocess.Popen(["unshare", "-n", "--", "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"\n", "no network namespace can be made here"

    @property
    def enter(self) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self.process.pid), "-n", "--")

    def ip(self, words: str) -> str:
        ran = subprocess.run([*self.enter, "ip", *words.split()], capture_output=True, text=True)
        assert ran.returncode == 0, f"ip {words}: {ran.stderr}"
        return ran.stdout

    def set(self, name: str, value: str) -> None:
        subprocess.run([*self.enter, "sh", "-c", f"echo {value} > /proc/sys/{name}"], check=True)

    def pair(self, name: str) -> None:
        """A further interface with link, its other end on the same host."""
        self.ip(f"link add {name} type veth peer name {name}-end")
        for end in (name, f"{name}-end"):
            self.ip(f"link set {end} up")

    def addresses(self) -> dict[str, tuple[str, int]]:
        """address → (interface, prefix length), link-local ones excepted."""
        return {
            one["local"]: (link["ifname"], one["prefixlen"])
            for link in json.loads(self.ip("-j addr"))
            for one in link["addr_info"]
            if one["scope"] != "link"
        }

    def neighbour(self, address: str) -> str:
        found = json.loads(self.ip(f"-j neigh show {address}"))
        return str(found[0].get("lladdr", "")) if found else ""

    def mac(self, nic: str) -> str:
        return str(json.loads(self.ip(f"-j link show {nic}"))[0]["address"])

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts, node and peer: eth0 in 192.0.2.0/24 and 2001:db8::/64 on the same link."""
    node, peer = Host(), Host()
    try:
        node.ip(f"link add eth0 type veth peer name eth0 netns {peer.process.pid}")
        for number, host in ((1, node), (2, peer)):
            host.ip("link set lo up")
            host.ip("link set eth0 up")
            host.ip(f"addr add 192.0.2.{number}/24 dev eth0")
            host.ip(f"addr add 2001:db8::{number}/64 dev eth0 nodad")
        until(lambda: "LOWER_UP" in node.ip("link show eth0") and "LOWER_UP" in peer.ip("link show eth0"))
        yield node, peer
    finally:
        node.end()
        peer.end()


@pytest.fixture
def node(hosts: tuple[Host, Host]) -> Host:
    return hosts[0]


@pytest.fixture
def peer(hosts: tuple[Host, Host]) -> Host:
    return hosts[1]


class Vip:
    def __init__(self, agents: Agents, host: Host) -> None:
        self.agents = replace(agents, wrapper=host.enter)

    def run(self, action: str, level: int = 0, timeout_s: float = 20, **parameters: object) -> Ended:
        return self.agents.run("vip", action, {"ip": VIP, **parameters}, level=level, timeout_s=timeout_s)


@pytest.fixture
def vip(agents: Agents, node: Host) -> Vip:
    return Vip(agents, node)


def test_it_comes_and_goes(vip: Vip, node: Host, peer: Host) -> None:
    before = node.addresses()
    assert vip.run("monitor").code == 7
    ended = vip.run("start")
    assert ended.code == 0, ended
    assert node.addresses()[VIP] == ("eth0", 24), "interface and prefix are those of the kernel's route"
    assert vip.run("monitor").code == 0
    assert vip.run("monitor", level=10).code == 0
    assert vip.run("start").code == 0
    subprocess.run([*peer.enter, "ping", "-c1", "-W2", VIP], check=False, capture_output=True)
    assert vip.run("stop").code == 0
    assert node.addresses() == before
    assert vip.run("monitor").code == 7
    assert vip.run("stop").code == 0


def test_given_prefix_and_interface_are_taken(vip: Vip, node: Host) -> None:
    node.pair("other")
    assert vip.run("start", nic="other", prefix=32).code == 0
    assert node.addresses()[VIP] == ("other", 32)
    assert vip.run("monitor", nic="other").code == 0
    ended = vip.run("monitor", nic="eth0")
    assert ended.code == 1
    assert "on interface other, not on eth0" in ended.reason
    assert vip.run("stop", nic="eth0").code == 0, "it is removed from wherever it is"
    assert VIP not in node.addresses()


def test_another_interface_down_or_a_second_route_change_nothing(vip: Vip, node: Host) -> None:
    node.pair("spare")
    node.ip("link set spare down")
    node.pair("second")
    node.ip("addr add 192.0.2.55/24 dev second")
    assert vip.run("start").code == 0
    assert node.addresses()[VIP] == ("eth0", 24)
    node.ip("addr add 192.0.0.1/16 dev second")
    assert vip.run("monitor").code == 0
    node.ip("link set second down")
    assert vip.run("monitor").code == 0
    assert vip.run("stop").code == 0


def test_it_is_not_put_where_its_network_is_not(vip: Vip, node: Host) -> None:
    ended = vip.run("start", ip="198.51.100.7")
    assert ended.code == 2
    assert "no interface" in ended.reason
    node.ip("route add default via 192.0.2.2")
    ended = vip.run("start", ip="198.51.100.7")
    assert ended.code == 2, "a gateway leads there, but it is not a network of this node"
    ended = vip.run("start", nic="eth7")
    assert ended.code == 2
    assert "no interface eth7" in ended.reason
    assert VIP not in node.addresses()


def test_an_address_that_another_host_has_is_not_taken(vip: Vip, node: Host, peer: Host) -> None:
    # Law 1, should fencing have failed.
    peer.ip(f"addr add {VIP}/32 dev eth0")
    ended = vip.run("start")
    assert ended.code == 1
    assert peer.mac("eth0") in ended.reason
    assert VIP not in node.addresses()
    assert vip.run("stop").code == 0
    peer.ip(f"addr del {VIP}/32 dev eth0")
    assert vip.run("start").code == 0
    assert vip.run("stop").code == 0
    peer.ip(f"addr add {VIP}/32 dev eth0")
    assert vip.run("start", duplicate_wait=0).code == 0, "asked not to ask"


def test_an_address_that_another_host_takes_later_is_said_and_kept(vip: Vip, node: Host, peer: Host) -> None:
    assert vip.run("start").code == 0
    assert vip.run("monitor", level=10).code == 0
    peer.ip(f"addr add {VIP}/32 dev eth0")
    ended = vip.run("monitor", level=10)
    assert ended.code == 190, "degraded: to restart ours would mend nothing"
    assert f"{peer.mac('eth0')} on eth0 has this address too" in ended.reason
    assert vip.run("monitor", level=10, duplicate_wait=0).code == 0, "asked not to ask"
    peer.ip(f"addr del {VIP}/32 dev eth0")
    assert vip.run("monitor", level=10).code == 0


def test_the_neighbours_learn_at_once_who_has_it(vip: Vip, node: Host, peer: Host) -> None:
    # The peer still believes in a holder that is gone.
    peer.set("net/ipv4/neigh/eth0/locktime", "0")  # else it ignores a change within a second of the last
    peer.ip(f"neigh add {VIP} lladdr 02:00:00:00:00:99 dev eth0 nud stale")
    assert vip.run("start").code == 0
    until(lambda: peer.neighbour(VIP) == node.mac("eth0"), 5)
    # And at level 10 they are told again.
    peer.ip(f"neigh replace {VIP} lladdr 02:00:00:00:00:98 dev eth0 nud stale")
    assert vip.run("monitor").code == 0
    assert peer.neighbour(VIP) == "02:00:00:00:00:98"
    assert vip.run("monitor", level=10).code == 0
    until(lambda: peer.neighbour(VIP) == node.mac("eth0"), 5)


def test_a_link_that_went_down_is_seen(vip: Vip, node: Host, peer: Host) -> None:
    assert vip.run("start").code == 0
    peer.ip("link set eth0 down")
    ended = vip.run("monitor")
    assert ended.code == 1
    assert "no link" in ended.reason
    peer.ip("link set eth0 up")
    until(lambda: vip.run("monitor").code == 0, 5)
    node.ip("link set eth0 down")
    ended = vip.run("monitor")
    assert ended.code in (1, 7)
    assert vip.run("stop").code == 0
    ended = vip.run("start", nic="eth0")
    assert ended.code == 1
    assert "eth0 is down" in ended.reason


def test_stop_without_parameters_removes_what_was_started(vip: Vip, node: Host) -> None:
    # Law 7, and no success while the address is still there.
    assert vip.run("start").code == 0
    assert vip.agents.run("vip", "stop").code == 0
    assert VIP not in node.addresses()
    assert vip.run("start").code == 0
    assert vip.agents.run("vip", "stop", {"ip": "not an address", "prefix": "x", "nic": "gone"}).code == 0
    assert VIP not in node.addresses()
    assert not list(vip.agents.state.iterdir())


def test_the_nodes_own_address_survives_the_stop(vip: Vip, node: Host) -> None:
    # An address that came after ours in the same network is secondary to it, and the kernel removes it with ours.
    assert vip.run("start").code == 0
    node.ip("addr del 192.0.2.1/24 dev eth0")
    assert vip.run("start", nic="eth0", prefix=24).code == 0
    node.ip("addr add 192.0.2.1/24 dev eth0")
    assert "secondary" in node.ip("addr show dev eth0 to 192.0.2.1")
    assert vip.run("stop").code == 0
    assert node.addresses()["192.0.2.1"] == ("eth0", 24)
    assert VIP not in node.addresses()


def test_ipv6(vip: Vip, node: Host, peer: Host) -> None:
    assert vip.run("monitor", ip=VIP6).code == 7
    assert vip.run("start", ip=VIP6).code == 0
    assert node.addresses()[VIP6] == ("eth0", 64)
    assert "tentative" not in node.ip(f"-6 addr show to {VIP6}")
    assert vip.run("monitor", ip=VIP6).code == 0
    peer.ip(f"neigh replace {VIP6} lladdr 02:00:00:00:00:99 dev eth0 nud stale")
    assert vip.run("monitor", ip=VIP6, level=10).code == 0
    until(lambda: peer.neighbour(VIP6) == node.mac("eth0"), 5)
    assert vip.run("stop", ip=VIP6).code == 0
    assert VIP6 not in node.addresses()
    assert vip.run("stop", ip=VIP6).code == 0


def test_ipv6_of_another_host_is_not_taken(vip: Vip, node: Host, peer: Host) -> None:
    peer.ip(f"addr add {VIP6}/64 dev eth0 nodad")
    ended = vip.run("start", ip=VIP6)
    assert ended.code == 1
    assert "another host has this address" in ended.reason
    assert VIP6 not in node.addresses()


def test_a_start_killed_half_way_is_undone_by_stop(vip: Vip, node: Host) -> None:
    environment = vip.agents.environment({"ip": VIP, "duplicate_wait": "10s"}, timeout_s=30)
    process = vip.agents.start_process("vip", ["start"], environment)
    asking = Path(f"/proc/{node.process.pid}/net/packet")
    until(lambda: len(asking.read_text().splitlines()) > 1)
    process.kill()
    process.communicate(timeout=10)
    assert vip.run("stop").code == 0
    assert VIP not in node.addresses()


def test_two_starts_at_once(vip: Vip, node: Host) -> None:
    environment = vip.agents.environment({"ip": VIP})
    began = time.monotonic()
    both = [vip.agents.start_process("vip", ["start"], environment) for _ in range(2)]
    codes = sorted(finish(one, began, 20).code for one in both)
    assert codes[0] == 0
    assert node.addresses()[VIP] == ("eth0", 24)
    assert vip.run("stop").code == 0


def test_a_reply_that_is_not_arp_confuses_nobody(vip: Vip, peer: Host) -> None:
    """Noise on the link while the neighbours are asked."""
    program = """
import socket, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
while True:
    for noise in (b"", b"x" * 7, bytes(28)):
        link.sendto(noise, ("eth0", 0x0806, 0, 0, b"\\xff" * 6))
    time.sleep(0.002)
"""
    noise = subprocess.Popen([*peer.enter, sys.executable, "-IS", "-c", program])
    try:
        assert vip.run("start").code == 0
    finally:
        noise.kill()
        noise.wait()
    assert vip.run("stop").code == 0


TALK = """
import socket, sys
for family, address, any in ((socket.AF_INET, "192.0.2.100", "0.0.0.0"), (socket.AF_INET6, "192.0.2.100", "::"),
                             (socket.AF_INET6, "2001:db8::100", "::")):
    server = socket.socket(family)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind((any, 0)); server.listen()
    ours = server  # kept open: it must go on listening
    for target in (address, address.replace("100", "1")):
        print(target, server.getsockname()[1], flush=True)
        connection, _ = server.accept()
        globals().setdefault("kept", []).append((server, connection))
print("talking", flush=True)
sys.stdin.read()
for server, connection in kept:
    connection.setblocking(False)
    try:
        how = "open" if connection.recv(1) else "closed"
    except OSError as error:
        how = "open" if isinstance(error, BlockingIOError) else "reset"
    print(server.fileno() != -1 and server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN), how)
"""
CLIENT = """
import socket, sys
links = []
for line in sys.stdin:
    if line == "look\\n":
        break
    address, port = line.split()
    links.append(socket.create_connection((address, int(port)), 5))
    print("connected", flush=True)
for link in links:
    link.settimeout(0.3)
    try:
        print("closed" if link.recv(1) == b"" else "data")
    except OSError as error:
        print("reset" if isinstance(error, ConnectionResetError) else "open")
"""


@pytest.mark.parametrize("asked", ["true", "false"])
def test_connections_to_the_lost_address_are_reset_when_asked_for_and_no_others(
    vip: Vip, node: Host, peer: Host, asked: str
) -> None:
    # Sockets of IPv4, of both families, and of IPv6; each time one to the VIP and one to the node's own address.
    six = Vip(replace(vip.agents, instance="six", wrapper=()), node)
    assert vip.run("start", duplicate_wait=0).code == 0
    assert six.run("start", ip=VIP6).code == 0
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([*node.enter, sys.executable, "-IS", "-c", TALK], **pipes) as server,  # type: ignore[call-overload]
        subprocess.Popen([*peer.enter, sys.executable, "-IS", "-c", CLIENT], **pipes) as client,  # type: ignore[call-overload]
    ):
        assert server.stdout
        assert client.stdin
        assert client.stdout
        for _ in range(6):
            client.stdin.write(server.stdout.readline())
            client.stdin.flush()
            assert client.stdout.readline() == "connected\n"
        assert server.stdout.readline() == "talking\n"
        ended = [one.run("stop", ip=ip, reset_connections=asked) for one, ip in ((vip, VIP), (six, VIP6))]
        assert [one.code for one in ended] == [0, 0]
        saw = client.communicate("look\n", timeout=20)[0].split()
        held = server.communicate(timeout=20)[0].split()
    assert held[::2] == ["1"] * 6, "who listens goes on listening"
    if asked == "false":
        assert saw == ["open"] * 6
        return
    if any("left to end by themselves" in one.err for one in ended):
        assert "CONFIG_INET_DIAG" in ended[0].err
        pytest.skip("this kernel cannot end connections, and stop said so")
    assert "2 connections reset" in ended[0].err
    assert "1 connection reset" in ended[1].err
    assert saw == ["reset", "open"] * 3
    assert held[1::2] == ["reset", "closed"] * 3, "the client has ended by now, and closed what was left to it"


def test_stop_carries_on_where_connections_cannot_be_ended(vip: Vip, node: Host, tmp_path: Path) -> None:
    # A kernel without sock_diag, as the agent sees it: the netlink family is refused.
    library = vip.agents.root / "usr/lib/kappa-ha"
    broken = tmp_path / "vip"
    launcher = vip.agents.path("vip").read_text().splitlines()
    broken.write_text(
        "\n".join(
            [
                launcher[0],
                "import sys",
                f"sys.path.insert(0, {str(library)!r})",
                "import resource_agents.host.connections as connections",
                "connections.NETLINK_SOCK_DIAG = 99",
                "from resource_agents.vip import AGENT",
                "AGENT.main()",
            ]
        )
    )
    broken.chmod(0o755)
    assert vip.run("start").code == 0
    environment = vip.agents.environment({"ip": VIP, "reset_connections": "yes"})
    ended = finish(vip.agents.start_process("", ["stop"], environment, broken), time.monotonic(), 20)
    assert ended.code == 0
    assert ended.err.count("\n") == 1
    assert "CONFIG_INET_DIAG is not set" in ended.err
    assert VIP not in node.addresses()


def test_an_interface_without_ipv6_is_named_as_such(vip: Vip, node: Host) -> None:
    node.set("net/ipv6/conf/eth0/disable_ipv6", "1")
    ended = vip.run("start", ip=VIP6, nic="eth0", prefix=64)
    assert ended.code == 2
    assert "IPv6 is disabled on eth0" in ended.reason
    assert vip.run("stop", ip=VIP6).code == 0


def test_no_program_is_needed(vip: Vip, node: Host) -> None:
    # Neither ip nor arping: nothing that could be missing makes a stop fail.
    nothing = {**vip.agents.environment({"ip": VIP}), "PATH": "/nonexistent"}
    entered = vip.agents.wrapper
    for action, code in (("stop", 0), ("start", 0), ("monitor", 0), ("stop", 0), ("monitor", 7)):
        wrapped = replace(vip.agents, wrapper=(shutil.which(entered[0]) or "", *entered[1:]))
        ended = finish(wrapped.start_process("vip", [action], nothing), time.monotonic(), 20)
        assert ended.code == code, (action, ended)


def test_a_link_local_address(vip: Vip, node: Host) -> None:
    ended = vip.run("start", ip="fe80::100", nic="eth0", prefix=64)
    assert ended.code == 0, ended
    assert vip.run("monitor", ip="fe80::100", level=10).code == 0
    assert vip.run("stop", ip="fe80::100").code == 0
    assert "fe80::100" not in node.ip("-6 addr show")


def test_the_neighbours_are_told_again_without_a_process(vip: Vip) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not here")
    assert vip.run("start").code == 0
    assert vip.run("start", ip=VIP6).code == 0
    traced = ("strace", "-f", "-e", "trace=fork,vfork,clone,clone3,execve")
    watched = replace(vip.agents, wrapper=(*vip.agents.wrapper, *traced))
    for ip in (VIP, VIP6):
        ended = watched.run("vip", "monitor", {"ip": ip}, level=10)
        if "ptrace" in ended.err:
            pytest.skip("tracing is not permitted here")
        assert ended.code == 0
        assert ended.err.count("execve(") == 1, ended.err
        assert "clone" not in ended.err
        assert "fork(" not in ended.err
    assert vip.run("stop", ip=VIP6).code == 0
    assert vip.run("stop").code == 0
