"""What a router's config servers say of themselves: `hello` needs no login."""

from resource_agents.host.router import hello
from resource_agents.host.sockets import Unanswered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from resource_agents.host.tls import Files
    from resource_agents.ocf.operation import Deadline

DEFAULT_PORT = 27017
EACH_AT_MOST_S = 2.0

PRIMARY, NO_PRIMARY, SILENT = "a primary", "no primary", "silent"


def members(configdb: str) -> "list[tuple[str, int]]":
    """Hosts and ports in "name/host:port[,host:port...]", which the parameter's own check has let through."""
    found = []
    for text in configdb.partition("/")[2].split(","):
        host, port = (text, "") if text.endswith("]") or ":" not in text else text.rsplit(":", 1)
        found.append((host.strip("[]"), int(port or DEFAULT_PORT)))
    return found


def look(configdb: str, deadline: "Deadline", tls: "Files | None") -> "tuple[str, str]":
    """PRIMARY once any of them is the primary or knows it; NO_PRIMARY when some answer, but none does; SILENT when none
    answers. And what was seen, in words."""
    seen, answered = [], False
    rest = members(configdb)
    while rest:
        (host, port), rest = rest[0], rest[1:]
        try:
            # One that is dead must not take the time of those after it.
            said = hello(host, port, deadline.part(1 / (len(rest) + 1), EACH_AT_MOST_S), tls)
        except Unanswered as unanswered:
            seen.append(f"{host}:{port} {unanswered}")
            continue
        if said.get("isWritablePrimary") is True or said.get("ismaster") is True or said.get("primary"):
            return PRIMARY, f"{host}:{port}"
        answered = True
        seen.append(f"{host}:{port} knows no primary")
    return (NO_PRIMARY if answered else SILENT), ", ".join(seen)
