"""What an `http://` URL names. Apart from `sockets`, so that a parameter can be judged without importing `socket`."""


def http_address(url: str) -> "tuple[str, int, str]":
    """Host, port and path of an `http://` URL. Raises ValueError in words that fit after "NAME=VALUE"."""
    scheme, _, rest = url.partition("://")
    if scheme != "http" or not rest or not rest.isascii() or not rest.isprintable() or " " in rest:
        raise ValueError("is not an http:// URL")
    where, slash, path = rest.partition("/")
    host, port = where, "80"
    if where.startswith("["):
        host, bracket, port = where[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("has a broken IPv6 address")
        port = port[1:] or "80"
    elif ":" in where:
        host, _, port = where.partition(":")
    if not host or "@" in where or not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("has no valid host and port")
    return host, int(port), slash + path or "/"
