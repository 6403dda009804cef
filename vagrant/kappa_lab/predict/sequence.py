"""What stops and starts with what: groups and mandatory orders."""

from collections.abc import Iterable

from kappa_lab.predict.cib import Cib, Resource


def followers(cib: Cib, resource: Resource) -> tuple[Resource, ...]:
    """What must stop before `resource` may, and starts after it."""
    found: dict[str, Resource] = {}
    waiting = [resource]
    while waiting:
        for one in _direct(cib, waiting.pop()):
            if one.id not in found and one.id != resource.id:
                found[one.id] = one
                waiting.append(one)
    return tuple(found.values())


def _direct(cib: Cib, resource: Resource) -> Iterable[Resource]:
    at = cib.resources.index(resource)
    if resource.group:
        yield from (one for one in cib.resources[at + 1 :] if one.group == resource.group)
    for first, then in cib.orders:
        if first in resource.names:
            yield from (one for one in cib.resources if then in one.names)


def in_order(cib: Cib, resources: Iterable[Resource]) -> list[Resource]:
    """As they start: what has more followers is first."""
    return sorted(resources, key=lambda one: (-len(followers(cib, one)), cib.resources.index(one)))


def until(cib: Cib, last: Resource) -> list[Resource]:
    """What has to start on a node that takes over before `last` serves: clones run there already."""
    return [*in_order(cib, (one for one in cib.resources if _once(one) and last in followers(cib, one))), last]


def with_followers(cib: Cib, resources: Iterable[Resource]) -> list[Resource]:
    everything = {one.id: one for first in resources for one in (first, *followers(cib, first))}
    return in_order(cib, (one for one in everything.values()))


def _once(resource: Resource) -> bool:
    return not resource.clone or resource.promotable


def takes_over(resource: Resource) -> tuple[str, ...]:
    return ("promote",) if resource.promotable else ("start",)


def stops(resource: Resource) -> tuple[str, ...]:
    return ("demote", "stop") if resource.promotable else ("stop",)


def starts(resource: Resource) -> tuple[str, ...]:
    return ("start", "promote") if resource.promotable else ("start",)
