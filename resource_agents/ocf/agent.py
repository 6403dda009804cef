"""What an agent is, and its guarded run: whatever happens becomes a legal exit code with one reason, never a traceback.

The order of things on the monitor's path is chosen by measured cost. `signal` would cost a third of the whole run (it
imports `enum`) and `os` a tenth, so their C halves are used directly, and the process ends with `_exit`, which skips a
millisecond of tidying.
"""

import posix
import sys

from resource_agents.ocf.exits import CONFIGURED, GENERIC, LEGAL, OK, PERMISSION, UNIMPLEMENTED, Failure
from resource_agents.ocf.operation import Operation, one_line, say, say_reason
from resource_agents.ocf.parameters import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Mapping
    from typing import NoReturn
else:
    import _signal

SIGNALS = {1: "SIGHUP", 2: "SIGINT", 15: "SIGTERM"}


class Interrupted(BaseException):
    """A signal or the deadline's alarm ended the action; not an Exception, so that no handler on the way swallows
    it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal = signal_number


class Agent:
    """Name, description, parameters and the actions of one agent.

    timeouts: seconds by action, as advertised; "monitor" holds for every level.
    monitors: check level → (advertised interval in seconds, check). A monitor of level n runs every check up to n in
    order, so a level that does not exist falls to the next lower one. A check returns when all is well and raises
    Failure otherwise; one that can tell the role returns OK or RUNNING_PROMOTED, and the last to do so decides.
    promote, demote: of an agent that may be a promotable clone; both or neither.
    promoted_intervals: check level → advertised interval in seconds of the monitor of the Promoted role. The monitors
    above are advertised without a role: Pacemaker runs such a one for a plain primitive and for Unpromoted, but not for
    Promoted. (Were they advertised for Unpromoted, a plain primitive that took them over would have no monitor at all.)
    validate: looks at the host (level 10 and above); the parameters themselves have been read by then.
    """

    def __init__(
        self,
        *,
        name: str,
        short: str,
        long: str,
        parameters: "tuple[Parameter, ...]",
        timeouts: "dict[str, int]",
        start: "Callable[[Operation], None]",
        stop: "Callable[[Operation], None]",
        monitors: "dict[int, tuple[int, Callable[[Operation], int | None]]]",
        promote: "Callable[[Operation], None] | None" = None,
        demote: "Callable[[Operation], None] | None" = None,
        promoted_intervals: "dict[int, int] | None" = None,
        validate: "Callable[[Operation], None] | None" = None,
        agree: "Callable[[Operation], None] | None" = None,
    ) -> None:
        self.name = name
        self.short = short
        self.long = long
        self.parameters = parameters
        self.timeouts = timeouts
        self.start = start
        self.stop = stop
        self.monitors = monitors
        self.promote = promote
        self.demote = demote
        self.promoted_intervals = promoted_intervals or {}
        self.validate = validate
        self.agree = agree

    @property
    def reloads(self) -> bool:
        """Whether a parameter may change while the resource runs (OCF 1.1's reload-agent)."""
        return any(parameter.reloadable for parameter in self.parameters)

    def main(self) -> "NoReturn":
        """Run as Pacemaker's process: act on sys.argv and the environment, and end the process."""
        code = GENERIC
        try:
            code = self.run(sys.argv[1:], _environment())
        except BaseException as error:  # a signal between the guard's end and ours
            say_reason(GENERIC, f"{self.name}: ended while ending: {type(error).__name__}")
        finally:
            posix._exit(code)

    def run(self, arguments: "list[str]", environ: "Mapping[str, str]") -> int:
        """Do what `arguments[0]` asks (further ones are ignored) and return the exit code, its reason already said."""
        action = arguments[0] if arguments else ""
        operation = Operation(self.name, self.parameters, action, environ, self.timeouts.get(action, 20))
        try:
            _arm(operation)
            code, reason = self._act(operation), ""
        except Failure as failure:
            code, reason = failure.code, failure.reason or f"exit code {failure.code}, and no reason was given"
        except Interrupted as interrupted:
            code, reason = GENERIC, _interrupted(operation, interrupted)
        except PermissionError as error:
            code = PERMISSION
            reason = f"{self.name}: {operation.doing}: not permitted: {_system(error)}; agents run as root"
        except OSError as error:
            code, reason = GENERIC, f"{self.name}: {operation.doing}: {_system(error)}"
        except BaseException as error:
            code = GENERIC
            what = f"{type(error).__name__}: {error}{_where(error)}"
            reason = f"{self.name}: {operation.doing}: a defect of this agent, please report it: {what}"
        _disarm()
        if code not in LEGAL:
            code, reason = GENERIC, f"{reason} (exit code {code} is not one of OCF's)"
        say_reason(code, reason if reason.startswith(self.name) else f"{self.name}: {reason}")
        return code

    def _act(self, operation: Operation) -> int:
        action, code = operation.action, OK
        if action == "meta-data":
            from resource_agents.ocf.metadata import metadata

            _print(metadata(self))
        elif action == "monitor":
            self._check(operation)
            for level, (_, check) in sorted(self.monitors.items()):
                if level <= max(operation.level, 0):
                    role = check(operation)
                    code = code if role is None else role
        elif action == "start":
            self._check(operation)
            self.start(operation)
        elif action == "stop":
            self.stop(operation)
        elif action == "promote" and self.promote:
            self._check(operation)
            self.promote(operation)
        elif action == "demote" and self.demote:
            self.demote(operation)
        elif action == "validate-all":
            self._check(operation)
            if self.validate and operation.level >= 10:
                self.validate(operation)
        elif action == "reload-agent" and self.reloads:
            # Parameters are read anew by every action: what is asked is only whether the new ones are right.
            self._check(operation)
            self.monitors[0][1](operation)
        else:
            more = ("|promote|demote" if self.promote else "") + ("|reload-agent" if self.reloads else "")
            say(f"usage: {self.name} {{start|stop|monitor|validate-all|meta-data{more}}}")
            what = f"action {one_line(action, 40)} does not exist" if action else "no action was given"
            raise Failure(UNIMPLEMENTED, f"{self.name}: {what}")
        return code

    def _check(self, operation: Operation) -> None:
        """The parameters alone: each by itself, then what they say together."""
        operation.check_parameters()
        if self.agree:
            try:
                self.agree(operation)
            except ValueError as wrong:
                raise Failure(CONFIGURED, f"{self.name}: {wrong}; correct it in the resource's configuration") from None


def _environment() -> "dict[str, str]":
    """As `os.environ` has it."""
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    return {name.decode(encoding, errors): value.decode(encoding, errors) for name, value in posix.environ.items()}


def _print(text: str) -> None:
    """Write to standard output past Python's buffer: the process ends with `_exit`, which would lose it."""
    data = text.encode("utf-8")
    while data:
        data = data[posix.write(1, data) :]


def _arm(operation: Operation) -> None:
    """Signals and the end of the time become exceptions, so that they end the action wherever it stands."""

    def interrupt(number: int, frame: object) -> None:
        raise Interrupted(number)

    for number in SIGNALS:
        _signal.signal(number, interrupt)
    if operation.action != "meta-data":
        _signal.signal(_signal.SIGALRM, interrupt)
        # The polite waits end at the deadline and say what they waited for; the alarm is for whatever hangs elsewhere.
        _signal.setitimer(_signal.ITIMER_REAL, operation.deadline.left() + operation.deadline.reserve_s / 2)


def _disarm() -> None:
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    for number in SIGNALS:
        _signal.signal(number, _signal.SIG_IGN)


def _interrupted(operation: Operation, interrupted: Interrupted) -> str:
    doing = operation.doing
    if interrupted.signal in SIGNALS:
        return (
            f"{operation.name}: {operation.action} was interrupted by {SIGNALS[interrupted.signal]} while at: {doing}"
        )
    return (
        f"{operation.name}: {operation.action} was not done within its timeout of {operation.deadline.timeout_s:g} s "
        f"while at: {doing}; find what hangs, or allow more time"
    )


def _system(error: OSError) -> str:
    where = f": {error.filename}" if error.filename is not None else ""
    return f"{error.strerror or error}{where}"


def _where(error: BaseException) -> str:
    """File and line where a defect showed itself, instead of a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f" at {trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
