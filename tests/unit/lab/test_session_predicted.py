"""A drill's prediction is of the cluster that stands, and not of what the repository would have it be."""

import pytest

from kappa_lab import cluster, environment, scenario
from kappa_lab.drill import session
from kappa_lab.errors import LabError
from kappa_lab.topology import NODES
from tests.predict_inputs import CIB, COROSYNC, changed, predicted

SLOW = changed(COROSYNC, ("token: 1000", "token: 4000"), ("consensus: 1500", "consensus: 6000"))


class Nodes:
    """What they hold; those in `dead` answer nothing."""

    def __init__(self) -> None:
        self.corosync = SLOW
        self.dead: set[str] = set()

    def docker(self, verb: str, container: str, *words: str, doing: str, **_: object) -> str:
        assert verb == "exec"
        if container in self.dead:
            raise LabError(f"{doing}: {container} does not answer.")
        if words == ("cibadmin", "--query"):
            return CIB
        return self.corosync if words == ("cat", "/etc/corosync/corosync.conf") else "some version 1.2.3"


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    nodes = Nodes()
    for module in (session, cluster, environment):
        monkeypatch.setattr(module, "docker", nodes.docker)
    return nodes


def test_a_node_with_longer_times_than_the_repositorys_is_predicted_by_its_own(nodes: Nodes) -> None:
    found = session.predicted(scenario.load("power-cut"))
    usual = predicted("node-lost").worst_s
    assert found is not None
    assert found.worst_s is not None
    assert usual is not None
    assert found.worst_s == pytest.approx(usual + 3 + 4.5)


def test_what_a_node_has_that_is_no_configuration_is_said_to_be_its_own(nodes: Nodes) -> None:
    nodes.corosync = "totem is what it is about\n"
    with pytest.raises(LabError, match=f"{NODES[0].name}'s corosync.conf"):
        session.predicted(scenario.load("power-cut"))
    nodes.dead = {NODES[0].container}
    with pytest.raises(LabError, match="does not answer"):
        session.predicted(scenario.load("power-cut"))


def test_a_drill_that_expects_no_recovery_asks_nobody(nodes: Nodes) -> None:
    nodes.dead = {node.container for node in NODES}
    assert session.predicted(scenario.load("reload")) is None


@pytest.mark.parametrize(
    ("dead", "token", "consensus"), [(0, 4000, 6000), (2, 4000, 6000), (3, "unknown", "unknown")]
)  # fmt: skip
def test_the_report_shows_the_times_of_the_first_node_that_answers(
    nodes: Nodes, dead: int, token: object, consensus: object
) -> None:
    nodes.dead = {node.container for node in NODES[:dead]}
    found = environment.describe()
    assert (found["token_ms"], found["consensus_ms"]) == (token, consensus)
