"""Run one drill: real traffic, one fault, and a history of what everyone saw, for the judge to read.

The drill itself decides nothing about what is right. It drives the lab from outside, as an operator would, waits for
each stage with a bound, and leaves a folder of evidence: Telegram's journal, the watcher on the wire, the broker's
audit, the cluster's log, what MongoDB holds.
"""

import contextlib
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kappa_lab import cluster, environment, faults, judge, lab, power, report
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import DRILLS, STATE
from kappa_lab.progress import say, step
from kappa_lab.scenario import Scenario, Traffic
from kappa_lab.topology import NODES, VIP, node

JOURNALS = STATE / "journal"
EVIDENCE = ("telegram.jsonl", "wire.jsonl")


@dataclass
class Record:
    """What the drill itself knows and the judge needs; written to drill.json whatever happens."""

    scenario: Scenario
    seed: int
    started: float
    fault_node: str = ""
    fault_t: float = 0.0
    fault_done: float = 0.0

    def write(self, folder: Path) -> None:
        traffic = self.scenario.traffic
        content: dict[str, object] = {
            "drill": self.scenario.name,
            "purpose": self.scenario.purpose,
            "seed": self.seed,
            "started": self.started,
            "finished": time.time(),
            "traffic": {"users": traffic.users, "rate_per_s": traffic.rate_per_s},
            "nodes": {n.name: {"lan": n.lan, "mac": mac_of(n.lan)} for n in NODES},
            "vip": VIP,
            "environment": environment.describe(),
        }
        if self.fault_node:
            content["fault"] = {
                "kind": self.scenario.fault, "node": self.fault_node, "t": self.fault_t, "done": self.fault_done
            }  # fmt: skip
        (folder / "drill.json").write_text(json.dumps(content, indent=1) + "\n")


def mac_of(address: str) -> str:
    """The engine's own rule: 02:42 and the four bytes of the address."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def run(scenario: Scenario, seed: int = 1) -> bool:
    """Run `scenario` in a fresh lab; leave history and report in build/drills. True when every invariant held.

    The lab is taken down at the end, whatever happened. Raises LabError when it did not come as far as the fault; its
    report says so too, so that `latest` never shows an older drill that passed. An interrupted drill leaves none.
    """
    if standing := lab.marked():
        say(f"A lab brought up by {standing} is standing here; a drill wants a fresh one.")
        lab.down(quiet=True)
    say(f"Drill {scenario.name}: {scenario.purpose}")
    folder = new_folder(scenario.name)
    (DRILLS / "latest").unlink(missing_ok=True)
    record = Record(scenario, seed, time.time())
    try:
        failure = driven(record, folder)
        verdict = judged(record, folder, failure)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        with uninterrupted():
            if folder.exists():
                keep_logs(folder)
            lab.down(quiet=True)
    point_latest(folder)
    if failure and not record.fault_node:
        raise failure
    say("\n" + report.summary(verdict))
    say(f"\nReport: {DRILLS / 'latest' / 'report.html'}")
    return verdict.passed


def driven(record: Record, folder: Path) -> LabError | None:
    """Bring the lab up and go through the stages; what kept the drill from its end, or None."""
    try:
        lab.up(f"the drill {record.scenario.name}")
        with cluster.LogFollower(STATE / "log", folder / "cluster.jsonl") as follower:
            stages(record, follower)
        return LabError(follower.failed) if follower.failed else None
    except LabError as error:
        return error


def judged(record: Record, folder: Path, failure: LabError | None) -> judge.Verdict:
    with step("collecting the evidence"):
        collect(folder, record)
    with step("judging"):
        verdict = judge.judge(folder)
        if failure:
            verdict = verdict.with_violation(f"The drill did not run to its end: {failure}")
        report.write(verdict, folder, folder)
    return verdict


def stages(record: Record, follower: cluster.LogFollower) -> None:
    scenario, bounds, wanted = record.scenario, record.scenario.bounds, record.scenario.traffic
    active = cluster.status()
    holder = active.where("bot") if active else None
    if holder is None:
        raise LabError("No node runs the bot; there is no active node to do anything to.")
    follower.note(e="active", node=holder)

    with step(f"{wanted.users} users talk to the bot on {holder}"):
        lab.telegram(
            "POST", "/traffic",
            {"users": wanted.users, "rate_per_s": wanted.rate_per_s, "seed": record.seed, "languages": ["es", "en"]},
        )  # fmt: skip
        wait("traffic before the fault", lambda: enough_before(wanted), bounds.traffic_s)

    fault = faults.KINDS[scenario.fault]()
    record.fault_node, record.fault_t = holder, time.time()
    with step(f"{scenario.fault}: {holder}"):
        fault.inject(node(holder))
    record.fault_done = time.time()

    with step("waiting for the first answer from another node"):
        wait("a user gets an answer from another node", lambda: answer_from_another(record), bounds.answer_s)
    with step(f"waiting for {holder} to come back"):
        cluster.wait_for(f"{holder} is back in the cluster", lambda s: back(s, holder), bounds.rejoin_s)
        follower.note(e="online", node=holder)
        fault.heal()
    with step("traffic goes on"):
        at_least = max(answered() + wanted.updates_after, wanted.updates_at_least)
        wait("traffic after the fault", lambda: answered() >= at_least, bounds.traffic_s)
    with step("users finish what they began"):
        lab.telegram("POST", "/traffic/stop", {})
        wait("every open dialogue is finished", lambda: counted("dialogues_open") == 0, bounds.drain_s)
    now = cluster.status()
    follower.note(e="active", node=now.where("bot") if now else None)


def back(seen: cluster.Status, name: str) -> bool:
    return name in seen.online and name in seen.running.get("router", frozenset())


def enough_before(wanted: Traffic) -> bool:
    return answered() >= wanted.updates_before and counted("dialogues_half_way") >= wanted.half_way_before


def counted(what: str) -> int:
    value = lab.telegram("GET", "/traffic").get(what)
    if not isinstance(value, int):
        raise LabError(f"The Telegram lab server does not count {what}.")
    return value


def answered() -> int:
    return counted("updates_answered")


def answer_from_another(record: Record) -> bool:
    """Has a user received a reply from a node other than the faulted one, after the fault?"""
    with (JOURNALS / "telegram.jsonl").open() as journal:
        for line in journal:
            if '"e":"reply"' not in line.replace(" ", ""):
                continue
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the last line may be half written
            if event["t"] > record.fault_t and event["node"] != record.fault_node:
                return True
    return False


def wait(what: str, holds: Callable[[], bool], bound_s: float) -> None:
    end = time.monotonic() + bound_s
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"After {bound_s:.0f} s, still not: {what}.")
        time.sleep(0.25)


def collect(folder: Path, record: Record) -> None:
    """Gather the evidence. What cannot be had is left out: the judge fails a drill for it by name."""
    with contextlib.suppress(LabError):
        held = docker(
            "exec", "kappa-lab-mongo1", "python", "-m", "kappa_lab.mongodb.records", "--uri", lab.REPLICA_SET,
            "--user", "kappa_judge", "--password-file", "/lab/secrets/mongodb-judge.password", "--out", "-",
            doing="Reading what MongoDB holds", timeout=60,
        )  # fmt: skip
        (folder / "records.json").write_text(held)
    # a journal ends with a line that says so only when its writer was asked to end
    for container in ("kappa-lab-telegram", "kappa-lab-watcher"):
        with contextlib.suppress(LabError):
            lab.stop_gracefully(container)
    for name in EVIDENCE:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(JOURNALS / name, folder / name)
    (folder / "power.jsonl").write_text("".join(f"{line}\n" for line in power.audit()))
    record.write(folder)


def keep_logs(folder: Path) -> None:
    """Keep the nodes' own logs beside the report: whoever doubts it wants to read them."""
    for one in NODES:
        source = STATE / "log" / one.name
        if source.exists():
            shutil.copytree(
                source, folder / "logs" / one.name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("apt", "dpkg.log")
            )


def new_folder(name: str) -> Path:
    DRILLS.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = DRILLS / f"{stamp}-{name}"
    number = 1
    while folder.exists():
        number += 1
        folder = DRILLS / f"{stamp}-{name}-{number}"
    folder.mkdir()
    return folder


def point_latest(folder: Path) -> None:
    half = DRILLS / ".latest"
    half.unlink(missing_ok=True)
    half.symlink_to(folder.name)
    half.rename(DRILLS / "latest")


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Clean up to the end: a second Ctrl-C must not leave half a lab."""
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
