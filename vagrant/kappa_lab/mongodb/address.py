"""HOST:PORT, as MongoDB writes it."""

Address = tuple[str, int]


def parse(text: str, default_port: int = 27017) -> Address:
    """`host`, `host:port`, `[v6]` or `[v6]:port`. Raises ValueError."""
    text = text.strip()
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if rest else str(default_port)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, str(default_port)
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def spell(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_local(host: str) -> bool:
    """Whether this name or address means the machine itself, by MongoDB's rule."""
    return host == "localhost" or host.startswith("127.") or host == "::1"
