"""`metadata` and `--help` of fence_kappa, made from its table of options. Loaded by nothing else."""

from __future__ import annotations

from stonith.agent.options import OBSOLETE, OPTIONS, Option

VERSION = "0.1.0"

SHORT = "Fence agent for the Kappa power broker, kappa-powerd"
LONG = (
    "fence_kappa switches cluster nodes that are containers or virtual machines, by asking kappa-powerd on their host. "
    "Both sides prove that they hold this client's key, which never leaves its file. Off is reported only when the "
    "broker has seen proof that this very instance does not run; an unknown state and a time-out are failures. A "
    "reboot succeeds as soon as the machine is proven off; its start is asked for and not waited for."
)
ACTIONS = (
    '<action name="on" automatic="0"/>',
    '<action name="off"/>',
    '<action name="reboot"/>',
    '<action name="status"/>',
    '<action name="list"/>',
    '<action name="list-status"/>',
    '<action name="monitor"/>',
    '<action name="metadata"/>',
    '<action name="manpage"/>',
    '<action name="validate-all"/>',
)


def metadata() -> str:
    """The agent's metadata in the form of the fence agents' own metadata.rng, which pcs, crmsh and Pacemaker read."""
    lines = [
        '<?xml version="1.0"?>',
        f'<resource-agent name="fence_kappa" shortdesc="{_xml(SHORT)}">',
        f"<longdesc>{_xml(LONG)}</longdesc>",
        "<vendor-url>https://github.com/KappaSoftware</vendor-url>",
        "<parameters>",
    ]
    for option in OPTIONS:
        lines += _parameter(option)
    return "\n".join([*lines, "</parameters>", "<actions>", *ACTIONS, "</actions>", "</resource-agent>", ""])


def _parameter(option: Option) -> list[str]:
    # Only `plug` is described, so that Pacemaker fills in that one and never both names of the same thing.
    obsoletes = "".join(f' obsoletes="{old}"' for old, new in OBSOLETE.items() if new == option.name == "plug")
    default = "" if option.default is None else f' default="{_xml(option.default)}"'
    return [
        f'<parameter name="{option.name}" unique="0" required="{int(option.required)}"{obsoletes}>',
        f'<getopt mixed="{_xml(forms(option))}"/>',
        f'<content type="{option.type}"{default}/>',
        f'<shortdesc lang="en">{_xml(option.shortdesc)}</shortdesc>',
        "</parameter>",
    ]


def forms(option: Option) -> str:
    value = "" if option.type == "boolean" else f"=[{'seconds' if option.type == 'second' else option.name}]"
    return f"-{option.short}, --{option.long}{value}"


def usage() -> str:
    lines = [
        f"{SHORT}.",
        "",
        "Usage: fence_kappa [options]",
        "       fence_kappa < FILE with key=value lines",
        "       fence_kappa explain [options]    what fencing would do now; nothing is switched",
        "",
    ]
    for option in OPTIONS:
        default = f" (default: {option.default})" if option.default is not None else ""
        lines.append(f"  {forms(option):<30} {option.shortdesc}{default}")
    lines += [
        "",
        "Exit codes: 0 done and proven; status: 0 on, 2 off, 1 unknown; 1 anything else, the reason on standard error.",
        "",
    ]
    return "\n".join(lines)


def _xml(text: str) -> str:
    for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(char, entity)
    return text
