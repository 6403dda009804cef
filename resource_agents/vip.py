"""ocf:kappa:vip: a virtual IP address, on one node at a time."""

from resource_agents.host.netlink import (
    IFA_DADFAILED,
    IFA_SECONDARY,
    IFA_TENTATIVE,
    IPV4,
    IPV6,
    Address,
    Kernel,
    Link,
    pack,
)
from resource_agents.ocf.agent import Agent
from resource_agents.ocf.exits import ARGS, DEGRADED, GENERIC, NOT_RUNNING, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter


def _wrong_ip(raw: str) -> str:
    try:
        pack(raw)
    except ValueError as wrong:
        return str(wrong)
    return ""


def _agree(operation: Operation) -> None:
    family, _ = pack(operation.text("ip"))
    if family == IPV4 and operation.number("prefix") > 32:
        raise ValueError(f"parameter prefix={operation.number('prefix')} is more than 32, the longest for IPv4")


def _present(operation: Operation, kernel: Kernel) -> "Address | None":
    family, ip = pack(operation.text("ip"))
    return next((one for one in kernel.addresses(family) if one.ip == ip), None)


def _usable(operation: Operation, kernel: Kernel, address: Address) -> Link:
    """The link that the address is on. Raises Failure when it serves nobody there."""
    ip, nic = operation.text("ip"), operation.text("nic")
    link = kernel.link(address.index)
    if link is None:
        raise Failure(GENERIC, f"vip {ip}: its interface just vanished")
    if nic and link.name != nic:
        raise Failure(GENERIC, f"vip {ip}: is on interface {link.name}, not on {nic}; stop removes it")
    if address.flags & IFA_DADFAILED:
        raise Failure(GENERIC, f"vip {ip}: another host on {link.name} has the same address; find and stop it")
    fault = link.fault()
    if fault:
        raise Failure(GENERIC, f"vip {ip}: {fault}")
    return link


def monitor(operation: Operation) -> None:
    kernel = Kernel(operation.deadline)
    address = _present(operation, kernel)
    if address is None:
        raise Failure(NOT_RUNNING, f"vip {operation.text('ip')} is not on any interface of this node")
    _usable(operation, kernel, address)


def refresh(operation: Operation) -> None:
    """Level 10: tell the neighbours again; one of them may have been deaf or away when the address came. And ask them
    whether another host has it too: to restart ours would not mend that, so it is degraded."""
    from resource_agents.host.neighbours import announce, has_neighbours, taken_by

    kernel = Kernel(operation.deadline)
    address = _present(operation, kernel)
    link = kernel.link(address.index) if address else None
    if address and link and has_neighbours(link):
        announce(link, address.family, address.ip)
        operation.doing = f"asking the neighbours on {link.name} for {operation.text('ip')}"
        wait_s = min(operation.seconds("duplicate_wait"), operation.deadline.left() / 2)
        owner = taken_by(link, address.ip, wait_s) if address.family == IPV4 else ""
        if owner:
            raise Failure(
                DEGRADED,
                f"vip {operation.text('ip')}: {owner} on {link.name} has this address too and answers for it; "
                "clients reach the one or the other: find it and end it there",
            )


def _place(operation: Operation, kernel: Kernel) -> "tuple[Link, int]":
    """Interface and prefix length: as given, else those of the route the kernel would take."""
    family, ip = pack(operation.text("ip"))
    nic, prefix = operation.text("nic"), operation.number("prefix")
    route = None if nic and prefix else kernel.route(family, ip)
    if route and route.gateway:
        route = None
    if not nic and route is None:
        raise Failure(
            ARGS,
            f"vip {operation.text('ip')}: no interface of this node is on a network with it; bring that one up, or "
            f"set nic",
        )
    link = kernel.link(0, nic) if nic else kernel.link(route.index if route else 0)
    if link is None:
        raise Failure(ARGS, f"vip {operation.text('ip')}: this node has no interface {nic}; correct nic")
    on_route = route.prefix if route and route.index == link.index else len(ip) * 8
    return link, prefix or on_route


def start(operation: Operation) -> None:
    from resource_agents.host.neighbours import announce, has_neighbours, taken_by

    text = operation.text("ip")
    kernel = Kernel(operation.deadline)
    address = _present(operation, kernel)
    if address:
        link = _usable(operation, kernel, address)
    else:
        link, prefix = _place(operation, kernel)
        fault = link.fault()
        if fault:
            raise Failure(GENERIC, f"vip {text}: {fault}")
        family, ip = pack(text)
        address = Address(family, ip, prefix, link.index, 0)
        if family == IPV4 and has_neighbours(link):
            operation.doing = f"asking the neighbours on {link.name} for {text}"
            owner = taken_by(link, ip, min(operation.seconds("duplicate_wait"), operation.deadline.left() / 2))
            if owner:
                raise Failure(
                    GENERIC,
                    f"vip {text}: {owner} on {link.name} has this address and answers for it; "
                    "two holders would split the service: end it there first",
                )
        _remember(operation, f"{text}/{prefix} {link.name}")
        _add(operation, kernel, address, link)
    if address.family == IPV6:
        _settle(operation, kernel)
    if has_neighbours(link):
        announce(link, address.family, address.ip, times=2)
    operation.info(f"vip {text}/{address.prefix} is on {link.name}")


def _add(operation: Operation, kernel: Kernel, address: Address, link: Link) -> None:
    try:
        kernel.add(address)
    except PermissionError:
        # What the kernel says as root is that the interface has no IPv6 at all.
        import os

        if address.family != IPV6 or os.geteuid() != 0:
            raise
        raise Failure(
            ARGS,
            f"vip {operation.text('ip')}: IPv6 is disabled on {link.name}; "
            f"set net.ipv6.conf.{link.name}.disable_ipv6=0 on this node, or choose another nic",
        ) from None


def _settle(operation: Operation, kernel: Kernel) -> None:
    """IPv6: the kernel itself looks for duplicates, and until it has the address is tentative and serves nobody."""
    state = "tentative"

    def settled() -> bool:
        nonlocal state
        address = _present(operation, kernel)
        if address is None or address.flags & IFA_DADFAILED:
            state = "duplicate"
        elif not address.flags & IFA_TENTATIVE:
            state = "usable"
        return state != "tentative"

    operation.doing = f"duplicate address detection for {operation.text('ip')}"
    if not operation.deadline.wait(settled, every_s=0.05) or state != "usable":
        address = _present(operation, kernel)
        if address:
            kernel.delete(address)
        what = "another host has this address; end it there first" if state == "duplicate" else "still tentative"
        raise Failure(GENERIC, f"vip {operation.text('ip')}: {what}")


def stop(operation: Operation) -> None:
    """Remove what the parameters name, and what an earlier start noted down should the parameters be gone or wrong."""
    kernel = Kernel(operation.deadline)
    for text in sorted({operation.text("ip"), *_remembered(operation)} - {""}):
        try:
            family, ip = pack(text)
        except ValueError as wrong:
            operation.warning(f"vip {text} {wrong}: nothing to remove")
            continue
        here = [one for one in kernel.addresses(family) if one.ip == ip]
        if here and operation.flag("reset_connections"):
            # While the address is here: afterwards no reset could leave from it.
            _reset(operation, text, ip)
        operation.doing = f"removing {text}"
        for address in here:
            _remove(operation, kernel, address)
        if any(one.ip == ip for one in kernel.addresses(family)):
            raise Failure(
                GENERIC, f"vip {text}: was removed and is there again; whatever adds it beside the cluster must not"
            )
    _forget(operation)


def _reset(operation: Operation, text: str, ip: bytes) -> None:
    """Reset who is still connected, so that clients come back at once instead of waiting for an answer that nobody will
    give. A kernel that cannot is no reason for a stop to fail."""
    from resource_agents.host.connections import NotSupported, reset

    operation.doing = f"resetting connections to {text}"
    try:
        ended = reset(ip, operation.deadline.part(0.5))
    except NotSupported as lacking:
        operation.warning(f"vip {text}: connections are left to end by themselves: {lacking}")
    except OSError as error:
        operation.warning(f"vip {text}: connections are left to end by themselves: {error.strerror or error}")
    else:
        if ended:
            operation.info(f"vip {text}: {ended} {'connection' if ended == 1 else 'connections'} reset")


def _remove(operation: Operation, kernel: Kernel, address: Address) -> None:
    # With an IPv4 address the kernel also removes its secondaries: the node's own, should it have come after ours.
    before = [one for one in kernel.addresses(address.family) if one.index == address.index and one.ip != address.ip]
    kernel.delete(address)
    if any(one.flags & IFA_SECONDARY for one in before) and address.family == IPV4:
        after = {one.ip for one in kernel.addresses(address.family)}
        for lost in (one for one in before if one.ip not in after):
            operation.warning("the kernel removed a secondary address with ours: putting it back")
            kernel.add(Address(lost.family, lost.ip, lost.prefix, lost.index, 0))


def _remember(operation: Operation, line: str) -> None:
    import os

    os.makedirs(operation.state, mode=0o755, exist_ok=True)
    handle = os.open(operation.state_file("address"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    os.write(handle, f"{line}\n".encode("utf-8", "surrogateescape"))
    os.close(handle)


def _remembered(operation: Operation) -> "list[str]":
    import os

    try:
        # A pipe in its place must not make stop wait for a writer.
        handle = os.open(operation.state_file("address"), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return []
    try:
        return [os.read(handle, 256).decode("utf-8", "replace").partition("/")[0].strip()]
    except OSError:
        return []
    finally:
        os.close(handle)


def _forget(operation: Operation) -> None:
    from resource_agents.host.processes import forget

    forget(operation.state_file("address"))


AGENT = Agent(
    name="vip",
    short="Virtual IP address",
    long="""A virtual IPv4 or IPv6 address that moves between the nodes. Start looks for another holder first, adds the
address and tells the neighbours on the link. Monitor reads the kernel's own list without starting any program and sees
an interface that is down or without link (depth 0); depth 10 tells the neighbours again, and is degraded where one of
them has the address too. Stop removes the address, and resets connections to it where reset_connections asks for
that.""",
    parameters=(
        Parameter(
            "ip",
            "string",
            None,
            "The address",
            "The IPv4 or IPv6 address, without prefix length: 192.0.2.10 or 2001:db8::10.",
            unique_group="address",
            check=_wrong_ip,
        ),
        Parameter(
            "prefix",
            "integer",
            "0",
            "Prefix length",
            "Prefix length (24 for 255.255.255.0). 0 takes that of the network which the address is in on this node.",
            minimum=0,
            maximum=128,
        ),
        Parameter(
            "nic",
            "string",
            "",
            "Network interface",
            "The interface to put the address on. When empty, the one that the kernel's routes lead to.",
        ),
        Parameter(
            "duplicate_wait",
            "time",
            "150ms",
            "How long to look for another holder",
            "Before an IPv4 address is added, whoever may have it is asked by ARP for this long; an answer makes start "
            "fail. A monitor of depth 10 asks as well. 0 asks nobody. IPv6 is left to the kernel's duplicate address "
            "detection.",
            reloadable=True,
        ),
        Parameter(
            "reset_connections",
            "boolean",
            "false",
            "Reset connections at stop",
            "Whether stop resets the TCP connections that are still established through the address, so that clients "
            "notice and come back at once. Needs a kernel with CONFIG_INET_DIAG_DESTROY; without it stop says so and "
            "carries on.",
            reloadable=True,
        ),
    ),
    timeouts={"start": 20, "stop": 20, "monitor": 10},
    start=start,
    stop=stop,
    monitors={0: (10, monitor), 10: (30, refresh)},
    agree=_agree,
)
