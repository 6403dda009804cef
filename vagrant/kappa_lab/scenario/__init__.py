"""Drills as data: vagrant/drills/NAME.toml, read and refused by file, line and key."""

from kappa_lab.scenario.model import SERVICE, Bounds, Expect, Heal, Inject, Scenario, Step, Traffic, WaitFor, slower
from kappa_lab.scenario.reading import FOLDER, load, names, read
from kappa_lab.scenario.words import words

__all__ = [
    "FOLDER", "SERVICE", "Bounds", "Expect", "Heal", "Inject", "Scenario", "Step", "Traffic", "WaitFor",
    "load", "names", "read", "slower", "words",
]  # fmt: skip
