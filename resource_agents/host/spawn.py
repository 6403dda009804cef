"""Start a program in the background: a session of its own, another user, output to a log, and a record before it
begins."""

import errno
import os
import select

from resource_agents.host import processes
from resource_agents.host.logs import size
from resource_agents.ocf.exits import GENERIC, INSTALLED, PERMISSION, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from resource_agents.ocf.operation import Operation
else:
    import _signal

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFSZ")
CODES = {
    errno.ENOENT: INSTALLED,
    errno.ENOEXEC: INSTALLED,
    errno.ENOTDIR: INSTALLED,
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
}


class User:
    """Whom to run as. `name` empty: as the agent itself runs."""

    __slots__ = ("gid", "home", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int, home: str) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid
        self.home = home


def program(name: str) -> str:
    """The path of a program given by path or by bare name. Raises Failure(INSTALLED)."""
    candidates = [name] if name.startswith("/") else [f"{directory}/{name}" for directory in PATH.split(":")]
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    where = "" if name.startswith("/") else f" in {PATH}"
    raise Failure(
        INSTALLED, f"program {name} is not installed on this node{where}, or cannot be executed; install it here"
    )


def find_user(name: str) -> User:
    """Raises Failure(INSTALLED) for a user that this node does not have."""
    import pwd

    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(os.geteuid())
    except KeyError:
        if not name:
            return User("", os.geteuid(), os.getegid(), "/")
        raise Failure(INSTALLED, f"user {name} does not exist on this node; create it here") from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def own_directory(path: str, user: User) -> None:
    """Make the directory, the user's own, if there is none; an existing one is left as it is."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.gid)


def spawn(
    argv: "list[str]",
    user_name: str,
    log: str,
    record_file: str,
    environment: "dict[str, str]",
    operation: "Operation",
    open_files: int = 0,
) -> "tuple[int, int]":
    """Start `argv` and return its pid and the log's size before. Raises Failure when it cannot even begin.

    The child waits until its pid and start time are on record before it becomes the program: there is no instant at
    which the program runs and a stop would not find it. Should this process be killed meanwhile, the child ends too.
    """
    path = program(argv[0])
    user = find_user(user_name)
    if os.geteuid() not in (0, user.uid):
        raise Failure(PERMISSION, f"{operation.name}: only root can run {path} as user {user.name}")
    since = size(log)
    output = _open_log(log, user)
    go_read, go_write = os.pipe()
    error_read, error_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(go_write)
            if os.read(go_read, 1) == b"g":
                _limit_open_files(open_files)
                _become(path, argv, user, output, environment, error_write)
        except BaseException as error:
            number = error.errno if isinstance(error, OSError) else 0
            os.write(error_write, f"{number or 0} {error}".encode("utf-8", "replace"))
        finally:
            os._exit(127)
    for handle in (go_read, error_write, output):
        os.close(handle)
    try:
        born = processes.process(pid)
        processes.write_record(record_file, pid, born.start if born else 0)
        os.write(go_write, b"g")
    except OSError:
        os.close(go_write)
        go_write = -1
        os.waitpid(pid, 0)
        raise
    finally:
        if go_write >= 0:
            os.close(go_write)
    ready, _, _ = select.select([error_read], [], [], operation.deadline.left())
    complaint = os.read(error_read, 4096).decode("utf-8", "replace") if ready else "0 it did not begin in time"
    os.close(error_read)
    if complaint:
        # Whatever kept it from beginning must not let it begin now that it is on no record.
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        processes.forget(record_file)
        code, _, words = complaint.partition(" ")
        raise Failure(CODES.get(int(code), GENERIC), f"{operation.name}: {path} cannot be started: {words}")
    return pid, since


def _become(path: str, argv: "list[str]", user: User, output: int, environment: "dict[str, str]", errors: int) -> None:
    os.setsid()
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    # Whatever Pacemaker left open for the agent must not live on in the program; the pipe for errors closes itself.
    os.closerange(3, errors)
    os.closerange(errors + 1, 4096)
    for name in (*IGNORED_BY_PYTHON, "SIGTERM", "SIGINT", "SIGHUP"):
        _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    os.umask(0o022)
    if os.geteuid() == 0:
        os.initgroups(user.name or "root", user.gid)
        os.setgid(user.gid)
        os.setuid(user.uid)
    os.chdir("/")
    own = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    os.execve(path, argv, {**own, **environment})  # noqa: S606 - no shell is meant


def _limit_open_files(wanted: int) -> None:
    """As many as wanted; where that needs a right that this host does not give, as many as may be had."""
    if not wanted:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def open_files(pid: int) -> int:
    """How many files the process may have open, -1 when that cannot be seen."""
    import resource

    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    except OSError:
        return -1


def _open_log(log: str, user: User) -> int:
    """Append to the log; a missing one becomes the user's own. A symbolic link is refused: root would write through
    it."""
    own_directory(os.path.dirname(log), user)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NOCTTY, 0o640)
    if os.geteuid() == 0 and os.fstat(handle).st_size == 0:
        os.fchown(handle, user.uid, user.gid)
    return handle


def how_it_ended(pid: int) -> "tuple[int, str]":
    """Exit code (-1 when it has none, or none that we can know) and the end in words."""
    try:
        reaped, status = os.waitpid(pid, os.WNOHANG) if pid > 0 else (0, 0)
    except ChildProcessError:
        reaped, status = 0, 0
    if not reaped:
        return -1, "its process ended"
    if os.WIFSIGNALED(status):
        return -1, f"process {pid} was killed by signal {os.WTERMSIG(status)}"
    return os.WEXITSTATUS(status), f"process {pid} ended with exit code {os.WEXITSTATUS(status)}"


def run(argv: "list[str]", operation: "Operation", timeout_s: float) -> "tuple[int, str]":
    """Run a short-lived program and return its exit code and what it printed. Raises Failure when it takes too long."""
    path = program(argv[0])
    deadline = operation.deadline.part(1.0, timeout_s)
    reader, writer = os.pipe()
    nothing = os.open("/dev/null", os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
    defaults = [getattr(_signal, name) for name in IGNORED_BY_PYTHON]
    environment = {"PATH": PATH, "LANG": "C.UTF-8"}
    try:
        pid = os.posix_spawn(path, argv, environment, file_actions=actions, setpgroup=0, setsigdef=defaults)
    except OSError as error:
        os.close(reader)
        code = CODES.get(error.errno or 0, GENERIC)
        raise Failure(code, f"{operation.name}: {path} cannot be started: {error.strerror}") from None
    finally:
        os.close(writer)
        os.close(nothing)
    printed = b""
    try:
        while select.select([reader], [], [], deadline.left())[0]:
            more = os.read(reader, 65536)
            if not more:
                _, status = os.waitpid(pid, 0)
                pid = 0
                return os.waitstatus_to_exitcode(status), printed.decode("utf-8", "replace")
            printed = (printed + more)[-65536:]
        raise Failure(GENERIC, f"{operation.name}: {' '.join(argv)} was not done within {deadline.timeout_s:g} s")
    finally:
        os.close(reader)
        if pid:
            os.killpg(pid, 9)
            os.waitpid(pid, 0)
