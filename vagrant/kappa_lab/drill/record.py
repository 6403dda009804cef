"""What the drill itself knows and the judge needs: drill.json."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kappa_lab.predict import Prediction
from kappa_lab.scenario import Scenario
from kappa_lab.topology import NODES, VIP


@dataclass
class Hit:
    """One fault that came."""

    kind: str
    on: str
    nodes: tuple[str, ...]
    t: float
    """Taken before it is issued."""
    done: float = 0.0
    """When it is known to have happened, or to have failed."""
    healing: float | None = None
    """When its healing began: what it had ended may run again from then on."""
    healed: float | None = None
    """When it was undone, and that had had its effect."""
    ends_node: bool = False
    lasts: bool = True
    """It is there until it is healed; else it is over when it has happened."""


@dataclass
class Stage:
    """One step of the drill, as it went."""

    what: str
    t: float
    ended: float | None = None
    ok: bool = False
    why: str = ""


@dataclass
class Record:
    """Filled as the drill goes; written whatever happens."""

    scenario: Scenario
    seed: int
    started: float
    environment: Mapping[str, object] = field(default_factory=dict)
    active: str | None = None
    """The node that had the group just before the first fault."""
    dc: str | None = None
    """The cluster's DC at that moment."""
    hits: list[Hit] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    fenced: tuple[str, ...] = ()
    """Whose fencing is expected: the scenario's roles as names, once they are known."""
    may_be_fenced: tuple[str, ...] = ()
    prediction: Prediction | None = None

    def write(self, folder: Path) -> None:
        traffic, expect = self.scenario.traffic, self.scenario.expect
        content: dict[str, Any] = {
            "drill": self.scenario.name,
            "purpose": self.scenario.purpose,
            "tags": list(self.scenario.tags),
            "seed": self.seed,
            "started": self.started,
            "finished": time.time(),
            "traffic": {"users": traffic.users, "rate_per_s": traffic.rate_per_s},
            "nodes": {n.name: {"lan": n.lan, "mac": mac_of(n.lan)} for n in NODES},
            "vip": VIP,
            "active": self.active,
            "dc": self.dc,
            "faults": [asdict(hit) for hit in self.hits],
            "steps": [asdict(stage) for stage in self.stages],
            "expect": {
                "service": expect.service,
                "fenced": list(self.fenced),
                "may_be_fenced": list(self.may_be_fenced),
                "strangers": expect.strangers,
                "predicted": expect.predicted,
            },
            "prediction": shown(self.prediction),
            "environment": dict(self.environment),
        }
        (folder / "drill.json").write_text(json.dumps(content, indent=1) + "\n")


def shown(prediction: Prediction | None) -> dict[str, Any] | None:
    if prediction is None:
        return None
    return {
        "kind": prediction.kind,
        "title": prediction.title,
        "typical_s": prediction.typical_s,
        "worst_s": prediction.worst_s,
        "never": prediction.never,
        "parts": [asdict(part) for part in prediction.parts],
    }


def mac_of(address: str) -> str:
    """The engine's own rule: 02:42 and the four bytes of the address."""
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
