"""Watch from the wire who holds the virtual IP: ask by ARP every period, write down every answer. And, beside that, who
serves on it: see `kappa_lab.served`.

The watcher asks the network, not the cluster: a frozen node's kernel still answers for an address that it still has,
whatever Pacemaker believes. It is run in a container of its own on the lab's service network. SIGHUP ends the file in
good order, sets it aside under a number, and begins the next.
"""

import json
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TextIO

import click

from kappa_lab.segments import aside
from kappa_lab.served import Asker

ETHERTYPE_ARP = 0x0806
BROADCAST = b"\xff" * 6


def interface_with(address: str) -> str:
    """The interface that has this IPv4 address."""
    for _, name in socket.if_nameindex():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                packed = _ioctl(probe, 0x8915, name)  # SIOCGIFADDR
            except OSError:
                continue
        if socket.inet_ntoa(packed[20:24]) == address:
            return name
    raise SystemExit(f"no interface has the address {address}")


def _ioctl(sock: socket.socket, request: int, name: str) -> bytes:
    import fcntl

    return fcntl.ioctl(sock, request, struct.pack("256s", name.encode()))


def request(mac: bytes, source: str, target: str) -> bytes:
    """An Ethernet frame with an ARP request (RFC 826) for `target`."""
    arp = (
        struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
        + mac
        + socket.inet_aton(source)
        + b"\0" * 6
        + socket.inet_aton(target)
    )
    return BROADCAST + mac + struct.pack("!H", ETHERTYPE_ARP) + arp


def answer_of(frame: bytes, target: str) -> str | None:
    """The MAC of whoever says that it has `target`, if this frame is such an ARP reply."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x06":
        return None
    operation = struct.unpack("!H", frame[20:22])[0]
    if operation != 2 or frame[28:32] != socket.inet_aton(target):
        return None
    return frame[22:28].hex(":")


class StopAsked(BaseException):
    """SIGTERM or SIGINT arrived."""


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise StopAsked


class Witness:
    """What the watcher saw, a JSON object a line; `opening` is the first line of each segment."""

    def __init__(self, path: Path, **opening: object) -> None:
        self._path, self._opening = path, opening
        self._file: TextIO = path.open("a")
        self.due = False
        """Somebody asked for the next segment."""
        self._begin()

    def _begin(self) -> None:
        self.note(e="start", t=time.time(), **self._opening)

    def note(self, **event: object) -> None:
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def rotate(self) -> None:
        self.due = False
        ended = aside(self._path)
        self.close()
        self._path.rename(ended)
        self._file = self._path.open("a")
        self._begin()

    def close(self) -> None:
        if not self._file.closed:
            self.note(e="finish", t=time.time())
            self._file.close()

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """The handler of SIGHUP: between two rounds the file is whole, so it is done there."""
        self.due = True


def watch(own: str, target: str, period: float, witness: Witness) -> None:
    interface = interface_with(own)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE_ARP)) as wire:
        wire.bind((interface, ETHERTYPE_ARP))
        mac: bytes = wire.getsockname()[4]
        frame = request(mac, own, target)
        number = 0
        web = Asker(target).start()
        due = time.monotonic()
        while True:
            number += 1
            if witness.due:
                witness.rotate()
            for seen in web.answers():
                witness.note(**seen)
            # written before it is sent: an answer never stands in the file ahead of its question
            witness.note(e="probe", t=time.time(), round=number)
            wire.send(frame)
            due += period
            while (left := due - time.monotonic()) > 0:
                if select.select([wire], [], [], left)[0]:
                    holder = answer_of(wire.recv(2048), target)
                    if holder:
                        witness.note(e="answer", t=time.time(), round=number, mac=holder)


@click.command()
@click.option("--own", required=True, help="This machine's address on the network to watch.")
@click.option("--vip", required=True, help="The virtual IP to ask for.")
@click.option("--period", default=0.1, show_default=True, help="Seconds between two questions.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The JSON lines file to write.")
def main(own: str, vip: str, period: float, out: Path) -> None:
    """Ask every PERIOD seconds who has the virtual IP, and write down who answers."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    witness = Witness(out, period=period, vip=vip)
    signal.signal(signal.SIGHUP, witness.ask)
    try:
        watch(own, vip, period, witness)
    except StopAsked:
        witness.close()
    sys.exit(0)


if __name__ == "__main__":
    main()
