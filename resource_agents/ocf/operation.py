"""One run of an agent as Pacemaker asked for it: action, parameters, check level, and how much time is left.

Everything comes from the environment, which `Operation` names field by field; nothing else reads it.
"""

import posix
import time

from resource_agents.ocf.exits import CONFIGURED, OK, RUNNING_PROMOTED, Failure
from resource_agents.ocf.parameters import TRUE, Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resource_agents.ocf.parameters import Value

LONGEST_REASON = 500


class Deadline:
    """The end of the time an operation may take, on the monotonic clock.

    A part of the timeout (a tenth, at most one second) is kept back, so that the agent itself says what was too slow
    before Pacemaker kills it without a word.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.reserve_s = min(1.0, timeout_s / 10)
        self.end = time.monotonic() + timeout_s - self.reserve_s

    def left(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.end - time.monotonic())

    def part(self, share: float, at_most: float = 3600.0) -> "Deadline":
        """A deadline for a step: `share` of what is left, at most `at_most` seconds; it keeps nothing back."""
        step = Deadline(0.0)
        step.timeout_s = min(self.left() * share, at_most)
        step.end = time.monotonic() + step.timeout_s
        return step

    def wait(self, done: "Callable[[], bool]", every_s: float = 0.02) -> bool:
        """Poll `done` until it is true (True) or the time is over (False); it is asked once more at the very end."""
        while not done():
            left = self.left()
            if left <= 0:
                return done()
            time.sleep(min(every_s, left))
        return True


class Operation:
    """What Pacemaker asked for.

    action        argv[1]
    instance      OCF_RESOURCE_INSTANCE, the resource's id ("default" when run by hand without one)
    level         OCF_CHECK_LEVEL, 0 when unset or unreadable
    interval_s    OCF_RESKEY_CRM_meta_interval (milliseconds there), 0 for a probe
    resource      the instance without the number that a clone's may carry (NAME:0), unless its instances differ
                  (OCF_RESKEY_CRM_meta_globally_unique): whichever number one has here today, its files are the same
    promotable    OCF_RESKEY_CRM_meta_{promotable,promoted_max,master_max}: it runs as a promotable clone
    timeout       OCF_RESKEY_CRM_meta_timeout (milliseconds there), else what the agent advertises for the action
    state         HA_RSCTMP, the directory for what must not outlive a reboot; only root may write there
    """

    def __init__(
        self,
        name: str,
        parameters: "tuple[Parameter, ...]",
        action: str,
        environ: "Mapping[str, str]",
        default_timeout_s: float,
    ) -> None:
        self.name = name
        self.parameters = parameters
        self.action = action
        self.environ = environ
        self.instance = environ.get("OCF_RESOURCE_INSTANCE") or "default"
        self.level = _count(environ.get("OCF_CHECK_LEVEL", ""), 0)
        self.interval_s = _count(environ.get("OCF_RESKEY_CRM_meta_interval", ""), 0) / 1000
        timeout_ms = _count(environ.get("OCF_RESKEY_CRM_meta_timeout", ""), 0)
        self.deadline = Deadline(timeout_ms / 1000 if timeout_ms > 0 else default_timeout_s)
        self.state = environ.get("HA_RSCTMP") or "/run/resource-agents"
        self.doing = action
        # A stop must never fail for a parameter, nor may a demote, which comes before it: what cannot be read counts as
        # its default there.
        self.lenient = action in ("stop", "demote")

    @property
    def resource(self) -> str:
        name, colon, number = self.instance.rpartition(":")
        anonymous = self._meta("globally_unique").lower() not in TRUE
        return name if colon and name and number.isdigit() and anonymous else self.instance

    @property
    def promotable(self) -> bool:
        # Pacemaker says how many may be promoted, by the newer name and by the older; "promotable" is for those who run
        # an agent by hand.
        if self._meta("promotable").lower() in TRUE:
            return True
        return _count(self._meta("promoted_max"), 0) > 0 or _count(self._meta("master_max"), 0) > 0

    def _meta(self, name: str) -> str:
        return self.environ.get("OCF_RESKEY_CRM_meta_" + name) or ""

    def state_file(self, kind: str) -> str:
        """Path of this resource's own file in the state directory."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in self.resource)[:120]
        return f"{self.state}/kappa-{self.name}-{safe}.{kind}"

    def text(self, name: str) -> str:
        return str(self._value(name))

    def number(self, name: str) -> int:
        return int(self._value(name) or 0)

    def seconds(self, name: str) -> float:
        return float(self._value(name) or 0.0)

    def flag(self, name: str) -> bool:
        return bool(self._value(name))

    def check_parameters(self) -> None:
        """Every parameter can be read, and no required one is missing; else Failure(CONFIGURED)."""
        for parameter in self.parameters:
            self._read(parameter)

    def _value(self, name: str) -> "Value":
        for parameter in self.parameters:
            if parameter.name == name:
                return self._read(parameter)
        raise KeyError(name)

    def _read(self, parameter: Parameter) -> "Value":
        raw = self.environ.get("OCF_RESKEY_" + parameter.name) or parameter.default
        try:
            if raw is None:
                raise ValueError
            return parameter.read(raw) if raw or parameter.kind not in ("integer", "time", "boolean") else 0
        except ValueError as wrong:
            if self.lenient:
                return parameter.read(parameter.default) if parameter.default else ""
            what = (
                f"parameter {parameter.name} is missing" if raw is None else f"parameter {parameter.name}={raw} {wrong}"
            )
            raise Failure(CONFIGURED, f"{self.name}: {what}; correct it in the resource's configuration") from None

    def info(self, text: str) -> None:
        """One line for Pacemaker's log (it takes an agent's standard error at level notice)."""
        say(f"INFO: {text}")

    def warning(self, text: str) -> None:
        say(f"WARNING: {text}")


def _count(raw: str, default: int) -> int:
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 16 else default


def one_line(text: str, longest: int = LONGEST_REASON) -> str:
    """`text` on one line without control characters, cut to `longest` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def say(text: str) -> None:
    """Write a line to standard error, whatever characters it holds and whether or not anyone reads it."""
    try:
        posix.write(2, (one_line(text) + "\n").encode("utf-8", "backslashreplace"))
    except OSError:
        return


def say_reason(code: int, reason: str) -> None:
    """The one line that Pacemaker keeps with a failure and shows in crm_mon. To run promoted is none."""
    if code not in (OK, RUNNING_PROMOTED):
        say("ocf-exit-reason:" + reason)
