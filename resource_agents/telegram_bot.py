"""ocf:kappa:telegram-bot: KappaSoftware's Telegram bot, of which one only may poll."""

from resource_agents.host.daemon import Daemon, Started
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import ARGS, DEGRADED, GENERIC, INSTALLED, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.bot_socket import Status


def _daemon(operation: Operation) -> Daemon:
    binary, config = operation.text("binary"), operation.text("config")

    def matches(words: "list[str]") -> bool:
        ours = words[:1] and words[0].rsplit("/", 1)[-1] in (binary.rsplit("/", 1)[-1], "kappa-bot", "kappa_bot")
        return bool(ours) and words[1:2] == ["run"] and (config in words or f"--config={config}" in words)

    # 3: its configuration or a secret file is wrong on this host (kappa_bot/PROTOCOL.md); another node's may be right.
    return Daemon(operation, operation.text("log"), matches, exit_codes={3: ARGS})


def monitor(operation: Operation) -> None:
    _daemon(operation).check()


def serving(operation: Operation) -> None:
    """Level 10: alive means serving. A bot that runs but that Telegram has not answered for too long is failed."""
    from resource_agents.host.bot_socket import status
    from resource_agents.host.sockets import Unanswered

    record = _daemon(operation).check()
    path = operation.text("socket")
    operation.doing = f"asking the bot on {path}"
    try:
        said = status(path, operation.deadline)
    except Unanswered as unanswered:
        raise Failure(GENERIC, f"telegram-bot: process {record.pid} runs, but {path} {unanswered}") from None
    _ours(said.pid, record.pid, path)
    _judge(said, operation.seconds("deaf_after"))


def _ours(answers: int, ours: int, path: str) -> None:
    from resource_agents.host.processes import process

    found = process(answers) if answers != ours else None
    if answers != ours and (found is None or found.session != ours):
        raise Failure(
            GENERIC,
            f"telegram-bot: process {answers} answers on {path}, not {ours}, which this cluster started; end it",
        )


def _judge(said: "Status", deaf_after_s: float) -> None:
    """Raises Failure unless the bot serves: GENERIC when a restart may help, DEGRADED when something else needs
    attention."""
    why = f": {said.reason}" if said.reason else ""
    if said.last_receive_s is None or said.last_receive_s > deaf_after_s:
        heard = "nothing yet" if said.last_receive_s is None else f"nothing for {said.last_receive_s:.0f} s"
        cause = f"; telegram: {said.telegram}" if said.telegram != "ok" else ""
        cause += (
            f"; {said.conflicts} conflicts in a row, so someone else polls with its token" if said.conflicts else ""
        )
        cause += f"; router: {said.router}" if said.router != "ok" else ""
        raise Failure(
            GENERIC,
            f"telegram-bot: deaf: runs as {said.role} but received {heard}, {deaf_after_s:g} s are allowed{cause}{why}",
        )
    if said.conflicts:
        raise Failure(
            DEGRADED,
            f"telegram-bot: {said.conflicts} conflicts in a row: someone else polls Telegram with its token; find "
            f"and end it, "
            "or revoke the token",
        )
    if said.role != "active":
        raise Failure(DEGRADED, f"telegram-bot: {said.role}, not active{why}")
    for name, state in (("Telegram", said.telegram), ("the router", said.router)):
        if state != "ok":
            raise Failure(DEGRADED, f"telegram-bot: active, but {name}: {state}")


def start(operation: Operation) -> None:
    """Start the bot and return once it is active: Telegram has accepted its first getUpdates and it holds the lease."""
    import os

    from resource_agents.host.bot_socket import status
    from resource_agents.host.sockets import Unanswered
    from resource_agents.host.spawn import find_user, own_directory, program

    daemon, path, config = _daemon(operation), operation.text("socket"), operation.text("config")
    started = Started(daemon)
    if not daemon.already_runs():
        _there(config)
        program(operation.text("binary"))
        own_directory(os.path.dirname(path), find_user(operation.text("user")))
        started = daemon.spawn([operation.text("binary"), "run", "--config", config], operation.text("user"))

    def missing() -> str:
        try:
            said = status(path, operation.deadline.part(1.0, 5.0))
        except Unanswered as unanswered:
            return f"{path} {unanswered}"
        if started.pid:
            _ours(said.pid, started.pid, path)
        details = [f"role {said.role}"]
        details += [
            f"{name}: {state}"
            for name, state in (("telegram", said.telegram), ("router", said.router))
            if state != "ok"
        ]
        return "" if said.role == "active" else ", ".join([*details, *([said.reason] if said.reason else [])])

    started.wait(missing)
    operation.info("telegram-bot is active")


def stop(operation: Operation) -> None:
    """SIGTERM lets it finish what is in hand, confirm it and give the lease back; whatever is left is killed."""
    _daemon(operation).end(grace_s=operation.seconds("drain"))


def validate(operation: Operation) -> None:
    from resource_agents.host.spawn import find_user, program

    program(operation.text("binary"))
    find_user(operation.text("user"))
    _there(operation.text("config"))


def _there(path: str) -> None:
    import os

    if not os.path.isfile(path):
        raise Failure(INSTALLED, f"telegram-bot: configuration {path} does not exist on this node; put it here")


AGENT = Agent(
    name="telegram-bot",
    short="KappaSoftware's Telegram bot",
    long="""KappaSoftware's Telegram bot. Telegram serves one poller, so it runs on one node only. Start returns once
the bot is active: Telegram has accepted its first getUpdates. Stop lets it finish what is in hand. Monitor looks at the
process (depth 0) and at whether it serves (depth 10): a bot that runs but receives nothing is failed.""",
    parameters=(
        Parameter("binary", "program", "kappa-bot", "The bot's program", "Path or name of the bot's program."),
        Parameter(
            "config",
            "path",
            "/etc/kappa/bot.toml",
            "Configuration file",
            "The bot's configuration file (TOML). It names the files that hold secrets; no secret belongs in a "
            "parameter.",
            unique_group="config",
        ),
        Parameter(
            "socket",
            "path",
            "/run/kappa/telegram-bot.sock",
            "Control socket",
            "The bot's control socket, as in its configuration. Its directory is made for the bot's user if there is "
            "none.",
            unique_group="socket",
        ),
        Parameter("user", "string", "kappa", "User to run as", "The user that the bot runs as."),
        Parameter(
            "log",
            "path",
            "/var/log/kappa/telegram-bot.log",
            "Log file",
            "Where the bot's output goes; failures quote its last line.",
        ),
        Parameter(
            "deaf_after",
            "time",
            "30s",
            "When silence is deafness",
            "For how long Telegram may leave the bot's polls unanswered before a monitor of depth 10 fails it. Must "
            "be well above the poll timeout in its configuration: an idle poll is answered only at its end.",
            reloadable=True,
        ),
        Parameter(
            "drain",
            "time",
            "10s",
            "Time for what is in hand",
            "For how long stop lets the bot finish what it holds, within three quarters of the operation's timeout. "
            "What is not finished by then is not lost: Telegram hands it out again.",
            reloadable=True,
        ),
    ),
    timeouts={"start": 40, "stop": 40, "monitor": 20},
    start=start,
    stop=stop,
    monitors={0: (5, monitor), 10: (15, serving)},
    validate=validate,
)
