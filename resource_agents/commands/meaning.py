"""What an agent's exit code is, and what Pacemaker makes of it, in words."""

from __future__ import annotations

from dataclasses import dataclass

from resource_agents.ocf import exits

NAMES = {
    exits.OK: "success",
    exits.GENERIC: "unspecified error",
    exits.ARGS: "invalid parameter",
    exits.UNIMPLEMENTED: "action not implemented",
    exits.PERMISSION: "insufficient privilege",
    exits.INSTALLED: "not installed",
    exits.CONFIGURED: "not configured",
    exits.NOT_RUNNING: "not running",
    exits.RUNNING_PROMOTED: "running, promoted",
    exits.FAILED_PROMOTED: "failed, promoted",
    exits.DEGRADED: "running, degraded",
    exits.DEGRADED_PROMOTED: "running, promoted, degraded",
}
WELL = frozenset(
    (exits.OK, exits.RUNNING_PROMOTED, exits.DEGRADED, exits.DEGRADED_PROMOTED),
)
HARD = frozenset((exits.ARGS, exits.UNIMPLEMENTED, exits.PERMISSION, exits.INSTALLED))

SOFT_WORDS = (
    "A soft failure: the cluster stops it and starts it again, on this node until migration-threshold is reached, "
    "then on another."
)
HARD_WORDS = (
    "A hard failure: this node is banned for the resource until someone runs `pcs resource cleanup`; others may run it."
)
FATAL_WORDS = (
    "A fatal failure: the resource is banned from every node of the cluster until its configuration is corrected and "
    "`pcs resource cleanup` is run."
)
FENCE_WORDS = "A failed stop: the cluster cannot know that it is down, so it fences this node to be sure."


@dataclass(frozen=True)
class Meaning:
    """found: what the agent says of the resource. cluster: what Pacemaker does on hearing it. well: nothing to mend."""

    found: str
    cluster: str
    well: bool


def meaning(action: str, code: int, *, timed_out: bool = False) -> Meaning:
    """What `code` from `action` says; a negative code is the signal that ended the agent."""
    if timed_out:
        found = "no answer within the time-out; Pacemaker would have killed the agent now"
        return Meaning(found, FENCE_WORDS if action == "stop" else SOFT_WORDS, False)
    if code not in exits.LEGAL:
        what = (
            f"killed by signal {-code}"
            if code < 0
            else f"exit code {code}, which is none of OCF's: the agent is broken"
        )
        return Meaning(what, FENCE_WORDS if action == "stop" else SOFT_WORDS, False)
    found = _found(action, code)
    if action == "stop" and code != exits.OK:
        return Meaning(found, FENCE_WORDS, False)
    if action == "monitor" and code in WELL:
        kept = "The cluster leaves it alone"
        if code in (exits.DEGRADED, exits.DEGRADED_PROMOTED):
            return Meaning(found, f"{kept} and shows it as degraded: look into the reason before it fails.", True)
        return Meaning(found, f"{kept}.", True)
    if code == exits.OK:
        return Meaning(found, "The cluster takes the action as done.", True)
    if code == exits.NOT_RUNNING and action == "monitor":
        cluster = (
            "Right on a node where it is not to run (a probe expects it). Where it is to run, a soft failure: "
            "the cluster starts it again."
        )
        return Meaning(found, cluster, False)
    if code in HARD:
        return Meaning(found, HARD_WORDS, False)
    if code == exits.CONFIGURED:
        return Meaning(found, FATAL_WORDS, False)
    return Meaning(found, SOFT_WORDS, False)


def _found(action: str, code: int) -> str:
    if action != "monitor":
        return {exits.OK: "done"}.get(code, NAMES[code])
    return {
        exits.OK: "running",
        exits.GENERIC: "failed: neither serving nor cleanly stopped, or in doubt",
        exits.NOT_RUNNING: "cleanly stopped",
        exits.DEGRADED: "running, but degraded",
        exits.DEGRADED_PROMOTED: "running and promoted, but degraded",
    }.get(code, NAMES[code])
