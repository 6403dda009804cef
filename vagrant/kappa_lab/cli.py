"""`kappa-lab`: the lab and its drills, for people."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from kappa_lab import drill as drills
from kappa_lab import lab, preflight, scenario
from kappa_lab import predict as predictions
from kappa_lab.errors import LabError
from kappa_lab.predict import live, show
from kappa_lab.predict.cib import read as read_cib
from kappa_lab.predict.corosync import read as read_corosync
from kappa_lab.progress import say, warn

FAILED = 1
CANNOT = 2
INTERRUPTED = 130
DEFAULT = "power-cut"


@click.group()
def cli() -> None:
    """A three-node cluster on this machine, to be broken on purpose."""


@cli.command()
def up() -> None:
    """Bring the lab up and leave it running."""
    with lab.sole_user():
        if standing := lab.marked():
            if standing == "kappa-lab up" and lab.stands():
                say("The lab is up already; `sudo make lab-status` shows it.")
                return
            say(f"What {standing} left is cleared first.")
            lab.down(quiet=True)
        try:
            lab.up("kappa-lab up")
        except BaseException:
            with drills.uninterrupted():
                lab.down(quiet=True)
            raise
        lab.show()


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


@cli.group()
def drill() -> None:
    """Break something on purpose, and see what users notice."""


@drill.command("list")
def list_() -> None:
    """The drills that there are: name, tags, purpose."""
    known = [scenario.load(name) for name in scenario.names()]
    width = max(len(one.name) for one in known)
    for one in known:
        say(f"{one.name:<{width}}  [{', '.join(one.tags)}]  {one.purpose}")


@drill.command("show")
@click.argument("name")
def show_(name: str) -> None:
    """The drill NAME in words: traffic, steps, what must hold."""
    say(scenario.words(scenario.load(name)))


@drill.command("run")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--tag", "tags", multiple=True, metavar="T", help="Every drill that has this tag; may be repeated.")
@click.option("--all", "all_", is_flag=True, help="Every drill that there is.")
@click.option("--repeat", type=click.IntRange(min=1), default=1, show_default=True, help="Run each so often.")
@click.option("--seed", default=1, show_default=True, help="What the users do is drawn from it; grows by repetition.")
def run(names: tuple[str, ...], tags: tuple[str, ...], all_: bool, repeat: int, seed: int) -> None:
    """Run drills one after the other in a fresh lab; exit 0 only when each passed. Without any named: power-cut."""
    chosen = _chosen(names, tags, all_)
    plan = [(one, seed + repetition) for repetition in range(repeat) for one in chosen]
    with lab.sole_user():
        if not drills.run(plan):
            sys.exit(FAILED)


def _chosen(names: tuple[str, ...], tags: tuple[str, ...], all_: bool) -> list[scenario.Scenario]:
    """The drills that are named, as they are named; then those of the tags. None twice."""
    chosen = {name: scenario.load(name) for name in names}
    known = [scenario.load(name) for name in scenario.names()] if tags or all_ else []
    for tag in tags:
        if not any(tag in one.tags for one in known):
            there = sorted({tag for one in known for tag in one.tags})
            raise LabError(f"No drill has the tag {tag!r}.", f"These are there: {', '.join(there)}.")
    chosen |= {one.name: one for one in known if all_ or set(tags) & set(one.tags)}
    return list((chosen or {DEFAULT: scenario.load(DEFAULT)}).values())


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
