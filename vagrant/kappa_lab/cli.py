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
from kappa_lab.paths import DRILLS
from kappa_lab.predict import live, show
from kappa_lab.predict.cib import read as read_cib
from kappa_lab.predict.corosync import read as read_corosync
from kappa_lab.progress import say, step, warn
from kappa_lab.report import compare
from kappa_lab.report.compare import FACTOR
from kappa_lab.storm import command as storms

FAILED = 1
CANNOT = 2
INTERRUPTED = 130
DEFAULT = "power-cut"


@click.group()
def cli() -> None:
    """A three-node cluster on this machine, to be broken on purpose."""


LABS = {"docker": lab.up, "vagrant": machines.up, "vagrant-docker": machines.up_in_containers}
LAB_OPTION = click.option(
    "--lab", "kind", type=click.Choice(tuple(LABS)), default="docker", show_default=True,
    help="What the nodes are: containers, Vagrant's virtual machines, or its containers.",
)  # fmt: skip


@cli.command()
@LAB_OPTION
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
            elsewhere(keep=True)
    with lab.sole_user():
        try:
            LABS[kind]("kappa-lab up")
        except BaseException:
            with drills.uninterrupted():
                lab.down(quiet=True)
            raise
        lab.show()


def elsewhere(keep: bool = False) -> NoReturn:
    """Do this command in the private hypervisor's namespace, and end as it does; `keep` what it brought up."""
    code = CANNOT
    try:
        with lab.sole_user():
            machines.prepare()
        code = hypervisor.within()
    finally:
        if code or not keep:
            with drills.uninterrupted(), lab.sole_user():
                lab.down(quiet=True)
    sys.exit(code)


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
@LAB_OPTION
def run(names: tuple[str, ...], tags: tuple[str, ...], all_: bool, repeat: int, seed: int, kind: str) -> None:
    """Run drills one after the other in a fresh lab; exit 0 only when each passed. Without any named: power-cut."""
    chosen = _chosen(names, tags, all_)
    if kind == "vagrant":
        if not hypervisor.inside():
            elsewhere()
        chosen = [scenario.slower(one, machines.pace()) for one in chosen]
    plan = [(one, seed + repetition) for repetition in range(repeat) for one in chosen]
    with lab.sole_user():
        if not drills.run(plan, LABS[kind]):
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


@cli.command("compare")
@click.argument("before", default="")
@click.argument("after", default="")
@click.option("--factor", default=FACTOR, show_default=True, help="An RTO so many times as long has got worse.")
def compare_(before: str, after: str, factor: float) -> None:
    """Compare the run AFTER (else the latest) with the run BEFORE (else the one before it); exit 1 where it got worse.

    Each is a run's folder, its name in build/drills, or a report.json.
    """
    if not factor >= 1:
        raise LabError(f"--factor is {factor:g}; it must be 1 or more.")
    compared = compare.chosen(DRILLS, before, after, factor)
    say(compare.text(compared))
    if compared.worse:
        sys.exit(FAILED)


@cli.command()
@click.option("--seed", default=1, show_default=True, help="Faults, moments and what the users do are drawn from it.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="How long; 2 where nothing else is said.")
@click.option("--faults", type=click.IntRange(min=1), help="How many faults; with --minutes, at that pace.")
@click.option("--plan", type=click.Path(path_type=Path), help="The plan of an earlier storm, or one of your own.")
@click.option("--shrink", is_flag=True, help="When it fails, look for the fewest faults that still fail.")
@click.option("--shrink-minutes", type=click.FloatRange(min=0), default=60, show_default=True, help="No longer.")
@click.option("--again", type=click.Path(path_type=Path), help="Go on shrinking the storm that failed in this folder.")
def storm(
    seed: int, minutes: float | None, faults: int | None, plan: Path | None, shrink: bool, shrink_minutes: float,
    again: Path | None,
) -> None:  # fmt: skip
    """Random faults at random moments, overlapping and healed, in a fresh lab; exit 0 only when all invariants held."""
    if plan and (minutes or faults):
        raise click.UsageError("--plan says itself which faults come when: leave out --minutes and --faults.")
    if again:
        with lab.sole_user():
            storms.shrink(again, shrink_minutes)
        return
    if not storms.let_loose(storms.chosen(plan, seed, faults, minutes), shrink_minutes if shrink else 0):
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
@click.option(
    "--election",
    type=float,
    default=predictions.ELECTION_S,
    show_default=True,
    help="electionTimeoutMillis of MongoDB's replica sets, in s.",
)
@click.option("--format", "form", type=click.Choice(tuple(show.FORMATS)), default="text", show_default=True)
def predict(
    cib: Path | None, corosync: Path | None, lease: float, sbd_watchdog_timeout: float | None, election: float,
    form: str,
) -> None:  # fmt: skip
    """Say from configuration alone how long each recovery may take; exit 1 where an expert would warn."""
    given = predictions.Given(
        read_cib(live.cib_text(cib), str(cib or "the CIB")),
        read_corosync(live.corosync_text(corosync), str(corosync or live.COROSYNC_CONF)),
        lease,
        sbd_watchdog_timeout,
        election,
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
