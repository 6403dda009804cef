"""A program that an agent keeps running in a session of its own: is it the one we started, start it, end it.

The session is what makes an end complete: whatever the program forked is in it, even after the program itself was
killed.
"""

from resource_agents.host import processes
from resource_agents.ocf.exits import GENERIC, NOT_RUNNING, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from resource_agents.host.processes import Process, Record
    from resource_agents.ocf.operation import Operation

SIGTERM = 15
SIGKILL = 9


class Daemon:
    """One resource's program on this host.

    matches: tells from a command line that a process is this program with this resource's settings; asked only where no
    record says who is ours (a lost record, or one started behind the cluster's back).
    exit_codes: what an exit code of the program during start means for the cluster, where it is not GENERIC.
    """

    def __init__(
        self,
        operation: "Operation",
        log: str,
        matches: "Callable[[list[str]], bool]",
        exit_codes: "dict[int, int] | None" = None,
    ) -> None:
        self.operation = operation
        self.name = operation.name
        self.record_file = operation.state_file("pid")
        self.log = log
        self.matches = matches
        self.exit_codes = exit_codes or {}

    def check(self) -> "Record":
        """Level 0: the very process that was started runs. Raises Failure: NOT_RUNNING only when it was never started
        or was stopped, GENERIC for everything else, a crash included."""
        record = processes.read_record(self.record_file)
        if record is None:
            self._no_stranger()
            raise Failure(NOT_RUNNING, f"{self.name} is stopped: no process of it is recorded in {self.record_file}")
        running = record.running()
        if running is None:
            left = processes.session_members(record.pid)
            if left:
                raise Failure(
                    GENERIC,
                    f"{self.name}: main process {record.pid} is gone but {_pids(left)} of it still run; stop ends them",
                )
            raise Failure(
                GENERIC, f"{self.name}: process {record.pid} is gone without having been stopped{self.last_words()}"
            )
        if running.state == processes.FROZEN:
            raise Failure(GENERIC, self._frozen(record.pid))
        return record

    def already_runs(self) -> bool:
        """Start asks this, to be idempotent. Ends what a killed program left behind (it would keep the port); raises
        Failure when the program runs but is frozen, or was started by someone else."""
        record = processes.read_record(self.record_file)
        if record is None:
            self._no_stranger()
            return False
        running = record.running()
        if running is None:
            if processes.session_members(record.pid):
                self.end(grace_s=2.0)
            return False
        if running.state == processes.FROZEN:
            raise Failure(GENERIC, self._frozen(record.pid))
        return True

    def last_words(self, since: int = 0) -> str:
        """What the program said last, to go at the end of a reason."""
        from resource_agents.host.logs import last_line

        line = last_line(self.log, since)
        return f"; its last words in {self.log}: {line}" if line else f"; {self.log} does not say why"

    def _frozen(self, pid: int) -> str:
        return f"{self.name}: process {pid} is frozen (state T, SIGSTOP) and serves nobody; stop kills it"

    def _no_stranger(self) -> None:
        strangers = processes.find(self.matches)
        if strangers:
            raise Failure(
                GENERIC,
                f"{self.name}: {_pids(strangers)} runs with this resource's settings but was not started by the "
                f"cluster; "
                "whatever else starts it (systemd, a shell) must not; stop ends it",
            )

    def spawn(
        self, argv: "list[str]", user: str = "", environment: "dict[str, str] | None" = None, open_files: int = 0
    ) -> "Started":
        """Start the program in the background; it is recorded before it begins. Raises Failure when it cannot begin.

        open_files: how many it may have (RLIMIT_NOFILE), as far as the host grants it; 0 leaves the limit as it is.
        """
        from resource_agents.host.spawn import spawn

        self.operation.doing = f"starting {argv[0]}"
        pid, since = spawn(argv, user, self.log, self.record_file, environment or {}, self.operation, open_files)
        return Started(self, pid, since)

    def end(self, polite: int = SIGTERM, grace_s: float = 3600.0) -> None:
        """End it and everything it started; of something that does not run: nothing to do. Raises Failure if any is
        left.

        A polite signal first, for as long as `grace_s` and three quarters of what is left of the timeout allow, then
        SIGTERM where the polite one was another, then SIGKILL until all are gone. A frozen program hears nothing: it
        is killed at once.
        """
        import os

        self.operation.doing = f"ending {self.name}"
        deadline = self.operation.deadline
        remaining = self._mine()
        heads = _heads(remaining)
        frozen = any(one.state == processes.FROZEN for one in heads)
        if remaining and not frozen:
            # The head sees to its own workers; those that it leaves behind when it ends were told nothing yet.
            told: set[int] = set()

            def ended() -> bool:
                left = _still(remaining)
                orphans = [one for one in _heads(left) if one.pid not in told]
                _signal(orphans, polite)
                told.update(one.pid for one in orphans)
                return not left

            deadline.part(0.75, grace_s).wait(ended)
            remaining = self._mine()
            if remaining and polite != SIGTERM:
                _signal(remaining, SIGTERM)
                deadline.part(0.5).wait(lambda: not _still(remaining))
                remaining = self._mine()
        if remaining:
            self.operation.warning(f"{_pids(remaining)} {'is frozen' if frozen else 'did not end when asked'}: killing")
            left = remaining

            def gone() -> bool:
                nonlocal left
                _signal(left, SIGKILL)
                left = _still(left) or self._mine()
                return not left

            if not deadline.wait(gone):
                states = ", ".join(f"{one.pid} in state {one.state}" for one in left)
                raise Failure(
                    GENERIC,
                    f"{self.name}: not even SIGKILL ends {states}; it hangs in the kernel (a dead disk or network "
                    f"file system?)",
                )
        processes.forget(self.record_file)
        if os.path.lexists(self.record_file):
            self.operation.warning(f"{self.record_file} could not be removed")

    def _record_if_readable(self) -> "Record | None":
        """For stop, a record that cannot be read is none: what runs with this resource's settings is found without."""
        try:
            return processes.read_record(self.record_file)
        except OSError as error:
            self.operation.warning(f"{self.record_file} cannot be read: {error.strerror}; searching without it")
            return None

    def _mine(self) -> "list[Process]":
        """Everything of this resource that runs: the recorded session, and strangers with its settings, with theirs."""
        record = self._record_if_readable()
        everyone = processes.every_process()
        heads = {one.pid for one in processes.find(self.matches)}
        sessions = {one.pid for one in everyone if one.pid in heads and one.session == one.pid}
        if record:
            running = record.running()
            heads |= {record.pid} if running else set()
            # Without its leader a session's number is still its own while any member lives.
            if running or not processes.process(record.pid):
                sessions.add(record.pid)
        return [one for one in everyone if one.pid in heads or one.session in sessions]


class Started:
    """A program that was just started: `wait` until it is usable, ending early when it dies."""

    def __init__(self, daemon: Daemon, pid: int = 0, since: int = 0) -> None:
        self.daemon = daemon
        self.pid = pid
        self.since = since

    def wait(self, usable: "Callable[[], str]", every_s: float = 0.02) -> None:
        """Until `usable` returns ""; else it says what is still missing. Raises Failure on death or at the deadline."""
        missing = ""

        def done() -> bool:
            nonlocal missing
            self._alive()
            seen = usable()
            # At the very end the answer may be only that no time is left; what was seen before then says more.
            if not seen or not missing or self.daemon.operation.deadline.left() > 0:
                missing = seen
            self.daemon.operation.doing = f"waiting for {self.daemon.name}: {missing}"
            return not seen

        if not self.daemon.operation.deadline.wait(done, every_s):
            raise Failure(
                GENERIC,
                f"{self.daemon.name}: started but not usable within {self.daemon.operation.deadline.timeout_s:g} s: "
                f"{missing}"
                f"; see {self.daemon.log}, or allow more time",
            )

    def _alive(self) -> None:
        from resource_agents.host.spawn import how_it_ended

        record = processes.read_record(self.daemon.record_file)
        if record and record.running():
            return
        status, how = how_it_ended(self.pid)
        code = self.daemon.exit_codes.get(status, GENERIC)
        raise Failure(code, f"{self.daemon.name}: {how} during start{self.daemon.last_words(self.since)}")


def _heads(group: "list[Process]") -> "list[Process]":
    """Those whose parent is not one of the group: the program itself, or what it left when it was killed."""
    pids = {one.pid for one in group}
    return [one for one in group if one.parent not in pids]


def _still(group: "list[Process]") -> "list[Process]":
    """Those of the group that still run."""
    return [now for one in group if (now := processes.process(one.pid)) and now.start == one.start]


def _signal(targets: "list[Process]", number: int) -> None:
    import os

    for one in _still(targets):
        try:
            os.kill(one.pid, number)
        except ProcessLookupError:
            continue


def _pids(found: "list[Process]") -> str:
    return ("process " if len(found) == 1 else "processes ") + ", ".join(str(one.pid) for one in found)
