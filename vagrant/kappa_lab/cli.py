"""`kappa-lab`: the lab and its drills, for people."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from kappa_lab import box, bundle, hypervisor, lab, machines, preflight, scenario, settings
from kappa_lab import drill as drills
from kappa_lab import predict as predictions
from kappa_lab.errors import LabError
from kappa_lab.predict import live, show
from kappa_lab.predict.cib import read as read_cib
from kappa_lab.predict.corosync import read as read_corosync
from kappa_lab.progress import say, step, warn

FAILED = 1
CANNOT = 2
INTERRUPTED = 130


@click.group()
def cli() -> None:
    """A three-node cluster on this machine, to be broken on purpose."""


LABS = {"docker": lab.up, "vagrant": machines.up, "vagrant-docker": machines.up_in_containers}


@cli.command()
@click.option("--lab", "kind", type=click.Choice(tuple(LABS)), default="docker", show_default=True,
              help="What the nodes are: containers, Vagrant's virtual machines, or its containers.")  # fmt: skip
def up(kind: str) -> None:
    """Bring the lab up and leave it running."""
    if not hypervisor.inside():
        with lab.sole_user():
            if standing := lab.marked():
                if standing == "kappa-lab up" and lab.stands():
                    say("The lab is up already; `sudo make lab-status` shows it.")
                    return
                say(f"What {standing} left is cleared first.")
                lab.down(quiet=True)
            if kind == "vagrant":
                prepared_for_machines()
        if kind == "vagrant":
            hypervisor.enter()
    with lab.sole_user():
        try:
            LABS[kind]("kappa-lab up")
        except BaseException:
            with drills.uninterrupted():
                lab.down(quiet=True)
            raise
        lab.show()


def prepared_for_machines() -> None:
    try:
        machines.prepare()
    except BaseException:
        with drills.uninterrupted():
            lab.down(quiet=True)
        raise


@cli.command("vagrant", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def vagrant_(words: tuple[str, ...]) -> None:
    """Run Vagrant with these WORDS in the lab of machines: status, ssh node1, halt node2, up node2."""
    preflight.root()
    machines.become_vagrant(words)


@cli.command()
def down() -> None:
    """Remove everything of the lab but reports and built images."""
    with lab.sole_user():
        lab.down()


@cli.command()
def status() -> None:
    """Say what stands, and what the cluster says of itself."""
    preflight.root()
    lab.show()


@cli.command()
def build() -> None:
    """Build the images, and nothing more."""
    with lab.sole_user():
        try:
            lab.prepare()
        finally:
            if lab.marked() == "an interrupted run":
                lab.down(quiet=True)


@cli.command("bundle")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def bundle_(file: Path) -> None:
    """Write FILE (.tar.gz), from which any Debian machine becomes a node: unpack it there and run provision/node."""
    with step(f"writing {file}"):
        bundle.write(file)
    say(f"On the machine: tar -xzf {file.name} && sudo kappa-node/provision/node")


@cli.group("box")
def box_() -> None:
    """The box of which virtual machines are made."""


@box_.command("build")
def box_build() -> None:
    """Build the box, if it is not there, and say where it is and what Vagrant calls it."""
    made = box.build(settings.load())
    say(f"{made.file}\n{made.name}")


@box_.command("clean")
def box_clean() -> None:
    """Remove built boxes."""
    box.remove()


@cli.group()
def drill() -> None:
    """Break something on purpose, and see what users notice."""


@drill.command("list")
def list_() -> None:
    """The drills that there are."""
    for name in scenario.names():
        say(f"{name:<18} {scenario.load(name).purpose}")


@drill.command("run")
@click.argument("name", default="power-cut")
@click.option("--seed", default=1, show_default=True, help="What the users do is drawn from it.")
def run(name: str, seed: int) -> None:
    """Run the drill NAME in a fresh lab; exit 0 only when every invariant held."""
    chosen = scenario.load(name)
    with lab.sole_user():
        if not drills.run(chosen, seed):
            sys.exit(FAILED)


@cli.command()
@click.option(
    "--cib", type=click.Path(path_type=Path), help="What cibadmin --query printed; without it a live cluster is asked."
)
@click.option("--corosync", type=click.Path(path_type=Path), help="The corosync.conf; without it this machine's own.")
@click.option(
    "--lease",
    type=float,
    default=predictions.LEASE_S,
    show_default=True,
    help="The bot's lease, in s.",
)
@click.option("--sbd-watchdog-timeout", type=float, help="SBD_WATCHDOG_TIMEOUT of the nodes, in s.")
@click.option("--format", "form", type=click.Choice(tuple(show.FORMATS)), default="text", show_default=True)
def predict(
    cib: Path | None, corosync: Path | None, lease: float, sbd_watchdog_timeout: float | None, form: str
) -> None:
    """Say from configuration alone how long each recovery may take; exit 1 where an expert would warn."""
    given = predictions.Given(
        read_cib(live.cib_text(cib), str(cib or "the CIB")),
        read_corosync(live.corosync_text(corosync), str(corosync or live.COROSYNC_CONF)),
        lease,
        sbd_watchdog_timeout,
    )
    warned = predictions.warnings(given)
    say(show.FORMATS[form](predictions.everything(given), warned))
    if warned:
        sys.exit(FAILED)


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: whatever goes wrong is one sentence and a non-zero exit."""
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGHUP, _interrupted)
    try:
        cli(standalone_mode=False)
    except LabError as error:
        warn(f"kappa-lab: {error}")
        sys.exit(CANNOT)
    except click.ClickException as error:
        warn(f"kappa-lab: {error.format_message()}")
        sys.exit(CANNOT)
    except (KeyboardInterrupt, click.exceptions.Abort):
        warn("kappa-lab: interrupted; what it had started has been taken down.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        warn(f"kappa-lab: {error.strerror or error}{': ' + str(error.filename) if error.filename else ''}")
        sys.exit(CANNOT)


if __name__ == "__main__":
    main()
