"""The agent under test: its metadata, working parameters, and every run of it so far."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from resource_agents.commands.conformance.supervisor import Supervisor, named
from resource_agents.commands.metadata import Metadata, Unreadable, parse
from resource_agents.commands.running import Ended, Running, begin, environment
from resource_agents.ocf import exits

RUNNING = (exits.OK, exits.RUNNING_PROMOTED, exits.DEGRADED, exits.DEGRADED_PROMOTED)


class Subject:
    """journal: every run that a check made, in order, for what must hold of each of them.

    already: what the very first monitor found, when it was not "not running": then nothing here is touched.
    asks_for_parameters: what that monitor said when it took the parameters for wrong: some only together make sense.
    unstartable: how the first start failed: one failure, and nothing to say about what can be asked of a running one.
    """

    def __init__(
        self,
        agent: Path,
        parameters: Mapping[str, str],
        *,
        lifecycle: bool,
        state: Path,
        timeout_s: float | None = None,
        schema: Path | None = None,
    ) -> None:
        self.agent = agent
        self.parameters = dict(parameters)
        self.lifecycle = lifecycle
        self.state = state
        self.timeout_s = timeout_s
        self.schema = schema
        self.instance = f"conform-{os.getpid()}"
        self.supervisor = Supervisor()
        self.journal: list[Ended] = []
        self.metadata: Metadata | None = None
        self.unreadable = ""
        self.already = ""
        self.unstartable = ""
        self.asks_for_parameters = ""

    def learn(self) -> None:
        """Read the metadata, and look whether something runs here already."""
        try:
            said = self.run("meta-data")
            self.metadata = parse(said.out)
        except Unreadable as wrong:
            self.unreadable = f"{said}; {wrong}"
        except OSError as error:
            self.unreadable = f"it cannot be executed: {error.strerror or error}"
            return
        found = self.run("monitor")
        if found.code in (exits.ARGS, exits.CONFIGURED):
            self.asks_for_parameters = found.last_words
        if found.code in RUNNING:
            self.already = f"{found} before anything was started: it runs here already, and was left alone"
        elif found.code == exits.GENERIC and not self.lifecycle:
            self.already = f"{found} before anything was started ({found.last_words}): it was left alone"

    @property
    def meta(self) -> Metadata:
        if self.metadata is None:
            raise RuntimeError("asked for metadata that could not be read")
        return self.metadata

    def limit_s(self, action: str) -> float:
        if self.timeout_s is not None:
            return self.timeout_s
        return self.metadata.timeout_s(action) if self.metadata else 20.0

    def variables(
        self,
        action: str,
        parameters: Mapping[str, str] | None = None,
        level: int | None = None,
        interval_s: float = 0.0,
    ) -> dict[str, str]:
        made = environment(
            self.agent,
            self.parameters if parameters is None else parameters,
            instance=self.instance,
            action=action,
            timeout_s=self.limit_s(action),
            interval_s=interval_s,
            level=level,
        )
        # The one thing that Pacemaker does not set: what an agent notes down is to vanish with the test.
        return {**made, "HA_RSCTMP": str(self.state)}

    def begin(
        self,
        words: str | Sequence[str],
        parameters: Mapping[str, str] | None = None,
        *,
        level: int | None = None,
        interval_s: float = 0.0,
        change: Mapping[str, str | None] | None = None,
        bare: bool = False,
        user: int | None = None,
    ) -> Running:
        """Start the agent. change: variables to add, or to leave out (None). bare: no environment at all but these."""
        words = [words] if isinstance(words, str) else list(words)
        action = words[0] if words else ""
        variables = {} if bare else self.variables(action, parameters, level, interval_s)
        for name, value in (change or {}).items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        return begin(self.agent, words, variables, self.limit_s(action), user)

    def finish(self, running: Running, kill_after_s: float | None = None) -> Ended:
        ended = self.supervisor.finish(running, kill_after_s)
        self.journal.append(ended)
        return ended

    def run(
        self,
        words: str | Sequence[str],
        parameters: Mapping[str, str] | None = None,
        *,
        level: int | None = None,
        interval_s: float = 0.0,
        change: Mapping[str, str | None] | None = None,
        bare: bool = False,
        user: int | None = None,
    ) -> Ended:
        return self.finish(
            self.begin(words, parameters, level=level, interval_s=interval_s, change=change, bare=bare, user=user)
        )

    def left(self) -> str:
        """What still runs of it, "" when nothing does; what is just ending has half a second to be gone."""
        return named(self.supervisor.offspring(0.5))

    def put_away(self) -> None:
        """Back to stopped, by whatever means, for the next check; no part of what is judged."""
        if self.already:
            return
        before = len(self.journal)
        self.run("stop")
        del self.journal[before:]
        self.supervisor.kill_offspring()
