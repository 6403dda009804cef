"""Words that an agent may be given: right, on the edge, and absurd. And runs that are drawn from them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from resource_agents import cli
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.parameters import Parameter

ABSURD = ["", " ", "\n", "\x1b[31m", "x" * 5000, "é" * 200, "%s%n", "$(reboot)", "`id`", "; id", "'", '"', "\\",
          "\udcff", "--", "-1", "nan", "inf", "None", "{}", "../../etc/passwd"]  # fmt: skip
PATHS = ["/dev/null", "/dev/full", "/proc/self/mem", "relative", "~", f"/{'x' * 5000}"]
NAMES = ["true", "false", "no-such-program", "./true", "../bin/true", "x" * 5000, "é"]
LEVELS = ["0", "1", "10", "20", "99", "-1", "", "ten", "9" * 30]
RECORDS = sorted({kind for file in Path(cli.__file__).parent.rglob("*.py")
                  for kind in re.findall(r'state_file\("(\w+)"\)', file.read_text())})  # fmt: skip

NUMBERS = ["0", "1", "24", "32", "33", "128", "129", "27017", "65535", "65536", "-1", "+5", "1_0", " 1", "٣", "0x10",
           "1e3", "9" * 18, "9" * 19, "9" * 400]  # fmt: skip
TIMES = [
    "0",
    "1",
    "100ms",
    "1s",
    "0.2",
    ".5",
    "5 s",
    "2m",
    "1h",
    "-1s",
    "1.2.3",
    "s",
    "ms",
    "999999999999h",
    "1e9",
    "infinity",
]
TEXTS = ["192.0.2.77", "192.0.2.1", "127.0.0.9", "0.0.0.0", "255.255.255.255", "224.0.0.1", "1.2.3", "01.2.3.4",
         "2001:db8::7", "::1", "::", "fe80::1%lo", "fe80::1", "ff02::1", "::ffff:1.2.3.4", "eth0", "lo", "eth0-end",
         "nosuch0", "eth0:1", "e" * 15, "e" * 16, "root", "nobody", "no-such-user", "kappa0/127.0.0.1:1", "127.0.0.1",
         "127.0.0.1:1", "127.0.0.1:0", "127.0.0.1:x", "[::1]:1", "localhost:1", "localhost", "none", "a,b", ",",
         "http://127.0.0.1:1/", "http://[::1]:1/x", "http://[::1/", "http://127.0.0.1:99999/", "http://u:p@h/",
         "https://127.0.0.1:1/", "ftp://x/", "http://", "http://x y/", "http://127.0.0.1:4711/\r\nX: y", "(", "[a",
         "ok", ".*", "(a+)+$", "--port 1", "--fork", "'unclosed", "trailing\\", "daemon off;", "kappa-x"]  # fmt: skip
FILES = ["state/x", "directory", "file", "file/x", "loop", "loop/x", "dangling", "binary", "full/x", "full/d/x", "ro/x",
         "ro/d/x", "nothing", "missing/x", "", "x" * 300]  # fmt: skip
PROGRAMS = ["ends", "succeeds", "not-a-program", "no-interpreter", "binary", "file", "directory", "loop", "nothing"]
STATES = [
    "state",
    "missing/deep",
    "file",
    "file/x",
    "loop",
    "dangling",
    "full",
    "ro",
    "ro/below",
    "record-is-a-directory",
]
ACTIONS = ["monitor", "monitor", "stop", "stop", "stop", "validate-all", "start", "meta-data", "reload-agent",
           "promote", "demote", "notify"]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One run: arguments, the whole environment, and what a record in the state directory holds (kind, content)."""

    words: list[str]
    environment: dict[str, str]
    record: tuple[str, bytes] | None = None

    @property
    def level(self) -> int:
        return 10 if self.environment.get("OCF_CHECK_LEVEL", "0") not in ("0", "") else 0


class Nonsense:
    """Draws cases for one agent, by the hundred thousand: the same ones from the same seed.

    right: values of its parameters that are right here; half of all cases keep most of them, else nothing gets past the
    first refusal.
    life: what a record must say to be of this life of the machine.
    """

    def __init__(self, agent: Agent, scratch: Path, right: Mapping[str, str], seed: int, life: str = "") -> None:
        self.agent = agent
        self.scratch = scratch
        self.right = dict(right)
        self.life = life
        self.random = Random(seed)
        self.states = [f"{scratch}/{name}" for name in STATES]
        self.states += ["", "relative", "/dev/null", "/proc/self/nothing", "/" + "x" * 5000, "/" + "x/" * 100]

    def case(self, actions: Sequence[str], timeouts: Sequence[str]) -> Case:
        draw = self.random
        words = [draw.choice(actions)]
        if draw.random() < 0.03:
            words = [self.anything() for _ in range(draw.randrange(3))]
        elif draw.random() < 0.1:
            words.append(self.anything())
        environment = self.around(timeouts)
        record = None
        if draw.random() < 0.2:
            record = (draw.choice(RECORDS), self.content())
            environment |= {"HA_RSCTMP": f"{self.scratch}/state", "OCF_RESOURCE_INSTANCE": "r"}
        return Case(words, {**environment, **self.parameters()}, record)

    def parameters(self) -> dict[str, str]:
        draw = self.random
        keep = draw.choice((1.0, 1.0, 0.5))
        found = {f"OCF_RESKEY_{name}": value for name, value in self.right.items() if draw.random() < keep}
        share = draw.choice((0.0, -1.0, -1.0, -1.0, 0.3))
        wrong = [draw.choice(self.agent.parameters)] if share < 0 else self.agent.parameters
        for one in wrong:
            if draw.random() < abs(share):
                found[f"OCF_RESKEY_{one.name}"] = self.value(one)
        return found

    def value(self, one: Parameter) -> str:
        draw = self.random
        if draw.random() < 0.25 and one.kind not in ("path", "program"):
            return self.anything()
        if one.kind == "path":
            return draw.choice([f"{self.scratch}/{draw.choice(FILES)}", draw.choice(PATHS)])
        if one.kind == "program":
            return draw.choice([f"{self.scratch}/{draw.choice(PROGRAMS)}", draw.choice(NAMES)])
        if one.kind == "integer":
            return draw.choice([draw.choice(NUMBERS), str(draw.randint(-10, 70000))])
        if one.kind == "time":
            return draw.choice(TIMES)
        if one.kind in ("boolean", "select"):
            return draw.choice(["true", "NO", "1", "maybe", *one.options])
        return draw.choice(TEXTS)

    def anything(self) -> str:
        draw = self.random
        kind = draw.randrange(3)
        if kind == 0:
            return draw.choice(ABSURD)
        if kind == 1:
            return draw.randbytes(draw.randrange(20)).replace(b"\0", b"").decode("utf-8", "surrogateescape")
        numbers = (draw.randrange(1, draw.choice((0x80, 0x800, 0xD800))) for _ in range(draw.randrange(30)))
        return "".join(map(chr, numbers))

    def around(self, timeouts: Sequence[str]) -> dict[str, str]:
        draw = self.random
        odd = {
            "OCF_CHECK_LEVEL": LEVELS,
            "OCF_RESKEY_CRM_meta_interval": ["0", "10000", "-1", "1.5"],
            "OCF_RESKEY_CRM_meta_promoted_max": LEVELS,
            "OCF_RESKEY_CRM_meta_master_max": LEVELS,
            "OCF_RESKEY_CRM_meta_clone": LEVELS,
            "OCF_RESKEY_CRM_meta_globally_unique": ["true", "false"],
            "OCF_RESKEY_CRM_meta_notify_type": ["pre", "post"],
            "OCF_RESOURCE_INSTANCE": ["r", "r:0", ":", "../x", "a/b", "x" * 500, "\udcff"],
            "OCF_EXIT_REASON_PREFIX": ["ocf-exit-reason:", ""],
            "PATH": ["", "/nowhere", "relative"],
            "LC_ALL": ["C", "xx_YY.UTF-8", "tr_TR.UTF-8"],
        }
        found = {}
        for name, choices in odd.items():
            if draw.random() < 0.35:
                plain = draw.random() < 0.7 or name in ("PATH", "LC_ALL", "OCF_EXIT_REASON_PREFIX")
                found[name] = draw.choice(choices) if plain else self.anything()
        if draw.random() < 0.6:
            found["HA_RSCTMP"] = draw.choice(self.states)
        timeout = draw.choice(timeouts)
        if timeout:
            found["OCF_RESKEY_CRM_meta_timeout"] = timeout
        return found

    def content(self) -> bytes:
        """Of a record: garbage, or nearly right."""
        draw = self.random
        if draw.random() < 0.3:
            return draw.choice([b"", b"\0" * 70000, b"\xff" * 10, b"\n" * 100, draw.randbytes(draw.randrange(200))])
        pid, start = (draw.choice([0, 1, 2, -1, 99999999, 10**30, draw.randrange(1 << 22)]) for _ in "ab")
        life = draw.choice([self.life, self.life, "", "x", "x/0"])
        return f"{pid}\n{start}\n{life}{draw.choice([chr(10), '', ' active', f'{chr(10) * 2}0{chr(10)}'])}".encode()


def smallest(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The case without whatever it does not need to fail."""
    for name in sorted(case.environment):
        less = replace(case, environment={key: value for key, value in case.environment.items() if key != name})
        if fails(less):
            case = less
    return case
