"""Which levels fence a node, and how long each may take before the next is asked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from kappa_lab.errors import LabError
from kappa_lab.predict.cib import Cib, Level, Resource
from kappa_lab.predict.durations import seconds

STONITH_TIMEOUT: Final = "60s"
WATCHDOG: Final = "fence_watchdog"
FENCE_KAPPA_TIMEOUT: Final = "12s"
FENCE_KAPPA_GUARD_S: Final = 1.0


@dataclass(frozen=True)
class Bound:
    devices: tuple[str, ...]
    worst_s: float
    source: str


def action(cib: Cib) -> str:
    return "off" if cib.properties.get("stonith-action") in ("off", "poweroff") else "reboot"


def watchdog_s(cib: Cib, sbd_s: float | None = None) -> float:
    """0 where there is none. Pacemaker takes a negative value for twice SBD's own."""
    given = cib.time("stonith-watchdog-timeout", "0", negative=True)
    if given >= 0:
        return given
    if sbd_s is None:
        raise LabError("stonith-watchdog-timeout is automatic; give SBD's own with --sbd-watchdog-timeout.")
    return 2 * sbd_s


def levels(cib: Cib, nodes: Iterable[str], sbd_s: float | None = None) -> tuple[Bound, ...]:
    """Of the node whose fencing may take longest; of the one with fewest levels where they have not equally many."""
    every = [_levels(cib, node, sbd_s) for node in (*nodes,) or ("",)]
    fewest = min(map(len, every))
    return max(
        (one for one in every if len(one) == fewest), key=lambda one: sum(level.worst_s for level in one), default=()
    )


def _levels(cib: Cib, node: str, sbd_s: float | None) -> tuple[Bound, ...]:
    by_name = {device.id: device for device in cib.devices}
    chosen = [level for level in cib.levels if _meant(level, node)]
    found = []
    for index in sorted({level.index for level in chosen}):
        names = [name for level in chosen if level.index == index for name in level.devices]
        if missing := [name for name in names if name not in by_name]:
            raise LabError(f"The fencing level {index} names {missing[0]!r}, which is no fence device of this CIB.")
        found.append(_bound(cib, [by_name[name] for name in names], sbd_s))
    if not cib.levels:  # without levels the devices that can fence the node are tried in turn
        found = [_bound(cib, [device], sbd_s) for device in cib.devices if _can(device, node)]
    if not found and (last_s := watchdog_s(cib, sbd_s)):
        found = [Bound((), last_s, "stonith-watchdog-timeout")]
    return tuple(found)


def _meant(level: Level, node: str) -> bool:
    if not level.pattern:
        return level.target in ("", node) or not node
    try:
        return not node or re.search(level.pattern, node) is not None
    except re.error as error:
        raise LabError(f"The fencing level {level.index} has the pattern {level.pattern!r}: {error}.") from None


def _can(device: Resource, node: str) -> bool:
    listed = device.parameters.get("pcmk_host_list", "")
    mapped = device.parameters.get("pcmk_host_map", "")
    names = {*re.split(r"[\s,;]+", listed), *(one.split(":")[0].strip() for one in re.split(r"[;\s]+", mapped))} - {""}
    return not node or not names or node in names


def _bound(cib: Cib, devices: list[Resource], sbd_s: float | None) -> Bound:
    names, sources, total = [], [], 0.0
    for device in devices:
        worst_s, source = device_worst(cib, device, sbd_s)
        total += worst_s
        names.append(device.id)
        sources.append(source)
    return Bound(tuple(names), total, ", ".join(sources))


def device_worst(cib: Cib, device: Resource, sbd_s: float | None = None) -> tuple[float, str]:
    """Pacemaker's limit, not the agent's: within it an action that failed may be tried again."""
    if device.type == WATCHDOG:
        return watchdog_s(cib, sbd_s), "stonith-watchdog-timeout"
    key = f"pcmk_{action(cib)}_timeout"
    if key in device.parameters:
        limit, source = device.time(key, ""), f"{key} of {device.id}"
    else:
        limit, source = cib.time("stonith-timeout", STONITH_TIMEOUT), f"stonith-timeout ({device.id} has no {key})"
    delay = delay_s(device)
    return limit + delay, f"{source} and its delay" if delay else source


def delay_s(device: Resource) -> float:
    """The longest that Pacemaker itself waits before it starts the device."""
    base = device.parameters.get("pcmk_delay_base", "0")
    bases = [one.rsplit(":", 1)[1] for one in re.split(r"[;\s]+", base) if ":" in one] or [base]
    by_node = [seconds(one, f"pcmk_delay_base of {device.id}") for one in bases]
    return max([device.time("pcmk_delay_max", "0"), *by_node])


def own_s(device: Resource) -> float | None:
    """What the agent itself may take by its own options; None where they do not say."""
    names = ["timeout", "delay", "power_wait"] if device.type == "fence_kappa" else ["power_timeout", "delay"]
    if device.type != "fence_kappa" and not set(names) & set(device.parameters):
        return None
    total = sum(device.time(name, FENCE_KAPPA_TIMEOUT if name == "timeout" else "0") for name in names)
    return total + (FENCE_KAPPA_GUARD_S if device.type == "fence_kappa" else 0)
