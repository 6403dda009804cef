"""`kappa-powerd`: the power broker on the nodes' host. It alone touches the hypervisor.

Exit codes: 0 told to stop, or nothing wrong; 1 could not work, or something will spoil fencing; 2 the configuration or
the command line is wrong.
"""

import argparse
import asyncio
import errno
import signal
import sys
from pathlib import Path
from typing import NoReturn

from stonith.power import checkup, privileges
from stonith.power.audit import Audit
from stonith.power.brake import Brake
from stonith.power.config import Config, load
from stonith.power.server import Server
from stonith.power.switch import Switch
from stonith.power.table import ConfigError

VERSION = "0.1.0"


class StartError(Exception):
    """Why the broker cannot work, in one sentence."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say(f"{message}; see kappa-powerd --help")
        sys.exit(2)


def main() -> None:
    parser = _Parser(
        prog="kappa-powerd",
        description="Switch cluster nodes for the fence agents of their peers, and for nobody else.",
        epilog="check-config says what the broker would do, see and allow, and what will spoil fencing; it switches "
        "and opens nothing. Its exit code is 0 if nothing is wrong, 1 if something is, 2 if the configuration is.",
    )
    parser.add_argument("command", nargs="?", choices=("serve", "check-config"), default="serve")
    parser.add_argument("--config", type=Path, required=True, help="the broker's configuration, a TOML file")
    parser.add_argument("--check", action="store_true", help="the same as check-config")
    parser.add_argument("--version", action="version", version=f"kappa-powerd, version {VERSION}")
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
        worry = privileges.drop(config.user, config.groups, config.driver.no_new_privileges)
        if arguments.check or arguments.command == "check-config":
            sys.exit(_check(config, worry))
        asyncio.run(_serve(config, worry))
    except ConfigError as error:
        _say(str(error))
        sys.exit(2)
    except (StartError, privileges.PrivilegeError) as error:
        _say(str(error))
        sys.exit(1)


def _check(config: Config, worry: str) -> int:
    said, wrong = checkup.report(config)
    for line in [*said, worry] if worry else said:
        print(line)
    sys.stdout.flush()
    for line in wrong:
        _say(line)
    return 1 if wrong else 0


async def _serve(config: Config, worry: str) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    brake = Brake(config.limits)
    brake.recall(config.audit)
    audit = Audit(config.audit)
    worries = [worry, audit.trouble()]
    server = Server(Switch(config.driver, config.machines, brake=brake, units=config.units), config.clients, audit)
    try:
        bound = [await _listen(server, host, port) for host, port in config.listen]
        where = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in bound)
        who = f"{len(config.machines)} machines, {len(config.clients)} clients"
        _say("; ".join(filter(None, (f"listening on {where}", who, *worries))))
        await ended.wait()
        _say("told to stop")
    finally:
        await server.close()


async def _listen(server: Server, host: str, port: int) -> tuple[str, int]:
    try:
        return await server.listen(host, port)
    except OSError as error:
        what = {
            errno.EADDRINUSE: "something else has this address already; ss -ltnp shows what, perhaps another broker",
            errno.EADDRNOTAVAIL: "this host does not have that address; bring its network up first",
            errno.EACCES: "this user may not use that port; take one above 1023",
        }.get(error.errno or 0, str(error.strerror or error).lower())
        raise StartError(f"cannot listen on {host} port {port}: {what}") from None


def _say(line: str) -> None:
    print(f"kappa-powerd: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
