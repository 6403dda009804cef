"""Tables of the configuration that are only there where they are wanted."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

WEBHOOK_PORTS = (443, 80, 88, 8443)
"""Telegram's own servers bring updates to no others."""


@dataclass(frozen=True)
class Webhook:
    url: str
    """Where Telegram brings updates to. Its path is the one that the bot listens for."""
    listen: str
    """Loopback: Nginx stands before it."""
    secret_file: str
    certificate: str
    """PEM, for Telegram to trust where no authority vouches for it; "" where one does."""
    max_connections: int
    networks: tuple[str, ...]
    """From where Nginx may pass deliveries on; empty: that is left to Nginx."""

    @property
    def address(self) -> tuple[str, int]:
        return split_address(self.listen)


@dataclass(frozen=True)
class Metrics:
    listen: str

    @property
    def address(self) -> tuple[str, int]:
        return split_address(self.listen)


def split_address(value: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [HOST]:PORT, the host an address. ValueError for anything else."""
    host, _, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ipaddress.ip_address(bare).version == 6 and bare == host:
        raise ValueError("an IPv6 address stands in brackets")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("no port")
    return bare, int(port)


def listen_address(value: str) -> str | None:
    """What is wrong with it; None where nothing is."""
    try:
        split_address(value)
    except ValueError:
        return "must be an address and a port, 127.0.0.1:8081"
    return None


def loopback_address(value: str) -> str | None:
    complaint = listen_address(value)
    if complaint is None and not ipaddress.ip_address(split_address(value)[0]).is_loopback:
        return "must be a loopback address: it speaks plain HTTP, and Nginx stands before it"
    return complaint


def webhook_url(value: str, base_url: str) -> str | None:
    try:
        parts = urlsplit(value)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "must be a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an https URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "must hold no user, query or fragment"
    if len(parts.path) < 2:
        return "must have a path of its own, https://host/kappa/telegram"
    if urlsplit(base_url).hostname == "api.telegram.org":
        if parts.scheme != "https":
            return "must be an https URL: Telegram brings updates to no other"
        if port not in WEBHOOK_PORTS:
            return f"must have one of the ports {', '.join(map(str, WEBHOOK_PORTS))}: Telegram knows no others"
    return None


def network(value: str) -> str | None:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        return f"must hold networks such as 149.154.160.0/20, not {value!r}"
    return None
