"""`kappa-powerd`: the power broker on the nodes' host. It alone touches the hypervisor.

Exit codes: 0 told to stop, 1 could not work, 2 the configuration is wrong.
"""

import asyncio
import errno
import signal
import sys
import time
from pathlib import Path

import click

from stonith.power.audit import Audit
from stonith.power.config import Config, load
from stonith.power.driver import State
from stonith.power.server import Server
from stonith.power.switch import Switch
from stonith.power.table import ConfigError

CHECK_S = 10.0


class StartError(Exception):
    """Why the broker cannot work, in one sentence."""


@click.command()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="The broker's configuration, a TOML file."
)
@click.option(
    "--check", is_flag=True, help="Check the configuration and look at every machine; switch and open nothing."
)
@click.version_option("0.1.0", prog_name="kappa-powerd")
def main(path: Path, check: bool) -> None:
    """Switch cluster nodes for the fence agents of their peers, and for nobody else."""
    try:
        config = load(path)
    except ConfigError as error:
        _say(str(error))
        sys.exit(2)
    if check:
        sys.exit(_check(config))
    try:
        asyncio.run(_serve(config))
    except StartError as error:
        _say(str(error))
        sys.exit(1)


def _check(config: Config) -> int:
    """Say what the broker would see. 1 when the hypervisor cannot be asked or a machine's state is unknown."""
    switch = Switch(config.driver, config.machines)
    deadline = time.monotonic() + CHECK_S
    trouble = switch.trouble(deadline)
    if trouble:
        _say(f"the configuration is right, but {trouble}")
        return 1
    known = True
    for plug, machine in config.machines.items():
        sight = switch.status(plug, deadline).after
        known = known and sight.state is not State.UNKNOWN
        click.echo(f"{plug} ({machine}): {sight.state.value}: {sight.evidence}")
    for client in config.clients.values():
        click.echo(f"{client.name} may switch {', '.join(client.may)}")
    return 0 if known else 1


async def _serve(config: Config) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    server = Server(Switch(config.driver, config.machines), config.clients, Audit(config.audit))
    try:
        bound = [await _listen(server, host, port) for host, port in config.listen]
        where = ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in bound)
        _say(f"listening on {where}; {len(config.machines)} machines, {len(config.clients)} clients")
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
