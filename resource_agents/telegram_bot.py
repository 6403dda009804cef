"""ocf:kappa:telegram-bot: KappaSoftware's Telegram bot, of which one only may poll.

A plain primitive polls while it is started. Of a promotable clone every instance is started as a standby, connected and
silent, and the promoted one polls. Which of the two it is, Pacemaker says in the environment (Operation.promotable).

The role at level 0 is what was last noted about this very process, without asking it; level 10 asks, and corrects the
note. It is noted before the bot is told to promote and struck out after it has demoted: in doubt it counts as promoted.
"""

from resource_agents.host.daemon import Daemon, Started
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import (
    ARGS,
    DEGRADED,
    DEGRADED_PROMOTED,
    FAILED_PROMOTED,
    GENERIC,
    INSTALLED,
    OK,
    RUNNING_PROMOTED,
    Failure,
)
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.bot_socket import Status
    from resource_agents.host.processes import Record

# Promotion scores. None is negative: better a bot whose router is in trouble than no bot.
POLLS, READY, RELUCTANT = 100, 50, 1


def _daemon(operation: Operation) -> Daemon:
    binary, config = operation.text("binary"), operation.text("config")

    def matches(words: "list[str]") -> bool:
        ours = words[:1] and words[0].rsplit("/", 1)[-1] in (binary.rsplit("/", 1)[-1], "kappa-bot", "kappa_bot")
        return bool(ours) and words[1:2] == ["run"] and (config in words or f"--config={config}" in words)

    # 3: its configuration or a secret file is wrong on this host (kappa_bot/PROTOCOL.md); another node's may be right.
    return Daemon(operation, operation.text("log"), matches, exit_codes={3: ARGS})


def monitor(operation: Operation) -> int:
    record = _daemon(operation).check()
    return RUNNING_PROMOTED if operation.promotable and _noted(operation, record) else OK


def _noted(operation: Operation, record: "Record") -> bool:
    """Whether this process is noted as promoted."""
    from resource_agents.host import notes

    return notes.read(operation.state_file("role"), record) == "promoted"


def serving(operation: Operation) -> int:
    """Level 10: alive means serving. A bot that should poll but that Telegram has not answered for too long is
    failed."""
    record, said = _ask(operation)
    role = _role(operation, record, said)
    if operation.promotable:
        ready = READY if said.router == "ok" else RELUCTANT
        _prefer(operation, record, POLLS if role == RUNNING_PROMOTED else ready)
    if operation.promotable and role == OK:
        if said.router != "ok":
            raise Failure(DEGRADED, f"telegram-bot: a standby, but the router: {said.router}")
    else:
        _judge(operation, record, said)
    return role


def answering(operation: Operation) -> int:
    """Level 20: Telegram and the router answer through it. The bot asks both at this moment; a standby the router
    alone."""
    from resource_agents.host import notes
    from resource_agents.host.processes import forget

    record, said = _ask(operation, now=True)
    role, note = _role(operation, record, said), operation.state_file("unwell")
    trouble = _trouble(said)
    if not trouble:
        forget(note)
        return role
    if operation.promotable and role == OK:
        # To start it anew would not mend its router; it is in nobody's way.
        forget(note)
        raise Failure(DEGRADED, f"telegram-bot: a standby, but {trouble}")
    lasted, allowed = notes.lasts(note, record), operation.seconds("unwell_after")
    if lasted < allowed:
        raise Failure(_degraded(operation), f"telegram-bot: {said.role}, but {trouble}")
    raise Failure(
        _failed(operation), f"telegram-bot: {said.role}, but for {lasted:.0f} s ({allowed:g} s are allowed) {trouble}"
    )


def _ask(operation: Operation, now: bool = False) -> "tuple[Record, Status]":
    """Our process, and what it says of itself; with `now`, of what it asks at this moment. Raises Failure."""
    from resource_agents.host import bot_socket
    from resource_agents.host.sockets import Unanswered

    record = _daemon(operation).check()
    path = operation.text("socket")
    operation.doing = f"asking the bot on {path}"
    try:
        said = (bot_socket.check if now else bot_socket.status)(path, operation.deadline)
    except Unanswered as unanswered:
        code = FAILED_PROMOTED if operation.promotable and _noted(operation, record) else GENERIC
        raise Failure(code, f"telegram-bot: process {record.pid} runs, but {path} {unanswered}") from None
    _ours(said.pid, record.pid, path)
    return record, said


def _ours(answers: int, ours: int, path: str) -> None:
    from resource_agents.host.processes import process

    found = process(answers) if answers != ours else None
    if answers != ours and (found is None or found.session != ours):
        raise Failure(
            GENERIC,
            f"telegram-bot: process {answers} answers on {path}, not {ours}, which this cluster started; end it",
        )


def _role(operation: Operation, record: "Record", said: "Status") -> int:
    """The role as the bot itself has it; the note is corrected where it says something else."""
    from resource_agents.host import notes
    from resource_agents.host.processes import forget

    if not operation.promotable:
        return OK
    note, noted = operation.state_file("role"), _noted(operation, record)
    # "starting" wants to poll; "stopping" is on its way from whatever it was.
    promoted = noted if said.role == "stopping" else said.role in ("active", "starting")
    if promoted != noted:
        operation.warning(
            f"the bot is {said.role}, although the cluster did not {'promote' if promoted else 'demote'} it"
        )
        if promoted:
            notes.write(note, record, "promoted")
        else:
            forget(note)
    return RUNNING_PROMOTED if promoted else OK


def _failed(operation: Operation) -> int:
    return FAILED_PROMOTED if operation.promotable else GENERIC


def _degraded(operation: Operation) -> int:
    return DEGRADED_PROMOTED if operation.promotable else DEGRADED


def _judge(operation: Operation, record: "Record", said: "Status") -> None:
    """Of a bot that should poll. Raises Failure unless it serves: failed when a restart, here or elsewhere, may help;
    degraded when something else needs attention."""
    _conflict(operation, record, said)
    why = f": {said.reason}" if said.reason else ""
    deaf_after_s = operation.seconds("deaf_after")
    if not said.conflicts and (said.last_receive_s is None or said.last_receive_s > deaf_after_s):
        heard = "nothing yet" if said.last_receive_s is None else f"nothing for {said.last_receive_s:.0f} s"
        trouble = _trouble(said)
        raise Failure(
            _failed(operation),
            f"telegram-bot: deaf: runs as {said.role} but received {heard}, {deaf_after_s:g} s are allowed"
            f"{'; ' + trouble if trouble else ''}{why}",
        )
    if said.conflicts:
        raise Failure(_degraded(operation), f"telegram-bot: {said.conflicts} conflicts in a row: {SOMEONE_ELSE}")
    if said.role != "active":
        raise Failure(_degraded(operation), f"telegram-bot: {said.role}, not active{why}")
    # How long this may last is level 20's to say.
    trouble = _trouble(said) or said.reason if operation.level < 20 else ""
    if trouble:
        raise Failure(_degraded(operation), f"telegram-bot: active, but {trouble}")


SOMEONE_ELSE = "someone else polls Telegram with its token; find and end it, or revoke the token"


def _conflict(operation: Operation, record: "Record", said: "Status") -> None:
    """A conflict that lasts is a failure. It has lasted since it was first seen here, or since the last answer."""
    from resource_agents.host import notes
    from resource_agents.host.processes import forget

    note = operation.state_file("conflict")
    if not said.conflicts:
        forget(note)
        return
    lasted, allowed = max(notes.lasts(note, record), said.last_receive_s or 0.0), operation.seconds("conflict_after")
    if lasted > allowed:
        raise Failure(
            _failed(operation),
            f"telegram-bot: {said.conflicts} conflicts in a row, for {lasted:.0f} s ({allowed:g} s are allowed): "
            f"{SOMEONE_ELSE}",
        )


def _trouble(said: "Status") -> str:
    """What does not answer through it, "" when both do."""
    sides = (("Telegram", said.telegram), ("the router", said.router))
    return "; ".join(f"{name}: {state}" for name, state in sides if state != "ok")


def _prefer(operation: Operation, record: "Record", score: int, *, anew: bool = False) -> None:
    """That the score cannot be set is no fault of the bot; the next level 10 tries again."""
    from resource_agents.host.promotion import prefer

    try:
        prefer(operation, record, score, anew=anew)
    except (Failure, OSError) as error:
        operation.warning(f"the promotion score could not be set: {error}")


def start(operation: Operation) -> None:
    """Start the bot and return once it is active (Telegram has accepted its first getUpdates and it holds the lease)
    or, of a promotable clone, a standby that has reached the router. One that has not after half the time is started
    all the same, with a poor score: were it refused, an election at the wrong moment would leave no standby."""
    import os

    from resource_agents.host.bot_socket import status
    from resource_agents.host.sockets import Unanswered
    from resource_agents.host.spawn import find_user, own_directory, program

    daemon, path, config = _daemon(operation), operation.text("socket"), operation.text("config")
    started, patience, standby = Started(daemon), operation.deadline.part(0.5), operation.promotable
    router = "not asked yet"
    if not daemon.already_runs():
        _there(config)
        program(operation.text("binary"))
        own_directory(os.path.dirname(path), find_user(operation.text("user")))
        words = [operation.text("binary"), "run", "--config", config]
        started = daemon.spawn([*words, "--standby"] if standby else words, operation.text("user"))

    def missing() -> str:
        nonlocal router
        try:
            said = status(path, operation.deadline.part(1.0, 5.0))
        except Unanswered as unanswered:
            return f"{path} {unanswered}"
        if started.pid:
            _ours(said.pid, started.pid, path)
        router = said.router
        if standby and said.role in ("standby", "starting", "active"):
            if said.role != "standby" or router == "ok" or patience.left() <= 0:
                return ""
        elif said.role == "active":
            return ""
        trouble = _trouble(said)
        return ", ".join(one for one in (f"role {said.role}", trouble, said.reason) if one)

    started.wait(missing)
    if not standby:
        operation.info("telegram-bot is active")
        return
    record = daemon.check()
    polls = _noted(operation, record)
    _prefer(operation, record, POLLS if polls else READY if router == "ok" else RELUCTANT, anew=True)
    if router != "ok":
        operation.warning(f"telegram-bot is a standby, but the router: {router}")
    else:
        operation.info(f"telegram-bot is {'promoted' if polls else 'a standby'}")


def promote(operation: Operation) -> None:
    """Have it poll, and return once Telegram has accepted its first getUpdates and it holds the lease."""
    from resource_agents.host import notes

    record = _daemon(operation).check()
    notes.write(operation.state_file("role"), record, "promoted")
    _order(operation, record, "promote", "active")


def demote(operation: Operation) -> None:
    """Have it finish what is in hand, give the lease back and fall silent; it stays connected."""
    from resource_agents.host.processes import forget

    record = _daemon(operation).check()
    _order(operation, record, "demote", "standby")
    forget(operation.state_file("role"))


def _order(operation: Operation, record: "Record", do: str, goal: str) -> None:
    from resource_agents.host.bot_socket import order
    from resource_agents.host.sockets import Unanswered

    path = operation.text("socket")
    operation.doing = f"waiting for the bot to {do}"
    try:
        said = order(path, do, operation.deadline)
    except Unanswered as unanswered:
        # One that ends instead (its token was revoked, its lease lost) says why in its last words.
        operation.deadline.part(0.5, 1.0).wait(lambda: record.running() is None)
        _daemon(operation).check()
        raise Failure(GENERIC, f"telegram-bot: cannot {do}: {path} {unanswered}") from None
    _ours(said.pid, record.pid, path)
    if said.role != goal:
        details = "; ".join(one for one in (_trouble(said), said.reason) if one)
        raise Failure(
            GENERIC,
            f"telegram-bot: told to {do}, but still {said.role} at the end of {operation.deadline.timeout_s:g} s"
            f"{': ' + details if details else ''}; see {operation.text('log')}",
        )


def stop(operation: Operation) -> None:
    """SIGTERM lets it finish what is in hand, confirm it and give the lease back; whatever is left is killed."""
    from resource_agents.host.processes import forget
    from resource_agents.host.promotion import withdraw

    _daemon(operation).end(grace_s=operation.seconds("drain"))
    for kind in ("role", "conflict", "unwell"):
        forget(operation.state_file(kind))
    withdraw(operation)


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
    long="""KappaSoftware's Telegram bot. Telegram serves one poller. As a plain primitive the bot polls on the node
where it is started: start returns once Telegram has accepted its first getUpdates. As a promotable clone every instance
is started as a standby (connected to MongoDB, silent towards Telegram) and the promoted one polls: a takeover then
costs no start. Stop lets it finish what is in hand. Monitor looks at the process (depth 0), at whether it serves (depth
10: a bot that should poll but receives nothing is failed; a conflict with another poller is degraded, and failed when
it lasts) and has the bot ask Telegram and the router at this moment (depth 20; a standby asks the router alone).""",
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
            "conflict_after",
            "time",
            "30s",
            "How long a conflict may last",
            "For how long another program may poll with the bot's token before a monitor of depth 10 fails it. Until "
            "then it is degraded.",
            reloadable=True,
        ),
        Parameter(
            "unwell_after",
            "time",
            "60s",
            "How long Telegram or the router may fail",
            "For how long Telegram or the router may not answer through a bot that polls before a monitor of depth 20 "
            "fails it, so that it is tried elsewhere. Until then it is degraded.",
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
    timeouts={"start": 40, "stop": 40, "promote": 40, "demote": 30, "monitor": 20},
    start=start,
    stop=stop,
    promote=promote,
    demote=demote,
    monitors={0: (5, monitor), 10: (15, serving), 20: (60, answering)},
    promoted_intervals={0: 4, 10: 13, 20: 59},
    validate=validate,
)
