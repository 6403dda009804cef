"""What kappa.pcs.sh writes, and ways to make it worse."""

from pathlib import Path

from kappa_lab.paths import ROOT
from kappa_lab.predict import Given, Prediction, bound
from kappa_lab.predict.cib import read as read_cib
from kappa_lab.predict.corosync import read as read_corosync

CIB_FILE = Path(__file__).with_name("predict_kappa.xml")
COROSYNC_FILE = ROOT / "crm_configs" / "corosync.conf"
CIB = CIB_FILE.read_text()
COROSYNC = COROSYNC_FILE.read_text()


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, f"nothing to change: {old!r}"
        text = text.replace(old, new)
    return text


def prop(name: str, value: str) -> tuple[str, str]:
    """A change that adds a property of the cluster."""
    head = '<cluster_property_set id="cib-bootstrap-options">'
    return head, f'{head}<nvpair id="new-{name}" name="{name}" value="{value}"/>'


def given(cib: str = CIB, corosync: str = COROSYNC, lease_s: float = 3.0, sbd_s: float | None = None) -> Given:
    return Given(read_cib(cib), read_corosync(corosync), lease_s, sbd_s)


def predicted(kind: str, cib: str = CIB, corosync: str = COROSYNC, lease_s: float = 3.0) -> Prediction:
    return bound(read_cib(cib), read_corosync(corosync), kind, lease_s)


def two_nodes(corosync: str = COROSYNC) -> str:
    head, _, rest = corosync.partition("    node {\n        name: node3")
    return head + rest.partition("    }\n")[2]
