"""What a URL names. Apart from `sockets`, so that a parameter can be judged without importing `socket`."""


def http_address(url: str) -> "tuple[str, int, str]":
    """Host, port and path of an `http://` URL. Raises ValueError in words that fit after "NAME=VALUE"."""
    scheme, host, port, path = web_address(url)
    if scheme != "http":
        raise ValueError("is not an http:// URL")
    return host, port, path


def web_address(url: str) -> "tuple[str, str, int, str]":
    """Scheme, host, port and path of an `http://` or `https://` URL. Raises ValueError like `http_address`."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest or not rest.isascii() or not rest.isprintable() or " " in rest:
        raise ValueError("is not an http:// or https:// URL" if scheme == "https" else "is not an http:// URL")
    where, slash, path = rest.partition("/")
    host, port = where, "443" if scheme == "https" else "80"
    if where.startswith("["):
        host, bracket, port = where[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError("has a broken IPv6 address")
        port = port[1:] or ("443" if scheme == "https" else "80")
    elif ":" in where:
        host, _, port = where.partition(":")
    if not host or "@" in where or not (port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("has no valid host and port")
    return scheme, host, int(port), slash + path or "/"
