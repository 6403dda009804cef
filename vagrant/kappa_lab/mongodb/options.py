"""mongos's own command line and configuration file, as much of them as the stand-in can honour.

What it cannot honour it refuses, rather than ignore: a router that listens less safely than it was told is no router.
"""

from dataclasses import dataclass, field

from kappa_lab.mongodb import config

EXIT_BAD_OPTIONS = 2
"""mongos's own, for a bad command line or configuration file."""

SHUTDOWN_MS = "mongosShutdownTimeoutMillisForSignaledShutdown"
FIND_HOST_MS = "defaultFindReplicaSetHostTimeoutMS"
PARAMETERS = {SHUTDOWN_MS: 15_000, FIND_HOST_MS: 15_000}
"""Server parameters that mean something here, and MongoDB's defaults for them, in milliseconds."""

WITHOUT_MEANING = frozenset(("diagnosticDataCollectionEnabled",))

CONFIG_SERVER_PORT = 27019


class OptionError(Exception):
    """What is wrong with the options, in one sentence, worded as mongos words it."""


@dataclass(frozen=True)
class Option:
    """One option: its name on the command line, its name in a file, and what it takes."""

    long: str
    dotted: str
    kind: str = "text"  # text, int, bool, flag (no value on the command line), many


OPTIONS = (
    Option("configdb", "sharding.configDB"),
    Option("port", "net.port", "int"),
    Option("bind_ip", "net.bindIp"),
    Option("bind_ip_all", "net.bindIpAll", "flag"),
    Option("ipv6", "net.ipv6", "flag"),
    Option("listenBacklog", "net.listenBacklog", "int"),
    Option("maxConns", "net.maxIncomingConnections", "int"),
    Option("nounixsocket", "", "flag"),
    Option("keyFile", "security.keyFile"),
    Option("clusterAuthMode", "security.clusterAuthMode"),
    Option("fork", "processManagement.fork", "flag"),
    Option("pidfilepath", "processManagement.pidFilePath"),
    Option("timeZoneInfo", "processManagement.timeZoneInfo"),
    Option("logpath", "systemLog.path"),
    Option("logappend", "systemLog.logAppend", "flag"),
    Option("logRotate", "systemLog.logRotate"),
    Option("quiet", "systemLog.quiet", "flag"),
    Option("", "systemLog.destination"),
    Option("", "systemLog.verbosity", "int"),
    Option("", "net.unixDomainSocket.enabled", "bool"),
    Option("localThreshold", "replication.localPingThresholdMs", "int"),
    Option("setParameter", "setParameter", "many"),
    Option("config", ""),
    Option("version", "", "flag"),
    Option("help", "", "flag"),
    Option("verbose", "", "flag"),
)
_LONG = {option.long: option for option in OPTIONS if option.long}
_DOTTED = {option.dotted: option for option in OPTIONS if option.dotted}
_SHORT = {"-f": "config", "-h": "help", "-v": "verbose"}


@dataclass(frozen=True)
class Options:
    """What the router is asked to be."""

    set_name: str = ""
    seeds: tuple[tuple[str, int], ...] = ()
    port: int = 27017
    addresses: tuple[str, ...] = ("127.0.0.1",)
    backlog: int = 4096
    key_file: str = ""
    fork: bool = False
    pidfile: str = ""
    logpath: str = ""
    logappend: bool = False
    parameters: dict[str, int] = field(default_factory=lambda: dict(PARAMETERS))
    show: str = ""
    """`help` or `version` when only that is asked for."""


def usage() -> str:
    lines = ["Options of this stand-in (they are mongos's own):"]
    for option in OPTIONS:
        if option.long:
            value = "" if option.kind == "flag" else " arg"
            lines.append(f"  --{option.long}{value}" + (f"   in a file: {option.dotted}" if option.dotted else ""))
    lines.append(f"  parameters: {', '.join(sorted(PARAMETERS))}")
    return "\n".join(lines)


def parse(arguments: list[str]) -> Options:
    """Read the command line, and the file that it names. Raises OptionError."""
    given, parameters = _command_line(arguments)
    for show in ("help", "version"):
        if show in given:
            return Options(show=show)
    named: dict[str, str] = {}
    if "config" in given:
        named, from_file = _file(given.pop("config"))
        parameters = from_file + parameters
    for long, value in given.items():
        named[_LONG[long].dotted or long] = value
    return _checked(named, parameters)


def _command_line(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    given: dict[str, str] = {}
    many: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("-v") and set(word[1:]) == {"v"}:
            continue
        name, equals, value = word.partition("=")
        long = _SHORT.get(name) or (name[2:] if name.startswith("--") else "")
        if not word.startswith("-"):
            raise OptionError("Error parsing command line: too many positional options have been specified")
        option = _LONG.get(long)
        if option is None:
            raise OptionError(f"Error parsing command line: unrecognised option '{name}' (or none of the stand-in's)")
        if option.kind == "flag":
            value = value if equals else "true"
        elif not equals:
            if not rest or rest[0].startswith("--"):
                raise OptionError(f"Error parsing command line: the required argument for option '{name}' is missing")
            value = rest.pop(0)
        if option.kind == "many":
            many.append(value)
        elif long in given:
            raise OptionError(f'Error parsing command line: Multiple occurrences of option "{name}"')
        else:
            given[long] = value
    return given, many


def _file(path: str) -> tuple[dict[str, str], list[str]]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 (start-up time)
            found = config.parse(file.read())
    except OSError as error:
        raise OptionError(f"Error opening config file '{path}': {error.strerror}") from None
    except (config.ConfigError, UnicodeDecodeError) as error:
        raise OptionError(f"Error parsing YAML config file '{path}': {error}") from None
    parameters = []
    for dotted in list(found):
        if dotted.startswith("setParameter."):
            parameters.append(f"{dotted.removeprefix('setParameter.')}={found.pop(dotted)}")
        elif dotted not in _DOTTED:
            raise OptionError(f"Unrecognized option: {dotted} (or none of the stand-in's)")
    return found, parameters


def _checked(named: dict[str, str], parameters: list[str]) -> Options:
    def number(dotted: str, otherwise: int, low: int, high: int) -> int:
        text = named.get(dotted)
        if text is None:
            return otherwise
        short = dotted.rpartition(".")[2]
        if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
            raise OptionError(f'Error parsing option "{dotted}" as int: Did not consume whole string.')
        if not low <= int(text) <= high:
            raise OptionError(f"BadValue: bad --{short} number")
        return int(text)

    def switch(dotted: str, otherwise: bool = False) -> bool:
        text = named.get(dotted, str(otherwise).lower())
        if text not in ("true", "false"):
            raise OptionError(f'Error parsing option "{dotted}" as bool: {text!r} is neither true nor false')
        return text == "true"

    if named.get("systemLog.destination", "file") != "file":
        raise OptionError("BadValue: the stand-in can only log to a file or to standard output")
    if named.get("security.clusterAuthMode", "keyFile") != "keyFile":
        raise OptionError("BadValue: the stand-in knows keyFile as its only clusterAuthMode")
    if named.get("systemLog.logRotate", "rename") != "rename":
        raise OptionError("BadValue: the stand-in can only rotate its log by rename")
    fork, logpath = switch("processManagement.fork"), named.get("systemLog.path", "")
    if fork and not logpath:
        raise OptionError("BadValue: --fork has to be used with --logpath or --syslog")
    for dotted in ("net.ipv6", "systemLog.quiet", "nounixsocket"):
        switch(dotted)
    switch("net.unixDomainSocket.enabled", True)
    set_name, seeds = _configdb(named.get("sharding.configDB"))
    return Options(
        set_name=set_name,
        seeds=seeds,
        port=number("net.port", 27017, 1, 65535),
        addresses=_addresses(named.get("net.bindIp"), switch("net.bindIpAll")),
        backlog=number("net.listenBacklog", 4096, 1, 65535),
        key_file=named.get("security.keyFile", ""),
        fork=fork,
        pidfile=named.get("processManagement.pidFilePath", ""),
        logpath=logpath,
        logappend=switch("systemLog.logAppend"),
        parameters=_parameters(parameters),
    )


def _addresses(text: str | None, everywhere: bool) -> tuple[str, ...]:
    if everywhere:
        if text:
            raise OptionError("BadValue: cannot specify bind_ip and bind_ip_all at once")
        return ("0.0.0.0",)  # noqa: S104 (it was asked for)
    addresses = []
    for part in (text or "localhost").split(","):
        address = part.strip()
        if not address or "/" in address:
            raise OptionError(f"BadValue: --bind_ip {part!r}: the stand-in listens on addresses only")
        addresses.append({"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(address, address))  # noqa: S104
    return tuple(dict.fromkeys(addresses))


def _configdb(text: str | None) -> tuple[str, tuple[tuple[str, int], ...]]:
    from kappa_lab.mongodb.address import is_local
    from kappa_lab.mongodb.address import parse as address

    if not text:
        raise OptionError("BadValue: error: no args for --configdb")
    set_name, slash, hosts = text.partition("/")
    if not slash or not set_name or not hosts:
        raise OptionError("BadValue: configdb supports only replica set connection string (SET/HOST:PORT,…)")
    try:
        seeds = tuple(address(host, CONFIG_SERVER_PORT) for host in hosts.split(","))
    except ValueError as error:
        raise OptionError(f"FailedToParse: --configdb: {error}") from None
    if len({is_local(host) for host, _ in seeds}) > 1:
        raise OptionError("cannot mix localhost and ip addresses in configdbs")
    return set_name, seeds


def _parameters(given: list[str]) -> dict[str, int]:
    parameters = dict(PARAMETERS)
    for one in given:
        name, _, value = one.partition("=")
        if name in WITHOUT_MEANING:
            continue
        if name not in PARAMETERS:
            raise OptionError(f'BadValue: Illegal --setParameter parameter: "{name}" (or none of the stand-in\'s)')
        if not value.isascii() or not value.isdigit():
            raise OptionError(f"BadValue: --setParameter {name}: {value!r} is not a number of milliseconds")
        parameters[name] = int(value)
    return parameters
