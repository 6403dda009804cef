"""Run drills: real traffic, faults, and a history of what everyone saw, for the judge to read.

A drill decides nothing about what is right. It drives the lab from outside, as an operator would, waits for each step
with a bound, and leaves a folder of evidence: Telegram's journal, the watcher on the wire, the brokers' audit, the
cluster's log, what MongoDB holds.

- `session`   one lab, many drills, one report
- `play`      the steps of one drill
- `record`    what the drill itself knows: drill.json
- `evidence`  what the witnesses wrote, a segment for each drill
"""

from kappa_lab.drill.session import run, uninterrupted

__all__ = ["run", "uninterrupted"]
