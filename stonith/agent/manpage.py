"""The manual page, in roff, made from the same table as the metadata: `fence_kappa -o manpage | man -l -`."""

from __future__ import annotations

from stonith.agent.describe import LONG, SHORT, VERSION, forms
from stonith.agent.options import ACTIONS, OPTIONS, Option

OF_ACTIONS = {
    "on": "Start the machine; 0 once it was seen running.",
    "off": "Cut the power, never gracefully; 0 once what ran is proven to run no more.",
    "reboot": "As off, then ask for the start without waiting for it. The off half alone decides.",
    "status": "0: on. 2: proven off. 1: unknown, or nobody could be asked.",
    "monitor": "0: the power broker answers, knows this client, may switch for it, and its hypervisor answers.",
    "list": "A line plug,alias for each machine that this client may switch.",
    "list-status": "A line plug,alias,STATE for each; STATE is ON, OFF or UNKNOWN.",
    "validate-all": "0 and silent when the options are right. Asks nobody.",
    "metadata": "The agent's description in XML.",
    "manpage": "This page.",
}
EXPLAIN = (
    "For people: what each address of the power broker answers, what it sees of the machine, and what fencing would do"
    " now, without doing it. 0 when fencing would work now, else 1 with the reason last."
)
CODES = (
    "0: done, and proven. 1: anything else, with the reason in one line on standard error. 2: said by status alone, the"
    " machine is proven off. An unknown state and a time-out are failures."
)


def manpage() -> str:
    lines = [
        f'.TH FENCE_KAPPA 8 "" "fence_kappa {VERSION}" "Fence agents"',
        ".SH NAME",
        _text(f"fence_kappa - {SHORT}"),
        ".SH SYNOPSIS",
        r"\fBfence_kappa\fR [\fIoptions\fR]",
        ".br",
        r"\fBfence_kappa explain\fR [\fIoptions\fR]",
        ".br",
        r"\fBfence_kappa\fR < \fIFILE\fR with key=value lines",
        ".SH DESCRIPTION",
        _text(LONG),
        ".SH OPTIONS",
        _text(
            "As lines name=value on standard input, where # begins a comment, unknown names are ignored and the last"
            " value wins; or on the command line, in the short or the long form."
        ),
    ]
    for option in OPTIONS:
        lines += _option(option)
    lines.append(".SH ACTIONS")
    for action in ACTIONS:
        lines += [".TP", rf"\fB{_text(action)}\fR", _text(OF_ACTIONS[action])]
    lines += [".TP", r"\fBexplain\fR", _text(EXPLAIN)]
    lines += [".SH EXIT STATUS", _text(CODES), ".SH SEE ALSO", r"\fBpcs\fR(8), \fBstonith_admin\fR(8)", ""]
    return "\n".join(lines)


def _option(option: Option) -> list[str]:
    about = option.shortdesc + ("." if option.default is None else f" (default: {option.default}).")
    if option.required:
        about += " Required."
    on_stdin = "" if option.type == "boolean" else rf" \fB{_text(option.name)}\fR=\fIvalue\fR on standard input."
    return [".TP", rf"\fB{_text(forms(option))}\fR", _text(about) + on_stdin]


def _text(words: str) -> str:
    """Words that roff prints as they are: a hyphen that can be copied, and no line that begins like a request."""
    escaped = words.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped
