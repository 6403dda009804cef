"""ocf:kappa:nginx: the Nginx web server."""

from resource_agents.host.daemon import Daemon, Started
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import ARGS, DEGRADED, GENERIC, INSTALLED, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter

SIGQUIT = 3  # to Nginx: end when the open requests are done


def _daemon(operation: Operation) -> Daemon:
    config = operation.text("config")

    def matches(words: "list[str]") -> bool:
        # A master writes its whole command line, in one piece, over its arguments.
        title = " ".join(words)
        return title.startswith("nginx: master process ") and f" -c {config} " in f"{title} "

    return Daemon(operation, operation.text("log"), matches)


def _command(operation: Operation, *more: str) -> "list[str]":
    words = [operation.text("binary"), *more, "-c", operation.text("config")]
    return [*words, "-g", operation.text("globals")] if operation.text("globals") else words


def monitor(operation: Operation) -> None:
    _daemon(operation).check()


def serving(operation: Operation) -> None:
    """Level 10: it has workers, and answers the status URL where one is given."""
    record = _daemon(operation).check()
    wrong = _serves(operation, record.pid)
    if wrong:
        raise Failure(GENERIC, f"nginx: process {record.pid} runs, but {wrong}; see its error log")


def _serves(operation: Operation, master: int) -> str:
    """What is missing, "" when it serves."""
    from resource_agents.host.processes import session_members

    if not any(one.parent == master for one in session_members(master)):
        return "has no worker process"
    url = operation.text("status_url")
    if not url:
        return ""
    return _answers(operation, url, 200, operation.text("status_pattern"))


def upstream(operation: Operation) -> None:
    """Level 20: a request gets through to the upstream and back."""
    url = operation.text("upstream_url")
    if not url:
        return
    wrong = _answers(operation, url, operation.number("upstream_status"), operation.text("upstream_pattern"))
    if wrong and operation.text("upstream_failure") == "failed":
        raise Failure(GENERIC, f"nginx: does not serve its upstream: {wrong}")
    if wrong:
        raise Failure(DEGRADED, f"nginx: serves, but its upstream does not: {wrong}; see to what is behind it")


def _answers(operation: Operation, url: str, status: int, pattern: str) -> str:
    """What is wrong with the answer, "" when it is as expected."""
    from resource_agents.host.sockets import Unanswered, http_get

    operation.doing = f"asking {url}"
    try:
        code, body = http_get(url, operation.deadline.part(1.0, 10.0))
    except Unanswered as unanswered:
        return f"{url} {unanswered}"
    if code != status:
        return f"{url} answers {code}, not {status}"
    if pattern:
        import re

        said = body.decode("utf-8", "replace")
        if not re.search(pattern, said):
            return f"{url} answers {said[:60]!r}, in which nothing matches {pattern}"
    return ""


def start(operation: Operation) -> None:
    daemon = _daemon(operation)
    started = Started(daemon)
    if daemon.already_runs():
        record = daemon.check()
        started.pid = record.pid
    else:
        _test(operation)
        started = daemon.spawn(_command(operation))
    started.wait(lambda: _serves(operation, started.pid))
    operation.info(f"nginx serves with {operation.text('config')}")


def _test(operation: Operation) -> None:
    """Nginx's own verdict on its configuration, before anything is started with it."""
    import os

    from resource_agents.host.spawn import run

    config = operation.text("config")
    if not os.path.isfile(config):
        raise Failure(INSTALLED, f"nginx: configuration {config} does not exist on this node; put it here")
    operation.doing = f"testing {config}"
    code, said = run(_command(operation, "-t", "-q"), operation, timeout_s=30.0)
    if code != 0:
        lines = [line for line in said.splitlines() if "[emerg]" in line or "[crit]" in line] or said.splitlines()[:1]
        hint = ""
        if '"daemon" directive is duplicate' in said:
            hint = " (where the configuration itself says daemon off, set globals to a space)"
        raise Failure(ARGS, f"nginx refuses {config}: {lines[0] if lines else f'exit code {code}'}{hint}")


def stop(operation: Operation) -> None:
    """Requests in hand may finish for `drain`; then firmly; then by force. Workers whose master was killed are ended
    too."""
    _daemon(operation).end(SIGQUIT, operation.seconds("drain"))


def validate(operation: Operation) -> None:
    _test(operation)


def _wrong_url(raw: str) -> str:
    from resource_agents.host.url import http_address

    try:
        http_address(raw)
    except ValueError as wrong:
        return str(wrong)
    return ""


def _agree(operation: Operation) -> None:
    if operation.action == "monitor" and operation.level < 10:
        return  # it uses no pattern, and `re` costs as much as the rest of the check
    for name in ("status_pattern", "upstream_pattern"):
        pattern = operation.text(name)
        if pattern:
            import re

            try:
                re.compile(pattern)
            except re.error as wrong:
                raise ValueError(f"parameter {name}={pattern} is no regular expression: {wrong}") from None


AGENT = Agent(
    name="nginx",
    short="Nginx web server",
    long="""The Nginx web server. Its configuration is tested by Nginx itself before start. Stop lets open requests
finish, then ends it firmly, workers whose master was killed included. Monitor looks at the master process (depth 0), at
its workers and the status URL (depth 10), and at what a request through to the upstream brings back (depth 20). Nothing
is read out of nginx.conf.""",
    parameters=(
        Parameter("binary", "program", "nginx", "Nginx's program", "Path or name of nginx."),
        Parameter(
            "config",
            "path",
            "/etc/nginx/nginx.conf",
            "Configuration file",
            "Nginx's configuration file.",
            unique_group="config",
        ),
        Parameter(
            "globals",
            "string",
            "daemon off;",
            "Global directives",
            "Directives given with -g. Nginx must stay in the foreground: the agent puts it in the background itself, "
            "and so knows its process. Where the configuration says daemon off itself, set this to a single space.",
        ),
        Parameter(
            "status_url",
            "string",
            "",
            "Status URL",
            "An http:// URL on this node that answers 200 when Nginx serves; asked at start and by depth 10. "
            "When empty, none is asked.",
            check=_wrong_url,
            reloadable=True,
        ),
        Parameter(
            "status_pattern",
            "string",
            "",
            "Expected in the status page",
            "A regular expression (Python's) that must match somewhere in the first 64 KiB of the status URL's answer.",
            reloadable=True,
        ),
        Parameter(
            "upstream_url",
            "string",
            "",
            "Upstream URL",
            "An http:// URL on this node that Nginx passes on to its upstream; asked by depth 20 alone. When empty, "
            "depth 20 is as depth 10.",
            check=_wrong_url,
            reloadable=True,
        ),
        Parameter(
            "upstream_status",
            "integer",
            "200",
            "Expected status from upstream",
            "The HTTP status that the upstream URL must answer with.",
            minimum=100,
            maximum=599,
            reloadable=True,
        ),
        Parameter(
            "upstream_pattern",
            "string",
            "",
            "Expected from upstream",
            "A regular expression (Python's) that must match somewhere in the first 64 KiB of the upstream's answer.",
            reloadable=True,
        ),
        Parameter(
            "upstream_failure",
            "select",
            "degraded",
            "What a wrong answer from upstream is",
            "degraded: Pacemaker shows it and leaves Nginx alone, for a restart of Nginx mends no upstream. failed: "
            "Pacemaker restarts or moves it.",
            options=("degraded", "failed"),
            reloadable=True,
        ),
        Parameter(
            "drain",
            "time",
            "5s",
            "Time for open requests",
            "For how long stop lets open requests finish.",
            reloadable=True,
        ),
        Parameter(
            "log",
            "path",
            "/var/log/kappa/nginx.log",
            "Log file",
            "Where its messages go before it opens its own logs.",
        ),
    ),
    timeouts={"start": 40, "stop": 40, "monitor": 20},
    start=start,
    stop=stop,
    monitors={0: (10, monitor), 10: (20, serving), 20: (60, upstream)},
    validate=validate,
    agree=_agree,
)
