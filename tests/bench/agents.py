"""What the agents cost, beside what others use for the same resources; not a test, and nothing asserts its figures.

    sudo make bench      or      sudo build/venv/bin/python -m tests.bench.agents

Everything is measured in one run, in turn, so that a busy machine is as busy for one as for the other: a bare
interpreter, our agent, its peer, and again. Wall and CPU time are medians; the spread is the middle half. Each peer
serves a resource of its own with the same settings. A namespace keeps addresses and processes off this machine, and
makes counting exact: what an agent forks is seen in the pids that were given out meanwhile.

The bot's and the router's peer is heartbeat/anything: heartbeat has no agent for either, and `anything` is what keeps
such programs under Pacemaker where nobody wrote one. It looks at a pidfile only, as a monitor of level 0 may.
"""

import argparse
import json
import marshal
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from resource_agents import cli

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = "/usr/bin/python3"
HEARTBEAT = Path("/usr/lib/ocf/resource.d/heartbeat")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BARE = [INTERPRETER, "-I", "-S", "-c", "pass"]

MONITOR_VS_BARE = 1.7
META_DATA_VS_BARE = 2.5
MEMORY_MB = 12.0
MONITOR_VS_PEER = {"vip": 0.45, "nginx": 0.30}

NGINX = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; location = /status {{ return 200 "ok"; }} }}
}}
"""


@dataclass(frozen=True)
class Side:
    """One agent with one resource: ours or the peer's."""

    path: Path
    parameters: dict[str, str]
    timeout_s: int = 30

    def environment(self, folder: Path) -> dict[str, str]:
        return {
            "PATH": PATH,
            "LC_ALL": "C",
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1",
            "OCF_EXIT_REASON_PREFIX": "ocf-exit-reason:",
            "OCF_RESOURCE_INSTANCE": f"bench-{self.path.name}",
            "OCF_RESOURCE_TYPE": self.path.name,
            "OCF_RESOURCE_PROVIDER": self.path.parent.name,
            "OCF_CHECK_LEVEL": "0",
            "OCF_RESKEY_crm_feature_set": "3.16.1",
            "OCF_RESKEY_CRM_meta_timeout": str(self.timeout_s * 1000),
            "OCF_RESKEY_CRM_meta_interval": "10000",
            "HA_RSCTMP": str(folder / "state"),
            **{f"OCF_RESKEY_{name}": value for name, value in self.parameters.items()},
        }


@dataclass(frozen=True)
class Case:
    """levels: the check levels above 0 that ours has. promotable: ours once more, as the promotable clone it may be."""

    agent: str
    ours: Side
    peer: "Side | None"
    levels: tuple[int, ...] = (10, 20)
    promotable: "Side | None" = None


@dataclass
class Cost:
    """What one command took, over all rounds. Times in milliseconds, memory in MiB."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    forks: list[int] = field(default_factory=list)

    @property
    def wall_ms(self) -> float:
        return round(statistics.median(self.wall), 2)

    @property
    def cpu_ms(self) -> float:
        return round(statistics.median(self.cpu), 2)

    @property
    def spread_ms(self) -> list[float]:
        """The middle half."""
        if len(self.wall) < 2:
            return [self.wall_ms, self.wall_ms]
        first, _, third = statistics.quantiles(self.wall, n=4)
        return [round(first, 2), round(third, 2)]


class BenchError(Exception):
    """What keeps the bench from measuring; the text is one sentence for whoever runs it."""


class Starter:
    def __init__(self) -> None:
        program = [INTERPRETER, "-I", "-S", str(Path(__file__).with_name("starter.py"))]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": PATH})

    def __enter__(self) -> "Starter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.communicate()

    def run(self, argv: list[str], environment: dict[str, str], cost: Cost, wanted: int = 0) -> None:
        assert self._process.stdin
        assert self._process.stdout
        marshal.dump((argv, environment), self._process.stdin)
        self._process.stdin.flush()
        code, wall, cpu, peak, started, said = marshal.load(self._process.stdout)
        if code != wanted:
            lines = said.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            raise BenchError(f"{' '.join(argv)} ended with {code}, not {wanted}, and said: {lines[-1]}")
        cost.wall.append(wall * 1000)
        cost.cpu.append(cpu * 1000)
        cost.memory.append(peak / 1024)
        cost.forks.append(started - 1)


class Bench:
    """All cases, in turn. Costs are kept by (agent, "ours" or "peer", action)."""

    def __init__(self, folder: Path, starter: Starter, cases: list[Case]) -> None:
        self.folder = folder
        self.starter = starter
        self.cases = cases
        self.costs: dict[tuple[str, str, str], Cost] = {}
        self.bare = Cost()

    def sides(self, case: Case) -> list[tuple[str, Side]]:
        return [("ours", case.ours), *([("peer", case.peer)] if case.peer else [])]

    def act(self, case: Case, action: str, wanted: int = 0) -> None:
        for whose, side in self.sides(case):
            cost = self.costs.setdefault((case.agent, whose, action), Cost())
            self.starter.run([str(side.path), action], side.environment(self.folder), cost, wanted)

    def deeper(self, case: Case) -> None:
        """Ours alone: not every peer has these levels, and they do not look at the same things."""
        for level in case.levels:
            cost = self.costs.setdefault((case.agent, "ours", f"monitor_{level}"), Cost())
            environment = {**case.ours.environment(self.folder), "OCF_CHECK_LEVEL": str(level)}
            self.starter.run([str(case.ours.path), "monitor"], environment, cost)

    def as_a_clone(self, case: Case, rounds: int) -> None:
        """Promoted and demoted again and again, and monitored in both roles."""
        side = case.promotable
        assert side
        environment = {**side.environment(self.folder), "OCF_RESOURCE_INSTANCE": "bench-clone:0"}

        def act(action: str, name: str = "", level: int = 0, wanted: int = 0) -> None:
            cost = self.costs.setdefault((case.agent, "promotable", name or action), Cost())
            asked = {**environment, "OCF_CHECK_LEVEL": str(level)}
            self.starter.run([str(side.path), action], asked, cost, wanted)

        act("start")
        for _ in range(rounds):
            for level in (0, *case.levels):
                act("monitor", f"monitor_{level}_unpromoted", level)
            act("promote")
            for level in (0, *case.levels):
                act("monitor", f"monitor_{level}_promoted", level, wanted=8)
            act("demote")
        act("stop")

    def run(self, rounds: int, restarts: int) -> None:
        for _ in range(restarts):
            for case in self.cases:
                self.act(case, "start")
                self.act(case, "stop")
        for case in self.cases:
            self.act(case, "start")
        for _ in range(rounds):
            for case in self.cases:
                self.starter.run(BARE, {"PATH": PATH}, self.bare)
                self.act(case, "monitor")
                self.act(case, "meta-data")
                self.deeper(case)
        for case in self.cases:
            self.act(case, "stop")
            if case.promotable:
                self.as_a_clone(case, rounds)


def cases(folder: Path, agents: Path, router: tuple[str, str]) -> list[Case]:
    """`agents`: where ours are installed. `router`: the stand-in's program, and its config servers."""
    found = []
    for whose, port in (("ours", 8081), ("peer", 8082)):
        (folder / whose).mkdir()
        (folder / whose / "nginx.conf").write_text(NGINX.format(folder=folder / whose, port=port))
        (folder / whose / "bot.toml").write_text(json.dumps({"socket": str(folder / whose / "s")}))
    bot = _script(folder / "kappa-bot", (ROOT / "tests/unit/resource_agents/fake_bot.py").read_text())

    def anything(name: str, program: str, options: str) -> Side:
        here = folder / f"anything-{name}"
        files = {"pidfile": f"{here}.pid", "logfile": f"{here}.log", "errlogfile": f"{here}.err"}
        return Side(HEARTBEAT / "anything", {"binfile": program, "cmdline_options": options, "user": "root", **files})

    found.append(
        Case(
            "telegram-bot",
            Side(
                agents / "telegram-bot",
                {
                    "binary": bot,
                    "config": f"{folder}/ours/bot.toml",
                    "socket": f"{folder}/ours/s",
                    "user": "root",
                    "log": f"{folder}/ours/bot.log",
                },
            ),
            anything("bot", bot, f"run --config {folder}/peer/bot.toml"),
            promotable=Side(
                agents / "telegram-bot",
                {
                    "binary": bot,
                    "config": f"{folder}/ours/bot.toml",
                    "socket": f"{folder}/ours/s",
                    "user": "root",
                    "log": f"{folder}/ours/bot.log",
                    "CRM_meta_clone": "0",
                    "CRM_meta_clone_max": "3",
                    "CRM_meta_globally_unique": "false",
                    "CRM_meta_promoted_max": "1",
                },
            ),
        )
    )
    program, configdb = router
    # A router told to end refuses its clients politely for 15 s first; neither agent's figure is about that.
    quick = "--setParameter mongosShutdownTimeoutMillisForSignaledShutdown=100"
    found.append(
        Case(
            "mongos",
            Side(
                agents / "mongos",
                {
                    "binary": program,
                    "configdb": configdb,
                    "port": "27117",
                    "options": quick,
                    "user": "root",
                    "log": f"{folder}/ours/mongos.log",
                },
            ),
            anything("mongos", program, f"--configdb {configdb} --port 27118 --bind_ip 127.0.0.1 {quick}"),
        )
    )
    found.append(
        Case(
            "nginx",
            Side(
                agents / "nginx",
                {
                    "config": f"{folder}/ours/nginx.conf",
                    "status_url": "http://127.0.0.1:8081/status",
                    "log": f"{folder}/ours/nginx.log",
                },
            ),
            Side(
                HEARTBEAT / "nginx",
                {
                    "configfile": f"{folder}/peer/nginx.conf",
                    "status10url": "http://127.0.0.1:8082/status",
                },
            ),
        )
    )
    found.append(
        Case(
            "vip",
            Side(agents / "vip", {"ip": "192.0.2.100", "prefix": "24", "nic": "eth0"}),
            Side(HEARTBEAT / "IPaddr2", {"ip": "192.0.2.101", "cidr_netmask": "24", "nic": "eth0"}),
            levels=(10,),
        )
    )
    # Heartbeat has none that measures what this one does. Attributes are written to a program that takes them.
    updater = folder / "attrd_updater"
    updater.write_text("#!/bin/sh\nexit 0\n")
    updater.chmod(0o755)
    reached = {"telegram_url": "http://127.0.0.1:8081", "router": "127.0.0.1:27117", "updater": str(updater)}
    found.append(Case("uplink", Side(agents / "uplink", reached), None, levels=(10,)))
    return found


def _script(path: Path, text: str) -> str:
    path.write_text(f"#!{INTERPRETER} -IS\n{text}")
    path.chmod(0o755)
    return str(path)


def findings(bench: Bench, version: str) -> dict[str, Any]:
    return {case.agent: _finding(bench, case, version) for case in bench.cases}


def _finding(bench: Bench, case: Case, version: str) -> dict[str, Any]:
    def cost(action: str, whose: str = "ours") -> Cost:
        return bench.costs[case.agent, whose, action]

    bare, monitor, meta = bench.bare, cost("monitor"), cost("meta-data")
    peak = max(value for action in ("monitor", "meta-data", "start", "stop") for value in cost(action).memory)
    found: dict[str, Any] = {
        "monitor_ms": monitor.wall_ms,
        "vs_bare_python": round(monitor.wall_ms / bare.wall_ms, 3),
        "vs_peer": None,
        "peer": None,
        "monitor_spread_ms": monitor.spread_ms,
        "monitor_cpu_ms": monitor.cpu_ms,
        "vs_bare_python_cpu": round(monitor.cpu_ms / bare.cpu_ms, 3),
        # Other processes of the namespace can only add to the count: the least is the agent's own.
        "monitor_forks": min(monitor.forks),
        "meta_data_ms": meta.wall_ms,
        "meta_data_spread_ms": meta.spread_ms,
        "meta_data_vs_bare_python": round(meta.wall_ms / bare.wall_ms, 3),
        "start_ms": cost("start").wall_ms,
        "start_spread_ms": cost("start").spread_ms,
        "stop_ms": cost("stop").wall_ms,
        "stop_spread_ms": cost("stop").spread_ms,
        "peak_memory_mb": round(peak, 1),
        "bare_python_ms": bare.wall_ms,
        "bare_python_spread_ms": bare.spread_ms,
        "bare_python_cpu_ms": bare.cpu_ms,
        "rounds": len(monitor.wall),
    }
    found["levels"] = {str(level): _spent(cost(f"monitor_{level}"), bare) for level in case.levels}
    if case.promotable:
        names = [name for agent, whose, name in bench.costs if (agent, whose) == (case.agent, "promotable")]
        found["promotable"] = {name: _spent(cost(name, "promotable"), bare) for name in names}
    goals: list[tuple[str, float, float]] = [
        ("monitor, × bare python", found["vs_bare_python"], MONITOR_VS_BARE),
        ("monitor CPU, × bare python", found["vs_bare_python_cpu"], MONITOR_VS_BARE),
        ("monitor, processes forked", found["monitor_forks"], 0),
        ("meta-data, × bare python", found["meta_data_vs_bare_python"], META_DATA_VS_BARE),
        ("peak memory, MB", found["peak_memory_mb"], MEMORY_MB),
    ]
    if case.peer:
        theirs = cost("monitor", "peer")
        found |= {
            "peer": f"{case.peer.path.parent.name}/{case.peer.path.name}",
            "peer_version": version,
            "vs_peer": round(monitor.wall_ms / theirs.wall_ms, 3),
            "vs_peer_cpu": round(monitor.cpu_ms / theirs.cpu_ms, 3),
            "peer_monitor_ms": theirs.wall_ms,
            "peer_monitor_spread_ms": theirs.spread_ms,
            "peer_monitor_cpu_ms": theirs.cpu_ms,
            "peer_monitor_forks": min(theirs.forks),
            "peer_meta_data_ms": cost("meta-data", "peer").wall_ms,
            "peer_start_ms": cost("start", "peer").wall_ms,
            "peer_stop_ms": cost("stop", "peer").wall_ms,
        }
        if case.agent in MONITOR_VS_PEER:
            most = MONITOR_VS_PEER[case.agent]
            goals += [
                (f"monitor, × {found['peer']}", found["vs_peer"], most),
                (f"monitor CPU, × {found['peer']}", found["vs_peer_cpu"], most),
            ]
    found["goals"] = [{"goal": name, "at_most": most, "is": seen, "met": seen <= most} for name, seen, most in goals]
    return found


def _spent(cost: Cost, bare: Cost) -> dict[str, Any]:
    return {
        "ms": cost.wall_ms,
        "spread_ms": cost.spread_ms,
        "cpu_ms": cost.cpu_ms,
        "forks": min(cost.forks),
        "vs_bare_python": round(cost.wall_ms / bare.wall_ms, 3),
        "vs_bare_python_cpu": round(cost.cpu_ms / bare.cpu_ms, 3),
        "times": len(cost.wall),
    }


def table(found: dict[str, Any], bare: Cost) -> list[str]:
    low, high = bare.spread_ms
    lines = [
        f"bare python: {bare.wall_ms:.1f} ms ({low:.1f}–{high:.1f}), CPU {bare.cpu_ms:.1f} ms, "
        f"{max(bare.memory):.1f} MB, {len(bare.wall)} times",
        "",
        f"{'':26} {'monitor':>9} {'spread':>13} {'CPU':>7} {'forks':>5} {'meta-data':>9} {'start':>8} {'stop':>8} "
        f"{'memory':>7}",
    ]
    for agent, one in found.items():
        lines.append(_row(f"kappa/{agent}", one, "", f"{one['peak_memory_mb']:.1f}MB"))
        if one["peer"]:
            lines.append(_row(f"  {one['peer']}", one, "peer_", ""))
    lines += ["", f"{'deeper, and as a promotable clone':53} {'wall':>8} {'CPU':>8} {'forks':>5}"]
    for agent, one in found.items():
        deeper = {f"monitor at level {level}": spent for level, spent in one["levels"].items()}
        for name, spent in {**deeper, **one.get("promotable", {})}.items():
            lines.append(f"{agent:14} {name:38} {spent['ms']:>6.1f}ms {spent['cpu_ms']:>6.1f}ms {spent['forks']:>5}")
    lines += ["", f"{'goal':53} {'at most':>8} {'is':>8}"]
    for agent, one in found.items():
        for goal in one["goals"]:
            verdict = "met" if goal["met"] else "NOT MET"
            lines.append(f"{agent:14} {goal['goal']:38} {goal['at_most']:>8} {goal['is']:>8}  {verdict}")
    return lines


def _row(name: str, one: dict[str, Any], of: str, memory: str) -> str:
    low, high = one[f"{of}monitor_spread_ms"]
    cells = [
        f"{name:26}",
        f"{one[f'{of}monitor_ms']:>7.1f}ms",
        f"{f'{low:.1f}–{high:.1f}ms':>13}",
        f"{one[f'{of}monitor_cpu_ms']:>5.1f}ms",
        f"{one[f'{of}monitor_forks']:>5}",
        f"{one[f'{of}meta_data_ms']:>7.1f}ms",
        f"{one[f'{of}start_ms']:>6.0f}ms",
        f"{one[f'{of}stop_ms']:>6.0f}ms",
        f"{memory:>7}",
    ]
    return " ".join(cells).rstrip()


def preflight() -> None:
    if os.geteuid() != 0:
        raise BenchError("the bench needs root, for an address, Nginx and a network namespace; run it with sudo")
    if not (HEARTBEAT / "IPaddr2").exists():
        raise BenchError(
            "the agents to compare with are not installed; "
            "`apt-get install --no-install-recommends resource-agents` brings them (or `sudo make bench`)"
        )
    for program, package in (("nginx", "nginx-light"), ("ip", "iproute2"), ("unshare", "util-linux")):
        if not shutil.which(program, path=PATH):
            raise BenchError(
                f"{program} is not installed; `apt-get install --no-install-recommends {package}` brings it"
            )


def enter(arguments: list[str]) -> int:
    """Run again in namespaces of our own. The shell is their first process, and reaps what the agents leave behind."""
    inside = [sys.executable, "-m", "tests.bench.agents", "--inside", *arguments]
    words = ["unshare", "-n", "-m", "-p", "--fork", "--kill-child", "--mount-proc", "--"]
    return subprocess.call([*words, "sh", "-c", '"$@"; exit $?', "sh", *inside], cwd=ROOT)


def _beside_pacemaker(root: Path) -> None:
    """Promotion scores are written to a program that takes them, found where Pacemaker's is looked for."""
    spawn = root / cli.LIBRARY / "resource_agents/host/spawn.py"
    spawn.write_text(spawn.read_text().replace('PATH = "', f'PATH = "{root}/usr/sbin:', 1))
    cli.compile_library(root, INTERPRETER)
    program = root / "usr/sbin/crm_attribute"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)


def measure(rounds: int, restarts: int, out: Path) -> None:
    from tests.unit.mongodb_lab.peers import FakeMember

    for words in ("link set lo up", "link add eth0 type veth peer name eth0-end", "addr add 192.0.2.1/24 dev eth0",
                  "link set eth0-end up", "link set eth0 up"):  # fmt: skip
        subprocess.run(["ip", *words.split()], check=True)
    version = subprocess.run(
        ["dpkg-query", "-W", "-f", "resource-agents ${Version}", "resource-agents"], capture_output=True, text=True
    ).stdout
    with tempfile.TemporaryDirectory(prefix="kappa-bench-") as name, Starter() as starter:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        cli.install(folder / "root", INTERPRETER, ROOT)
        _beside_pacemaker(folder / "root")
        member = FakeMember().start()
        start = f"import sys\nsys.path.insert(0, {str(ROOT / 'vagrant')!r})\n"
        router = folder / "mongos"
        router.write_text(
            f"#!{sys.executable}\n{start}from kappa_lab.mongodb.mongos import main\nraise SystemExit(main())\n"
        )
        router.chmod(0o755)
        ours = folder / "root" / cli.AGENT_DIRECTORY
        bench = Bench(folder, starter, cases(folder, ours, (str(router), f"{member.set_name}/127.0.0.1:{member.port}")))
        bench.run(rounds, restarts)
    found = findings(bench, version)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    print("\n".join(table(found, bench.bare)))
    print(f"\n{out}")


def main(arguments: "list[str] | None" = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.bench.agents", description="What the agents cost, beside others'.")
    parser.add_argument("--rounds", type=int, default=25, help="monitors of each agent (default 25)")
    parser.add_argument("--restarts", type=int, default=5, help="starts and stops of each agent (default 5)")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench/agents.json", help="where the figures go")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    out = given.out.absolute()
    try:
        if given.inside:
            measure(given.rounds, given.restarts, out)
            return 0
        preflight()
        return enter(["--rounds", str(given.rounds), "--restarts", str(given.restarts), "--out", str(out)])
    except BenchError as wrong:
        print(f"bench: {wrong}.", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
