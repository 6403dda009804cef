"""The lab in another configuration than the shipped one: what is loaded, and what is waited for."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from kappa_lab import cluster, lab
from kappa_lab.topology import NODES

NAMES = frozenset(node.name for node in NODES)
LIVE = """<cib><configuration>
<crm_config><cluster_property_set id="seed"/></crm_config>
<nodes><node id="1" uname="node1"/></nodes><resources/><constraints/>
</configuration></cib>"""
OTHER = """<cib><configuration>
<crm_config><cluster_property_set id="other"/></crm_config>
<nodes/><resources><primitive id="vip"/></resources><constraints/><rsc_defaults/>
</configuration></cib>"""
BARE = lab.Configuration(cib=OTHER, everywhere=(), fencing=("fence",))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], str | None]]:
    """What was run in the nodes, and with what input."""
    seen: list[tuple[tuple[str, ...], str | None]] = []

    def docker(*words: str, doing: str, stdin: str | None = None) -> str:
        seen.append((words, stdin))
        return LIVE if "--query" in words else OTHER

    monkeypatch.setattr(lab, "docker", docker)
    return seen


def test_another_configuration_is_loaded_in_place_of_the_images_and_the_nodes_are_kept(
    asked: list[tuple[tuple[str, ...], str | None]],
) -> None:
    lab.load_configuration(OTHER)
    assert not any(lab.NODE_CIB in words for words, _ in asked)
    loaded = ElementTree.fromstring(asked[-1][1] or "")
    assert [section.tag for section in loaded] == ["crm_config", "nodes", "resources", "constraints", "rsc_defaults"]
    assert loaded.find("nodes/node") is not None and loaded.find("resources/primitive") is not None
    assert [one.get("id") for one in loaded.iterfind("crm_config/*")] == ["other"]


def test_without_one_the_nodes_own_is_loaded(asked: list[tuple[tuple[str, ...], str | None]]) -> None:
    lab.load_configuration()
    assert any(lab.NODE_CIB in words for words, _ in asked)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[cluster.Status], bool]]:
    found: list[Callable[[cluster.Status], bool]] = []

    def wait_for(what: str, holds: Callable[[cluster.Status], bool], bound_s: float) -> cluster.Status:
        found.append(holds)
        return status({})

    monkeypatch.setattr(cluster, "wait_for", wait_for)
    return found


def status(running: dict[str, frozenset[str]], online: frozenset[str] = NAMES) -> cluster.Status:
    return cluster.Status("node1", online, True, running)


def test_a_lab_is_ready_when_all_runs_that_its_configuration_has(
    waited: list[Callable[[cluster.Status], bool]],
) -> None:
    lab.ready()
    lab.ready(configuration=BARE)
    shipped, bare = waited
    one = frozenset(["node2"])
    group = {"vip": one, "web": one, "bot": one}
    assert bare(status({**group, "fence": one}))
    assert not bare(status(group)), "fencing is not ready"
    assert not bare(status({**group, "fence": one, "bot": frozenset(["node1"])})), "the group is on two nodes"
    assert not bare(status({**group, "fence": one}, online=one)), "nodes are missing"
    assert not shipped(status({**group, "fence": one})), "no router, and none of its fence devices"
    assert shipped(status({**group, "router": NAMES, "fence-kappa": one, "fence-kappa-2": one}))
