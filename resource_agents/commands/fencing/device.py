"""The fence agent under test and the device behind it: how it is called, how the device is put into each state.

Two commands of whoever runs this tell of the device without asking the agent. `--state-command` prints the truth: `on`
or `off`, and a word that differs from one run of the machine to the next if there is one. `--stage` is run with one
word and puts the device into that state: on, off, stuck (a switch that does not take), garbage (answers that mean
nothing), in-between (neither runs nor is off), silent (no answer), away (no connection), well (none of these). It ends
with 0 when that is done and with 3 when this device cannot do that.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from resource_agents.commands.conformance.registry import Inapplicable
from resource_agents.commands.conformance.supervisor import Supervisor
from resource_agents.commands.fencing.metadata import Metadata, parse
from resource_agents.commands.metadata import Unreadable
from resource_agents.commands.running import PATH, Ended, Running, begin

TIMEOUT_S = 60.0
"""Pacemaker's own default for every fencing action."""
OK, FAILED, OFF = 0, 1, 2
CANNOT = 3
TRUE = ("1", "true", "yes", "on")
NO_PLUG = "conform-no-such-plug"


def why(said: Ended) -> str:
    """What it last said that tells something; most fence agents end every complaint with the same advice."""
    lines = [line.strip() for line in said.err.splitlines() if line.strip() and "use '-h' for usage" not in line]
    return lines[-1][:300] if lines else said.last_words


class Device:
    """journal: every run that a check made, in order. unusable: why nothing can be asked of the device.

    found: on or off, as the machine was before anything was tried.
    """

    def __init__(
        self,
        agent: Path,
        parameters: Mapping[str, str],
        *,
        timeout_s: float | None = None,
        schema: Path | None = None,
        stage: str = "",
        state_command: str = "",
    ) -> None:
        self.agent = agent
        self.parameters = dict(parameters)
        self.timeout_s = timeout_s or TIMEOUT_S
        self.schema = schema
        self.staged = bool(stage)
        self._stage = shlex.split(stage)
        self._state = shlex.split(state_command)
        self.supervisor = Supervisor()
        self.journal: list[Ended] = []
        self.metadata: Metadata | None = None
        self.unreadable = ""
        self.unusable = ""
        self.found = ""

    def learn(self) -> None:
        """Read the metadata, and with parameters see whether they work."""
        said = self.run("metadata", {})
        try:
            self.metadata = parse(said.out)
        except Unreadable as wrong:
            self.unreadable = f"{said}; {wrong}"
            return
        if not self.parameters:
            self.unusable = "needs parameters of a device that works: give --param"
        elif self.meta.plug and not self.plug:
            self.unusable = "needs --param plug=NAME, a machine that may be switched"
        else:
            self._be_well()
            seen = self.run("status")
            self.found = {OK: "on", OFF: "off"}.get(seen.code, "")
            if not self.found:
                self.unusable = f"with these parameters it sees no state: {seen}; {why(seen)}"

    @property
    def meta(self) -> Metadata:
        if self.metadata is None:
            raise RuntimeError("asked for metadata that could not be read")
        return self.metadata

    @property
    def plug_name(self) -> str:
        return next((name for name in ("plug", "port") if name in self.parameters), "plug")

    @property
    def plug(self) -> str:
        return self.parameters.get(self.plug_name, "")

    # -- the agent

    def lines(self, action: str, parameters: Mapping[str, str] | None = None) -> str:
        given = self.parameters if parameters is None else parameters
        return "".join(f"{name}={value}\n" for name, value in {"action": action, **given}.items())

    def run(self, action: str, parameters: Mapping[str, str] | None = None) -> Ended:
        """As pacemaker-fenced does: everything on standard input."""
        return self.read(self.lines(action, parameters), action)

    def read(self, text: str, action: str) -> Ended:
        """`text` on standard input; `action`: what it asks for, for the journal."""
        return self.finish(self.begin([], text, action))

    def argue(self, words: Sequence[str], action: str) -> Ended:
        """On a command line, with nothing on standard input."""
        return self.finish(self.begin(words, "", action))

    def begin(self, words: Sequence[str], text: str, action: str, user: int | None = None) -> Running:
        running = begin(self.agent, words, {"PATH": PATH}, self.timeout_s, user, given=text.encode())
        return replace(running, words=(action,))

    def finish(self, running: Running) -> Ended:
        ended = self.supervisor.finish(running)
        self.journal.append(ended)
        return ended

    def words(self, action: str, form: str) -> list[str]:
        """The parameters as arguments, `form` "short" or "long"; one that lacks the short form has the long one."""
        made: list[str] = []
        for name, value in {"action": action, **self.parameters}.items():
            option = self.meta.option(name)
            if option is None or not (option.longs or option.shorts):
                raise Inapplicable(f"its metadata tells no command-line form of {name}")
            short = (form == "short" and option.shorts) or not option.longs
            if option.kind == "boolean":
                if value.lower() in TRUE:
                    made.append(f"-{option.shorts[0]}" if short else f"--{option.longs[0]}")
            elif short:
                made += [f"-{option.shorts[0]}", value]
            else:
                made.append(f"--{option.longs[0]}={value}")
        return made

    # -- the device behind it

    def stage(self, word: str) -> None:
        """Raises Inapplicable when the device cannot be put into that state."""
        if not self._stage:
            raise Inapplicable("needs --stage, a command that makes the device misbehave")
        code, said = self._command([*self._stage, word])
        if code == CANNOT:
            raise Inapplicable(f"this device cannot be made {word}")
        if code != 0:
            raise RuntimeError(f"--stage {word} ended with {code}: {said}")

    def bring(self, state: str) -> None:
        """To `on` or `off`, by the stage where there is one and else by the agent itself."""
        if self._stage:
            with contextlib.suppress(Inapplicable):
                self.stage(state)
                return
        self.run(state)

    def mend(self) -> None:
        """What a check left behind is no part of what the next one judges."""
        if self._stage and not self.unusable:
            self._be_well()

    def put_back(self) -> None:
        """The machine as it was found."""
        if self.found and not self.unusable:
            self._be_well()
            self.bring(self.found)

    def _be_well(self) -> None:
        if self._stage:
            with contextlib.suppress(Inapplicable):
                self.stage("well")

    def truth(self) -> tuple[str, str]:
        """What the device is, on or off, and its run; by the agent's own status where nothing else can tell."""
        if not self._state:
            code = self.run("status").code
            return {OK: "on", OFF: "off"}.get(code, "unknown"), ""
        code, said = self._command(self._state)
        state, _, run = said.partition(" ")
        if code != 0 or state not in ("on", "off"):
            raise RuntimeError(f"--state-command ended with {code} and said {said!r}, not on or off")
        return state, run

    def _command(self, words: list[str]) -> tuple[int, str]:
        running = begin(Path(words[0]), words[1:], {"PATH": PATH}, 30.0)
        ended = self.supervisor.finish(running)
        return ended.code, ended.out.strip() or why(ended)
