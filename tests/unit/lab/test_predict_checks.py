"""Warnings: each check against a configuration that has it; the one that ships has none."""

import re

import pytest

from kappa_lab.predict import CHECKS, warnings
from tests.predict_inputs import CIB, COROSYNC, changed, given, prop, two_nodes

NO_DEVICES = re.sub(
    r"<fencing-topology>.*</fencing-topology>",
    "",
    re.sub(r"<primitive class=\"stonith\".*?</primitive>", "", CIB, flags=re.DOTALL),
    flags=re.DOTALL,
)
ONE_LEVEL = re.sub(r"<fencing-level devices=\"fence-kappa-2\".*?/>", "", CIB)
NO_DELAY = changed(CIB, ('name="priority-fencing-delay"', 'name="cluster-delay"'))
DRAIN = '<nvpair id="bot-drain" name="drain" value="{}"/>'
IN_BOT = '<instance_attributes id="bot-instance_attributes">'
WATCHDOG = changed(CIB, prop("stonith-watchdog-timeout", "9s"))
REBOOT = 'name="pcmk_reboot_timeout" value="{}s"'
DISABLED = changed(CIB, ('"stonith-enabled" value="true"', '"stonith-enabled" value="false"'))
TOKEN = "token: 1000\n    token_coefficient: 0\n    consensus: 1500"

HAS: dict[str, tuple[str, str, float | None]] = {
    "stonith-disabled": (DISABLED, COROSYNC, None),
    "no-stonith": (NO_DEVICES, COROSYNC, None),
    "one-fencing-level": (ONE_LEVEL, COROSYNC, None),
    "stonith-timeout-short": (changed(CIB, ('value="40s"', 'value="39s"')), COROSYNC, None),
    "device-timeout-short": (
        changed(CIB, (REBOOT.format(20), REBOOT.format(12))), COROSYNC, None,
    ),
    "watchdog-arithmetic": (WATCHDOG, COROSYNC, 5.0),
    "consensus-short": (CIB, changed(COROSYNC, ("consensus: 1500", "consensus: 1199")), None),
    "token-short": (CIB, changed(COROSYNC, (TOKEN, "token: 300\n    token_coefficient: 0")), None),
    "two-nodes": (CIB, two_nodes(), None),
    "no-quorum": (changed(CIB, ('value="stop"', 'value="ignore"')), COROSYNC, None),
    "fence-duel": (NO_DELAY, two_nodes(), None),
    "priority-missing": (changed(CIB, ('name="priority" value="10"', 'name="priority" value="0"')), COROSYNC, None),
    "stickiness-missing": (
        changed(CIB, ('name="resource-stickiness" value="100"', 'name="x" value="1"')), COROSYNC, None,
    ),
    "monitor-missing": (
        re.sub(r'<op id="fence-kappa-2-monitor[^>]*/>', "", CIB), COROSYNC, None,
    ),
    "monitor-intervals-equal": (changed(CIB, ('interval="13s"', 'interval="6000ms"')), COROSYNC, None),
    "stop-timeout-short": (changed(CIB, (IN_BOT, IN_BOT + DRAIN.format("23s"))), COROSYNC, None),
}  # fmt: skip

NEAR = {
    "device-timeout-short": (
        changed(CIB, (REBOOT.format(20), REBOOT.format(13))), COROSYNC, None,
    ),
    "watchdog-arithmetic": (WATCHDOG, COROSYNC, 4.5),
    "consensus-short": (CIB, changed(COROSYNC, ("consensus: 1500", "consensus: 1200")), None),
    "token-short": (CIB, changed(COROSYNC, (TOKEN, "token: 300\n    token_coefficient: 0\n    consensus: 700")), None),
    "fence-duel": (CIB, two_nodes(), None),
    "stop-timeout-short": (changed(CIB, (IN_BOT, IN_BOT + DRAIN.format("22s"))), COROSYNC, None),
}  # fmt: skip


def names(case: tuple[str, str, float | None]) -> set[str]:
    cib, corosync, sbd_s = case
    return {one.name for one in warnings(given(cib, corosync, sbd_s=sbd_s))}


def test_what_ships_has_nothing_to_warn_of() -> None:
    assert names((CIB, COROSYNC, None)) == set()


def test_every_check_has_its_case() -> None:
    assert set(HAS) == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_warns_of_what_it_is_for(name: str) -> None:
    assert name in names(HAS[name])


@pytest.mark.parametrize("name", NEAR)
def test_a_check_is_silent_just_beside_it(name: str) -> None:
    assert name not in names(NEAR[name])


def test_a_missing_quorum_provider_is_warned_of_too() -> None:
    assert "no-quorum" in names((CIB, changed(COROSYNC, ("provider: corosync_votequorum", "")), None))


@pytest.mark.parametrize("name", CHECKS)
def test_a_warning_says_what_why_and_what_to_do(name: str) -> None:
    cib, corosync, sbd_s = HAS[name]
    for one in warnings(given(cib, corosync, sbd_s=sbd_s)):
        assert one.subject
        for sentence in (one.what, one.why, one.todo):
            assert sentence[0].isupper() or sentence[0].isdigit()
            assert sentence.endswith(".")
