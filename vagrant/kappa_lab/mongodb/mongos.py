"""`python -m kappa_lab.mongodb.mongos`: a stand-in for MongoDB's router, for labs where no mongos is installed.

It takes mongos's own options and is greeted, started, stopped and monitored as mongos is; behind it stands one replica
set, to whose primary it hands every command. It shards nothing. README.md beside this file says where it differs.

Nothing but what the options need is imported here: a start is timed, and most of it is Python's.
"""

import os
import sys

from kappa_lab.mongodb import keyfile
from kappa_lab.mongodb.daemon import Background, call_the_process, fork, leave_the_terminal, write_pidfile
from kappa_lab.mongodb.log import Log
from kappa_lab.mongodb.options import EXIT_BAD_OPTIONS, OptionError, Options, parse, usage

VERSION = """mongos stand-in of the Kappa HA lab (this is not MongoDB's mongos)
    routes:   one replica set; every command goes to its primary, nothing is sharded
    speaks:   MongoDB's wire protocol, versions as the members of the set say"""

EXIT_FAILURE = 1


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0 ended when told to, 2 bad options, 48 cannot listen, 1 anything else."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
    except OptionError as error:
        print(f"{error}\ntry 'mongos --help' for more information", file=sys.stderr)
        return EXIT_BAD_OPTIONS
    if options.show:
        print(VERSION if options.show == "version" else f"{VERSION}\n{usage()}")
        return 0
    return start(options)


def start(options: Options) -> int:
    try:
        key = keyfile.read(options.key_file) if options.key_file else ""
    except keyfile.KeyFileError as error:
        print(f"mongos stand-in: {error}", file=sys.stderr)
        return EXIT_FAILURE
    logpath = os.path.abspath(options.logpath) if options.logpath else ""  # noqa: PTH100 (start-up time)
    background = fork() if options.fork else Background()
    try:
        log = Log(logpath, options.logappend)
        if options.fork:
            leave_the_terminal(log)
        if options.pidfile:
            write_pidfile(options.pidfile)
    except OSError as error:
        print(f"mongos stand-in: cannot write {error.filename}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILURE
    call_the_process("mongos")

    import asyncio

    from kappa_lab.mongodb.serve import EXIT_NET_ERROR, ListenError, bind, run

    try:
        sockets = bind(options)
    except ListenError as error:
        log.fail("CONTROL", "Error setting up listener", error=str(error))
        print(f"mongos stand-in: cannot listen on {error}", file=sys.stderr)
        return EXIT_NET_ERROR
    set_name, port = options.set_name, options.port
    log.say("CONTROL", "Starting: this is the lab's stand-in for mongos", pid=os.getpid(), port=port, set=set_name)
    return asyncio.run(run(options, key, sockets, log, background.ready))


if __name__ == "__main__":
    sys.exit(main())
