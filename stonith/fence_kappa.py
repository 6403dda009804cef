#!/usr/bin/python3 -IS
"""fence_kappa: a fence agent that says "off" only on proof. Asks `kappa-powerd`, the power broker on the nodes' host.

Installed at /usr/sbin/fence_kappa, as a copy of this file or a link to it, with the package `stonith` under
/usr/lib/kappa-ha (where its compiled modules are kept, so that a start costs milliseconds). `--help` lists its options.
"""

# `signal` itself brings enum with it, and every millisecond here is on the path of a failover
import _signal  # type: ignore[import-not-found]
import os
import sys

LIBRARY = "/usr/lib/kappa-ha"

if not __package__:  # run as a file, with no search path of its own (-IS)
    home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.path.insert(0, home if os.path.isdir(os.path.join(home, "stonith", "agent")) else LIBRARY)


def main() -> None:
    """Read the options, do the action and exit with its code; never return, so that no caller can lose the code.

    Whatever goes wrong is exit code 1 and one line on standard error.
    """
    sys.exit(_guarded())


def _guarded() -> int:
    try:
        return _run(sys.argv[1:])
    except KeyboardInterrupt:
        return _fail("was interrupted; nothing is proven, so look at the machine's state")
    except BrokenPipeError:
        return _fail("nobody reads its output any more; nothing is proven, so look at the machine's state")
    except Exception as error:
        # the contract is an exit code and a reason whatever happens; a traceback could carry what nobody should read
        return _fail(f"failed in a way it does not know ({type(error).__name__} at {_where(error)}); please report it")


def _run(arguments: list[str]) -> int:
    from stonith.agent.options import Settings, UsageError, read_argv, read_stdin

    try:
        if not arguments and os.isatty(0):
            raise UsageError("no options; fence_kappa --help shows them, or give key=value lines on standard input")
        given = read_argv(arguments) if arguments else read_stdin()
        if text := _text(given):
            os.write(1, text.encode("utf-8"))
            return 0
        settings = Settings(given)
    except UsageError as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"cannot read standard input ({error.strerror}); give key=value lines or options")

    if settings.action == "validate-all":
        return 0  # the options are right, and silence says so; what this host has is another matter

    from stonith.agent.actions import ActionError, run

    about = f"{settings.action} of {settings.plug}" if settings.plug else settings.action
    _guard(about, settings.delay_s + settings.timeout_s + settings.power_wait_s + 1)
    try:
        if settings.action == "explain":
            from stonith.agent.explain import explain

            return explain(settings)
        return run(settings)
    except ActionError as error:
        return _fail(f"{about} failed: {error}")


def _text(given: dict[str, str]) -> str:
    """What is printed without asking anybody."""
    action = given.get("action", "").lower()
    if not ("help" in given or "version" in given or action in ("metadata", "manpage")):
        return ""
    if action == "manpage" and not ("help" in given or "version" in given):
        from stonith.agent.manpage import manpage

        return manpage()
    from stonith.agent import describe

    if "help" in given:
        return describe.usage()
    return f"fence_kappa {describe.VERSION}\n" if "version" in given else describe.metadata()


def _guard(about: str, seconds: float) -> None:
    """Ended by the cluster, or stuck somewhere against all care: say so, and fail."""

    def ended(number: int, _: object) -> None:
        why = f"ran longer than {seconds:g} s" if number == _signal.SIGALRM else f"was ended by signal {number}"
        _fail(f"{about} failed: it {why}; nothing is proven, so look at the machine's state")
        os._exit(1)

    for number in (_signal.SIGTERM, _signal.SIGALRM):
        _signal.signal(number, ended)
    _signal.setitimer(_signal.ITIMER_REAL, seconds)


def _fail(reason: str) -> int:
    try:
        line = " ".join(reason.split())
        os.write(2, f"fence_kappa: {line}\n".encode("utf-8", "replace"))
    except OSError:
        pass
    return 1


def _where(error: BaseException) -> str:
    trace, place = error.__traceback__, "?"
    while trace is not None:
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


if __name__ == "__main__":
    main()
