"""The options of `fence_kappa`, once: one table reads standard input and the command line, and makes the metadata."""

from __future__ import annotations

import os

from stonith.wire import PORT, is_name

ACTIONS = ("on", "off", "reboot", "status", "monitor", "list", "list-status", "validate-all", "metadata", "manpage")
BY_HAND = ("explain",)
"""For people alone: not in the metadata, and no cluster asks for it."""
PLUG_ACTIONS = ("on", "off", "reboot", "status")
"""What is done to one machine, and so needs to be told which."""

STDIN_MAX = 65536


class Option:
    """One option: `name` on standard input, `--long` and `-short` on the command line, and what metadata says of it."""

    __slots__ = ("default", "long", "name", "required", "short", "shortdesc", "type")

    def __init__(
        self, name: str, short: str, type_: str, shortdesc: str, default: str | None = None, required: bool = False
    ) -> None:
        self.name = name
        self.long = name.replace("_", "-")
        self.short = short
        self.type = type_
        self.shortdesc = shortdesc
        self.default = default
        self.required = required


OPTIONS = (
    Option("action", "o", "string", "Fencing action: " + ", ".join(ACTIONS), "reboot", True),
    Option("plug", "n", "string", "Machine to act on, by its name at the power broker"),
    Option("nodename", "N", "string", "Node to act on, where no plug is given; host_map says which plug it has"),
    Option(
        "host_map",
        "m",
        "string",
        "Plugs of nodes that go by another name at the power broker, node:plug[;node:plug...]",
    ),
    Option(
        "server",
        "a",
        "string",
        f"Addresses of the power broker, host:port[,host:port...]; numeric, port {PORT} where none is given;"
        " the next is tried when one does not answer",
        required=True,
    ),
    Option("client", "l", "string", "Name that this node goes by at the power broker (default: its short host name)"),
    Option(
        "key_file", "k", "string", "File with this client's key, readable by its owner alone", "/etc/kappa/fence.key"
    ),
    Option(
        "key_script",
        "S",
        "string",
        "Executable that writes this client's key to its standard output; run instead of reading key_file",
    ),
    Option("timeout", "t", "second", "Seconds within which the whole action must be proven; later is a failure", "12"),
    Option("delay", "d", "second", "Seconds to wait before off or reboot is begun", "0"),
    Option(
        "login_timeout", "L", "second", "Seconds within which a power broker must greet (default: what timeout allows)"
    ),
    Option(
        "shell_timeout",
        "s",
        "second",
        "Seconds within which status and list are answered (default: what timeout allows)",
    ),
    Option(
        "power_timeout", "p", "second", "Seconds within which a switch must be proven (default: what timeout allows)"
    ),
    Option(
        "power_wait", "w", "second", "Seconds to wait after a proven on or off, and then to look at it once more", "0"
    ),
    Option("retry_on", "r", "integer", "How often an on is asked for before it counts as failed", "1"),
    Option("help", "h", "boolean", "Show this help and exit"),
    Option("version", "V", "boolean", "Show the version and exit"),
)
DEFAULTS = {option.name: option.default for option in OPTIONS if option.default is not None}
OBSOLETE = {"port": "plug", "option": "action"}
"""Names that the API had before; each means the same as its successor."""


class UsageError(Exception):
    """One sentence: which option, what it was, what it should be."""


def read_stdin(handle: int = 0) -> dict[str, str]:
    """The options that pacemaker-fenced wrote, `key=value` lines: the last value wins, unknown keys are ignored."""
    whole = b""
    while chunk := os.read(handle, STDIN_MAX):
        whole += chunk
        if len(whole) > STDIN_MAX:
            raise UsageError(f"standard input is longer than {STDIN_MAX} bytes; give key=value lines")
    known = {option.name for option in OPTIONS}.union(OBSOLETE)
    given: dict[str, str] = {}
    for line in whole.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.strip().partition("=")
        if equals and name in known:
            given[name] = value
    return _renew(given)


def read_argv(arguments: list[str]) -> dict[str, str]:
    """The options of a command line: `-o off`, `-ooff`, `--action off`, `--action=off` alike. The last value wins."""
    long = {option.long: option for option in OPTIONS}
    short = {option.short: option for option in OPTIONS}
    given: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word[2:].partition("=")
            name = name.replace("_", "-")
            option = long.get(OBSOLETE.get(name, name))
        elif word.startswith("-") and len(word) > 1:
            name, value, equals = "", word[2:], word[2:]
            option = short.get(word[1])
        elif word in BY_HAND:
            given["action"] = word
            continue
        else:
            raise UsageError(f"{word!r} is not an option; fence_kappa --help shows them")
        if option is None:
            raise UsageError(
                f"{word.partition('=')[0]!r} is not an option of fence_kappa; fence_kappa --help shows them"
            )
        if option.type == "boolean":
            value = "1"
        elif not equals:
            found = next(rest, None)
            if found is None:
                raise UsageError(f"{word!r} needs a value after it; fence_kappa --help shows what kind")
            value = found
        given[name if name in OBSOLETE else option.name] = value
    return _renew(given)


def _renew(given: dict[str, str]) -> dict[str, str]:
    """Give obsolete names their successors. Where both are there they must agree: a guess shoots the wrong machine."""
    for old, new in OBSOLETE.items():
        value = given.pop(old, None)
        if value is None:
            continue
        if given.setdefault(new, value) != value:
            raise UsageError(
                f"{new}={given[new]!r} and {old}={value!r} disagree ({old} is an obsolete name); keep {new} alone"
            )
    return given


class Settings:
    """What an action works with, checked. Raises UsageError with the first thing that is wrong."""

    __slots__ = (
        "action", "client", "delay_s", "key_file", "key_script", "login_timeout_s", "plug", "power_timeout_s",
        "power_wait_s", "retry_on", "servers", "shell_timeout_s", "timeout_s",
    )  # fmt: skip

    def __init__(self, given: dict[str, str]) -> None:
        given = {**DEFAULTS, **{name: value for name, value in given.items() if value}}
        self.action = given["action"].lower()
        if self.action not in ACTIONS and self.action not in BY_HAND:
            raise UsageError(f"action={self.action!r} is none of {', '.join(ACTIONS)}")
        self.plug = _plug(given)
        self.client = given.get("client") or os.uname().nodename.partition(".")[0]
        self.key_file = given["key_file"]
        self.key_script = given.get("key_script", "")
        self.timeout_s = _seconds("timeout", given["timeout"], 0.1)
        self.delay_s = _seconds("delay", given["delay"], 0.0)
        self.power_wait_s = _seconds("power_wait", given["power_wait"], 0.0)
        # 0: no bound of its own
        self.login_timeout_s = _seconds("login_timeout", given.get("login_timeout", "0"), 0.0)
        self.shell_timeout_s = _seconds("shell_timeout", given.get("shell_timeout", "0"), 0.0)
        self.power_timeout_s = _seconds("power_timeout", given.get("power_timeout", "0"), 0.0)
        if not given["retry_on"].isascii() or not given["retry_on"].isdigit() or not 0 < int(given["retry_on"]) <= 10:
            raise UsageError(f"retry_on={given['retry_on']!r} is not a number from 1 to 10")
        self.retry_on = int(given["retry_on"])
        self.servers = _servers(given.get("server", ""))
        if self.plug and not is_name(self.plug):
            raise UsageError(f"plug={self.plug!r} is not a name: letters, digits, '.', '_' and '-' are allowed")
        if not self.plug and self.action in PLUG_ACTIONS:
            raise UsageError(f"action={self.action} needs plug=NAME, the machine to act on; list shows the names")
        if not is_name(self.client):
            raise UsageError(f"client={self.client!r} is not a name: letters, digits, '.', '_' and '-' are allowed")
        if not self.key_file.startswith("/"):
            raise UsageError(f"key_file={self.key_file!r} is not an absolute path; the cluster starts agents anywhere")
        if self.key_script and not self.key_script.startswith("/"):
            raise UsageError(
                f"key_script={self.key_script!r} is not an absolute path; it is run as it is, with no arguments"
            )


def _plug(given: dict[str, str]) -> str:
    """The plug that is meant: the one given, else the node that fencing always names; either may be in the host map.

    A map in which one node's plug is another node's name would make a name mean two machines, so it is refused.
    """
    plug_of: dict[str, str] = {}
    for part in given.get("host_map", "").replace("\n", ";").split(";"):
        if not part.strip():
            continue
        node, colon, plug = part.strip().partition(":")
        if not colon or not is_name(node) or not is_name(plug):
            raise UsageError(f"host_map has {part.strip()!r}, which is not node:plug; several are parted by ';'")
        if plug_of.setdefault(node, plug) != plug:
            raise UsageError(f"host_map gives {node} two plugs, {plug_of[node]} and {plug}; keep one")
    for node, plug in plug_of.items():
        if plug_of.get(plug, plug) != plug:
            raise UsageError(
                f"host_map makes {plug} both the plug of {node} and the name of a node; rename one of them"
            )
    named = given.get("plug") or given.get("nodename", "")
    return plug_of.get(named, named)


def _seconds(name: str, text: str, least: float) -> float:
    number = text[:-1] if text.endswith("s") else text
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not least <= value <= 3600:
        raise UsageError(f"{name}={text!r} is not a number of seconds from {least:g} to 3600")
    return value


def _servers(text: str) -> list[tuple[str, int]]:
    """The broker's addresses. Names are refused: fencing must not wait for a name service that may be what failed."""
    servers = []
    for part in text.replace(" ", ",").split(","):
        if not part:
            continue
        host, port = _host_port(part)
        if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or not is_address(host):
            raise UsageError(
                f"server={part!r} is not a numeric address and a port such as 10.77.1.1:{PORT} or [fd00::1]:{PORT}"
            )
        servers.append((host, int(port)))
    if not servers:
        raise UsageError(f"server is missing; give the power broker's address, such as server=10.77.1.1:{PORT}")
    return servers


def _host_port(part: str) -> tuple[str, str]:
    if part.startswith("["):
        host, _, port = part[1:].partition("]")
        return host, port[1:] if port.startswith(":") else str(PORT) if not port else "?"
    if part.count(":") > 1:  # an IPv6 address without brackets has no port
        return part, str(PORT)
    host, colon, port = part.partition(":")
    return host, port if colon else str(PORT)


def is_address(host: str) -> bool:
    import _socket  # `socket` itself brings selectors and enum with it: half the time that a whole start takes

    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False
