"""ocf:kappa:mongos: a MongoDB router (mongos), usually a clone, one beside each client."""

from resource_agents.host.daemon import Daemon, Started
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import GENERIC, INSTALLED, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter

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
        said = hello(host, port, operation.deadline.part(1.0, 10.0))
    except Unanswered as unanswered:
        return f"{host}:{port} {unanswered}"
    if said.get("ok") != 1:
        return f"{host}:{port} refuses the handshake: {said.get('errmsg', 'no reason given')}"
    if said.get("msg") != "isdbgrid":
        return f"{host}:{port} is no router: its handshake does not say isdbgrid"
    return ""


def start(operation: Operation) -> None:
    daemon = _daemon(operation)
    started = Started(daemon)
    if not daemon.already_runs():
        _there(operation)
        started = daemon.spawn(_command(operation), operation.text("user"))
    started.wait(lambda: _handshake(operation), every_s=0.05)
    host, port = _address(operation)
    operation.info(f"mongos answers as a router on {host}:{port}")


def _command(operation: Operation) -> "list[str]":
    """In the foreground, without --fork: the agent itself puts it in the background, and so knows its process."""
    words = [operation.text("binary")]
    options = (("config", "--config"), ("configdb", "--configdb"), ("bind_ip", "--bind_ip"), ("keyfile", "--keyFile"))
    for name, option in options:
        if operation.text(name):
            words += [option, operation.text(name)]
    words += ["--port", str(operation.number("port"))]
    if operation.text("options"):
        import shlex

        words += shlex.split(operation.text("options"))
    return words


def stop(operation: Operation) -> None:
    _daemon(operation).end()


def _there(operation: Operation) -> None:
    import os

    for name in ("config", "keyfile"):
        path = operation.text(name)
        if path and not os.path.isfile(path):
            raise Failure(INSTALLED, f"mongos: {name} {path} does not exist on this node; put it here")


def validate(operation: Operation) -> None:
    from resource_agents.host.spawn import find_user, program

    program(operation.text("binary"))
    find_user(operation.text("user"))
    _there(operation)


def _agree(operation: Operation) -> None:
    if not operation.text("configdb") and not operation.text("config"):
        raise ValueError("neither configdb nor config is set, so the router cannot know its cluster")


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
router. Monitor looks at the process (depth 0) and speaks the handshake with it (depth 10), without any driver or
shell.""",
    parameters=(
        Parameter("binary", "program", "mongos", "The router's program", "Path or name of mongos."),
        Parameter(
            "configdb",
            "string",
            "",
            "Config servers",
            "The config servers' replica set: name/host:port[,host:port...]. May be left to the configuration file.",
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
        Parameter("user", "string", "mongodb", "User to run as", "The user that mongos runs as."),
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
    monitors={0: (10, monitor), 10: (20, routing)},
    validate=validate,
    agree=_agree,
)
