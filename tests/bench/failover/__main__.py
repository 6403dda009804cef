"""Recovery times of two configurations in the same lab, one after the other; not a test: nothing asserts its figures.

    make bench-failover   or   build/venv/bin/python -m tests.bench.failover [--only stock] [--faults node-lost]

What is compared: (stock) ocf:heartbeat:IPaddr2, ocf:heartbeat:nginx and ocf:heartbeat:anything with a bot in
python-telegram-bot's ordinary way (stock/bot.py), every monitor at 10 s, Debian's fence_docker, Corosync's default
timings (stock/cib.xml); (ours) what crm_configs/ ships. What is the same: the nodes and their image, Pacemaker, the two
encrypted rings, Nginx and its configuration, MongoDB, the Telegram lab server, and what users do, drawn from the same
seeds: the registering dialogue, and newcomers who say /start. Stock talks to the replica set itself, without a router.

How it is measured, for both alike:

- RTO is from the moment before the fault is issued to the first answer that a user receives after the outage, by the
  lab server's journal: after a move or a lost node the first from another node, else the end of the longest stretch
  without an answer. Users of a bot that polls do not need the address or Nginx; for those two faults it is until the
  virtual IP serves HTTP again, by a prober that asks every 50 ms.
- A fault that a monitor finds comes at another moment of the monitors' period in each repetition, spread evenly over
  10 s, the same moments in both configurations: right after a monitor, a fault lasts longest.
- Updates lost and places stored twice are counted by the drills' own judge, from the journal and MongoDB, over all
  repetitions. A bot that forgets who was half-way through a dialogue leaves their next message without an answer: it
  is lost to them. (What the library would keep in a file would not be on the next node.) Stock's database has no
  unique index that would refuse a place for the second time.
- Between two repetitions the lab is whole again: three nodes online, the group on one, fencing ready, failures
  forgotten.

Every repetition is written to the file when it is done; Ctrl-C takes the lab down and leaves what was measured.
`--resume` counts what is there; without it what is named is measured anew, and the rest of the file is kept.
"""

import argparse
import contextlib
import random
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kappa_lab import drill, lab
from kappa_lab.errors import LabError
from kappa_lab.paths import BUILD, STATE
from kappa_lab.progress import say, warn
from tests.bench.failover import configurations, plot, prober, repetition, results
from tests.bench.failover.faults import MOVES

FIRST_S, PERIOD_S = 2.0, 10.0
"""The fault comes no earlier than this after everything was whole, and within so many seconds from then."""


def wanted_moments(fault: str, repetitions: int) -> list[float]:
    """When each repetition's fault comes; the same for both configurations, in no order."""
    if fault in MOVES:
        return [FIRST_S] * repetitions  # no monitor finds these
    dice = random.Random(fault)
    moments = results.phases(repetitions, iter(dice.random, None), FIRST_S, PERIOD_S)
    dice.shuffle(moments)
    return moments


def measure(compared: configurations.Compared, faults: Sequence[str], repetitions: int, out: Path) -> None:
    """All repetitions that are missing, in one lab, one fault after the other in turn. Raises LabError."""
    moments = {fault: wanted_moments(fault, repetitions) for fault in faults}
    todo = [
        (number, fault)
        for number in range(repetitions)
        for fault in faults
        if number >= len(results.samples(results.read(out), compared.name, fault))
    ]
    if not todo:
        say(f"{compared.name}: nothing is missing.")
        return
    say(f"{compared.name}: {len(todo)} repetitions")
    try:
        with _logs_kept(out), configurations.up(compared), prober.Prober() as http:
            for number, fault in todo:
                sample = repetition.measure(compared, fault, moments[fault][number], number + 1, http)
                results.write(results.plus(results.read(out), compared.name, fault, sample), out)
                say(
                    f"  {compared.name} {fault} {number + 1}/{repetitions}: RTO {sample['rto_s']:.2f} s, "
                    f"{sample['updates_lost']} of {sample['updates_sent']} updates lost, "
                    f"{sample['records_duplicated']} stored twice"
                )
    finally:
        with drill.uninterrupted():
            lab.down(quiet=True)


@contextlib.contextmanager
def _logs_kept(out: Path) -> Iterator[None]:
    """When the block fails, what the nodes said is kept beside the figures: the lab is about to be taken down."""
    try:
        yield
    except LabError as error:
        folder = out.with_suffix(".logs")
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(STATE / "log", folder, ignore=shutil.ignore_patterns("apt", "dpkg.log"))
        raise LabError(str(error), f"What the nodes said: {folder}.") from None


def show(out: Path) -> None:
    found = results.read(out)
    picture = out.with_suffix(".svg")
    picture.write_text(plot.drawing(found))
    say("\n" + "\n".join(results.table(found)))
    say("\n* until the virtual IP serves HTTP again; the others: until a user receives an answer again")
    say(f"\n{out}\n{picture}")


def parsed(arguments: "list[str] | None") -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tests.bench.failover", description="Recovery times, beside a stock cluster's."
    )
    parser.add_argument("--repetitions", type=int, default=10, help="of each fault (default 10)")
    parser.add_argument("--only", choices=results.CONFIGURATIONS, help="one configuration (default: both)")
    parser.add_argument("--faults", default=",".join(results.FAULTS), help="which, with commas (default: all)")
    parser.add_argument("--resume", action="store_true", help="go on from what the file has")
    parser.add_argument("--show", action="store_true", help="measure nothing: table and plot of what the file has")
    parser.add_argument("--out", type=Path, default=BUILD / "bench" / "failover.json", help="where the figures go")
    given = parser.parse_args(arguments)
    given.faults = given.faults.split(",")
    if unknown := sorted(set(given.faults) - set(results.FAULTS)):
        parser.error(f"there is no fault {', '.join(unknown)}; there are {', '.join(results.FAULTS)}")
    if given.repetitions < 1:
        parser.error("--repetitions is at least 1")
    return given


def run(given: argparse.Namespace) -> None:
    out = given.out.absolute()
    if not given.show:
        chosen = [c for c in (configurations.stock(), configurations.ours()) if given.only in (None, c.name)]
        found = results.read(out)
        for compared in chosen if not given.resume else ():
            for fault in given.faults:
                found = results.with_samples(found, compared.name, fault, [])
        with lab.sole_user():
            results.write(found, out)
            if standing := lab.marked():
                say(f"What {standing} left is cleared first.")
                lab.down(quiet=True)
            for compared in chosen:
                measure(compared, given.faults, given.repetitions, out)
    show(out)


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: "list[str] | None" = None) -> int:
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGHUP, _interrupted)
    try:
        run(parsed(arguments))
    except (LabError, ValueError, OSError) as error:
        warn(f"bench: {error}")
        return 2
    except KeyboardInterrupt:
        warn("bench: interrupted; the lab has been taken down, what was measured is kept (--resume goes on from it).")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
