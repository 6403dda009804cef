"""ocf:kappa:mongos: a MongoDB router (mongos), usually a clone, one beside each client."""

from resource_agents.host.daemon import Daemon, Started
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import DEGRADED, GENERIC, INSTALLED, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.tls import Files
    from resource_agents.ocf.operation import Deadline

UNAUTHORIZED = 13
TLS_MODES = ("disabled", "allowTLS", "preferTLS", "requireTLS")
WILDCARDS = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}


def _daemon(operation: Operation) -> Daemon:
    binary = operation.text("binary").rsplit("/", 1)[-1]
    port = str(operation.number("port"))

    def matches(words: "list[str]") -> bool:
        if not words or words[0].rsplit("/", 1)[-1] not in (binary, "mongos"):
            return False
        return f"--port={port}" in words or any(one == "--port" and two == port for one, two in zip(words, words[1:]))

    return Daemon(operation, operation.text("log"), matches)


def _address(operation: Operation) -> "tuple[str, int]":
    """Where to ask it: the first address it listens on."""
    host = operation.text("bind_ip").split(",")[0].strip() or "127.0.0.1"
    return WILDCARDS.get(host, host), operation.number("port")


def _tls(operation: Operation) -> "Files | None":
    """How to speak to it: TLS wherever it would do so itself."""
    if operation.text("tls") not in ("preferTLS", "requireTLS"):
        return None
    from resource_agents.host.tls import Files

    return Files(operation.text("tls_certificate_key_file"), operation.text("tls_ca_file"))


def monitor(operation: Operation) -> None:
    _daemon(operation).check()


def routing(operation: Operation) -> None:
    """Level 10: it answers the handshake, and as a router."""
    host, port = _address(operation)
    operation.doing = f"the handshake with {host}:{port}"
    wrong = _handshake(operation)
    if wrong:
        raise Failure(GENERIC, f"mongos: its process runs, but {wrong}; see {operation.text('log')}")


def _handshake(operation: Operation) -> str:
    """What is wrong with the router's answer, "" when it is a router's."""
    from resource_agents.host.router import hello
    from resource_agents.host.sockets import Unanswered

    host, port = _address(operation)
    try:
        said = hello(host, port, operation.deadline.part(1.0, 10.0), _tls(operation))
    except Unanswered as unanswered:
        return f"{host}:{port} {unanswered}"
    if said.get("ok") != 1:
        return f"{host}:{port} refuses the handshake: {said.get('errmsg', 'no reason given')}"
    if said.get("msg") != "isdbgrid":
        return f"{host}:{port} is no router: its handshake does not say isdbgrid"
    return ""


def reaching(operation: Operation) -> None:
    """Level 20: a command reaches the shards in time, and the config servers have a primary.

    Without one the cluster cannot be changed, and no other place for the router would help: that is degraded, not
    failed, even where the command does not come through.
    """
    from resource_agents.host import config_servers

    within = operation.seconds("answer_within")
    wrong, code = _reach(operation, operation.deadline.part(0.6, within))
    configdb = operation.text("configdb")
    if configdb:
        operation.doing = "asking the config servers"
        state, seen = config_servers.look(configdb, operation.deadline.part(1.0, 10.0), _tls(operation))
        if state == config_servers.NO_PRIMARY:
            more = f"; and {wrong}" if wrong else ""
            raise Failure(DEGRADED, f"mongos: the config servers have no primary ({seen}){more}; see to them")
        if state == config_servers.SILENT and not wrong:
            raise Failure(DEGRADED, f"mongos: routes, but no config server answers this node: {seen}")
    if wrong:
        raise Failure(code, f"mongos: answers as a router, but {wrong}; see {operation.text('log')}")


def _reach(operation: Operation, deadline: "Deadline") -> "tuple[str, int]":
    """What is wrong with the way to the shards, "" when nothing is, and the exit code for it.

    mongos asks every shard for its databases, so listDatabases comes back only from all of them. A shard in an election
    is reached all the same (primaryPreferred); what is left of a lost moment is tried again until the time is over.
    """
    from resource_agents.host.router import Link
    from resource_agents.host.sockets import Unanswered

    host, port = _address(operation)
    user, tls = operation.text("monitor_user"), _tls(operation)
    operation.doing = f"asking the shards through {host}:{port}"
    password = ""
    if user:
        from resource_agents.host.scram import Refused, log_in
        from resource_agents.host.secret import secret

        try:
            password = secret(operation.text("monitor_password_file"), "monitor_password_file")
        except (Failure, OSError) as error:
            return f"depth 20 cannot look: {error}", DEGRADED
    wrong, code = "", GENERIC

    def through() -> bool:
        nonlocal wrong, code
        try:
            with Link(host, port, deadline, tls) as link:
                if user:
                    try:
                        log_in(link, user, password, operation.text("monitor_database"))
                    except Refused as refused:
                        wrong, code = f"{host}:{port} {refused}", DEGRADED
                        return True
                said = link.ask(
                    [
                        ("listDatabases", 1),
                        ("nameOnly", True),
                        ("filter", [("name", "admin")]),
                        ("maxTimeMS", max(1, int(deadline.left() * 1000))),
                        ("$db", "admin"),
                        ("$readPreference", [("mode", "primaryPreferred")]),
                    ]
                )
        except Unanswered as unanswered:
            # At the very end the answer may be only that no time is left; what was seen before then says more.
            if deadline.left() > 0 or not wrong:
                wrong = f"{host}:{port} {unanswered}"
            return False
        if said.get("ok") == 1:
            wrong = ""
            return True
        if said.get("code") == UNAUTHORIZED:
            # Without a login a router of a cluster with authentication asks no shard for anything.
            wrong, code = ("", GENERIC) if not user else (f"user {user} may not list databases", DEGRADED)
            return True
        wrong = f"no command comes through to the shards: {said.get('errmsg', 'no reason given')}"
        return False

    deadline.wait(through, every_s=0.25)
    if wrong and code == GENERIC:
        wrong += f" (within {deadline.timeout_s:.3g} s)"
    return wrong, code


def start(operation: Operation) -> None:
    daemon = _daemon(operation)
    started = Started(daemon)
    if not daemon.already_runs():
        _there(operation)
        started = daemon.spawn(_command(operation), operation.text("user"), open_files=operation.number("open_files"))
    started.wait(lambda: _handshake(operation), every_s=0.05)
    host, port = _address(operation)
    operation.info(f"mongos answers as a router on {host}:{port}")
    if started.pid and operation.number("open_files"):
        from resource_agents.host.spawn import open_files

        granted = open_files(started.pid)
        if 0 <= granted < operation.number("open_files"):
            operation.warning(f"this host lets mongos open {granted} files, not {operation.number('open_files')}")


def _command(operation: Operation) -> "list[str]":
    """In the foreground, without --fork: the agent itself puts it in the background, and so knows its process."""
    words = [operation.text("binary")]
    options = (
        ("config", "--config"),
        ("configdb", "--configdb"),
        ("bind_ip", "--bind_ip"),
        ("keyfile", "--keyFile"),
        ("tls_certificate_key_file", "--tlsCertificateKeyFile"),
        ("tls_ca_file", "--tlsCAFile"),
    )
    for name, option in options:
        if operation.text(name):
            words += [option, operation.text(name)]
    if operation.text("tls") != "disabled":
        words += ["--tlsMode", operation.text("tls")]
    words += ["--port", str(operation.number("port"))]
    if operation.text("options"):
        import shlex

        words += shlex.split(operation.text("options"))
    return words


def stop(operation: Operation) -> None:
    _daemon(operation).end()


def _there(operation: Operation) -> None:
    import os

    for name in ("config", "keyfile", "tls_certificate_key_file", "tls_ca_file"):
        path = operation.text(name)
        if path and not os.path.isfile(path):
            raise Failure(INSTALLED, f"mongos: {name} {path} does not exist on this node; put it here")


def validate(operation: Operation) -> None:
    from resource_agents.host.spawn import find_user, program

    program(operation.text("binary"))
    find_user(operation.text("user"))
    _there(operation)
    if operation.text("monitor_user"):
        from resource_agents.host.secret import secret

        secret(operation.text("monitor_password_file"), "mongos: monitor_password_file")


def _agree(operation: Operation) -> None:
    if not operation.text("configdb") and not operation.text("config"):
        raise ValueError("neither configdb nor config is set, so the router cannot know its cluster")
    certificate = operation.text("tls_certificate_key_file")
    if operation.text("tls") == "disabled" and (certificate or operation.text("tls_ca_file")):
        raise ValueError("files for TLS are named, but tls=disabled leaves it off")
    if operation.text("tls") != "disabled" and not certificate and not operation.text("config"):
        raise ValueError(f"tls={operation.text('tls')} needs tls_certificate_key_file")
    if bool(operation.text("monitor_user")) != bool(operation.text("monitor_password_file")):
        raise ValueError("of monitor_user and monitor_password_file only one is set")


def _wrong_configdb(raw: str) -> str:
    # config_servers.members reads it later; this is on the path of level 0, and imports nothing.
    name, slash, hosts = raw.partition("/")
    if not name or not slash or "" in hosts.split(",") or any(c.isspace() for c in raw):
        return "is not of the form name/host:port,host:port"
    for host in hosts.split(","):
        port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else "1"
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            return f"has no valid host and port in {host}"
    return ""


def _wrong_options(raw: str) -> str:
    # Splitting imports `re`; what it could complain of is an unclosed quote or a trailing backslash.
    if not any(c in raw for c in "'\"\\"):
        return ""
    import shlex

    try:
        shlex.split(raw)
    except ValueError as wrong:
        return f"cannot be split into words ({wrong})"
    return ""


AGENT = Agent(
    name="mongos",
    short="MongoDB router (mongos)",
    long="""A MongoDB router (mongos), as a primitive or a clone. Start returns once it answers the handshake as a
router. Monitor looks at the process (depth 0), speaks the handshake with it (depth 10), and has a command come back
from every shard (depth 20), without any driver or shell. Config servers without a primary make it degraded: that is for
people to mend, no other node would do better.""",
    parameters=(
        Parameter("binary", "program", "mongos", "The router's program", "Path or name of mongos."),
        Parameter(
            "configdb",
            "string",
            "",
            "Config servers",
            "The config servers' replica set: name/host:port[,host:port...]. May be left to the configuration file; "
            "depth 20 then cannot ask them for their primary.",
            check=_wrong_configdb,
        ),
        Parameter(
            "config",
            "path",
            "",
            "Configuration file",
            "mongos's own configuration file. It must not tell mongos to fork.",
        ),
        Parameter(
            "port",
            "integer",
            "27017",
            "Port",
            "The port it listens on.",
            unique_group="address",
            minimum=1,
            maximum=65535,
        ),
        Parameter(
            "bind_ip",
            "string",
            "127.0.0.1",
            "Addresses to listen on",
            "Addresses it listens on, separated by commas; the first one is asked by depth 10.",
            unique_group="address",
        ),
        Parameter(
            "keyfile",
            "path",
            "",
            "Key file",
            "The key file with which members of the MongoDB cluster authenticate to each other.",
        ),
        Parameter(
            "tls",
            "select",
            "disabled",
            "TLS",
            "mongos's tlsMode. With preferTLS and requireTLS the monitor speaks TLS too, to the router and to config "
            "servers, and shows the same certificate.",
            options=TLS_MODES,
        ),
        Parameter(
            "tls_certificate_key_file",
            "path",
            "",
            "Certificate and key",
            "PEM file with the router's certificate and its unencrypted key.",
        ),
        Parameter("tls_ca_file", "path", "", "Authorities", "PEM file with the authorities that are believed."),
        Parameter("user", "string", "mongodb", "User to run as", "The user that mongos runs as."),
        Parameter(
            "open_files",
            "integer",
            "64000",
            "Limit of open files",
            "How many files and connections it may have open (MongoDB advises 64000), as far as the host grants it. 0 "
            "leaves the limit as the cluster has it.",
            minimum=0,
            maximum=1048576,
        ),
        Parameter(
            "answer_within",
            "time",
            "5s",
            "Time for the shards",
            "Within what time a command must come back from every shard at depth 20; at most six tenths of the "
            "operation's timeout.",
            reloadable=True,
        ),
        Parameter(
            "monitor_user",
            "string",
            "",
            "User of depth 20",
            "A database user, without any role, as whom depth 20 logs in (SCRAM-SHA-256). A cluster with "
            "authentication lets nobody else ask its shards: without one, depth 20 sees there only whether config "
            "servers have a primary.",
            reloadable=True,
        ),
        Parameter(
            "monitor_password_file",
            "path",
            "",
            "Password file of depth 20",
            "File whose first line is that user's password. Nobody but its owner may read it.",
            reloadable=True,
        ),
        Parameter(
            "monitor_database",
            "string",
            "admin",
            "Database of the user of depth 20",
            "The database in which that user was created.",
            reloadable=True,
        ),
        Parameter(
            "options",
            "string",
            "",
            "Further options",
            "Further command-line options, split into words as a shell would. No --fork: the agent puts mongos in the "
            "background itself.",
            check=_wrong_options,
        ),
        Parameter(
            "log",
            "path",
            "/var/log/kappa/mongos.log",
            "Log file",
            "Where its output goes; failures quote its last line.",
        ),
    ),
    timeouts={"start": 60, "stop": 40, "monitor": 20},
    start=start,
    stop=stop,
    monitors={0: (10, monitor), 10: (20, routing), 20: (60, reaching)},
    validate=validate,
    agree=_agree,
)
