"""What the neighbours on a link must know of an address: is it taken (RFC 5227, ARP probe), and who has it now
(gratuitous ARP; for IPv6 an unsolicited neighbour advertisement, RFC 4861 section 7.2.6).
"""

import time
from struct import Struct

from resource_agents.host.netlink import IPV4, LINK_LOOPBACK, LINK_NOARP

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket as _socket

    from resource_agents.host.netlink import Link
else:
    import _socket

ETHERNET_ARP = 0x0806
ARP = Struct("!HHBBH6s4s6s4s")  # hardware, protocol, their lengths, operation, sender's mac and ip, target's mac and ip
REQUEST, REPLY = 1, 2
NOBODY = b"\0" * 6
EVERYONE = b"\xff" * 6
ADVERTISEMENT = Struct("!BBHI")  # type 136, code, checksum (the kernel's), flags
OVERRIDE = 0x20000000
ALL_NODES = "ff02::1"


def has_neighbours(link: "Link") -> bool:
    """A link on which addresses are looked up: not loopback, not point-to-point, with an Ethernet address."""
    return len(link.mac) == 6 and not link.flags & (LINK_LOOPBACK | LINK_NOARP)


def taken_by(link: "Link", ip: bytes, wait_s: float) -> str:
    """The MAC address of another host that already has this IPv4 address, "" when nobody said so within `wait_s`."""
    if wait_s <= 0:
        return ""
    arp = _arp_socket(link)
    try:
        end = time.monotonic() + wait_s
        probe = ARP.pack(1, 0x0800, 6, 4, REQUEST, link.mac, b"\0" * 4, NOBODY, ip)
        for round_ends in (end - wait_s / 2, end):
            arp.sendto(probe, (link.name, ETHERNET_ARP, 0, 0, EVERYONE))
            while (left := round_ends - time.monotonic()) > 0:
                arp.settimeout(left)
                try:
                    answer = arp.recv(256)
                except TimeoutError:
                    break
                except OSError as error:
                    if str(error) == "timed out":  # what TimeoutError was before python 3.10
                        break
                    raise
                if len(answer) >= ARP.size:
                    _, _, _, _, _, mac, sender, _, _ = ARP.unpack_from(answer)
                    if sender == ip and mac != link.mac:
                        return ":".join(f"{byte:02x}" for byte in mac)
        return ""
    finally:
        arp.close()


def announce(link: "Link", family: int, ip: bytes, times: int = 1) -> None:
    """Tell the link that `ip` is here now, so that nobody goes on sending to whoever had it before."""
    if family == IPV4:
        arp = _arp_socket(link)
        try:
            for _ in range(times):
                # Some systems update their caches only on a request, others only on a reply.
                for operation, target in ((REQUEST, NOBODY), (REPLY, EVERYONE)):
                    packet = ARP.pack(1, 0x0800, 6, 4, operation, link.mac, ip, target, ip)
                    arp.sendto(packet, (link.name, ETHERNET_ARP, 0, 0, EVERYONE))
        finally:
            arp.close()
        return
    packet = ADVERTISEMENT.pack(136, 0, 0, OVERRIDE) + ip + bytes((2, 1)) + link.mac
    icmp = _socket.socket(_socket.AF_INET6, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.IPPROTO_ICMPV6)
    try:
        icmp.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_MULTICAST_HOPS, 255)
        icmp.bind(
            (_socket.inet_ntop(_socket.AF_INET6, ip), 0, 0, link.index)
        )  # a link-local address is one of its link
        for _ in range(times):
            icmp.sendto(packet, (ALL_NODES, 0, 0, link.index))
    finally:
        icmp.close()


def _arp_socket(link: "Link") -> "_socket.socket":
    arp = _socket.socket(_socket.AF_PACKET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC, _socket.htons(ETHERNET_ARP))
    arp.bind((link.name, ETHERNET_ARP))
    return arp
