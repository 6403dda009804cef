"""How long a recovery may take at the worst, from configuration alone, and what an expert would warn of in it."""

from kappa_lab.predict.checks import CHECKS, Warned, warnings
from kappa_lab.predict.cib import Cib
from kappa_lab.predict.corosync import Corosync
from kappa_lab.predict.faults import KINDS, bound, everything
from kappa_lab.predict.prediction import Part, Prediction
from kappa_lab.predict.steps import ELECTION_S, LEASE_S, Given

__all__ = [
    "CHECKS", "ELECTION_S", "KINDS", "LEASE_S", "Cib", "Corosync", "Given", "Part", "Prediction", "Warned",
    "bound", "everything", "warnings",
]  # fmt: skip
