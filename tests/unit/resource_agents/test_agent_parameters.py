"""How a parameter's text is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resource_agents.ocf.exits import CONFIGURED, Failure
from resource_agents.ocf.operation import Operation
from resource_agents.ocf.parameters import Parameter, seconds

KINDS = ("string", "integer", "boolean", "select", "time", "path", "program")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30),
        ("30s", 30),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("2m", 120),
        ("2min", 120),
        ("1h", 3600),
        ("0", 0),
        (" 5 S ", 5),
    ],
)
def test_times(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "s", "-1", "1e9", "five", "1.2.3", "nan", "inf", "1_0", "٣", "99999999999999s"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        seconds(text)


@pytest.mark.parametrize("text", ["abc", "1_0", " 1", "٣", "1.0", "0x10", "", "+", "9" * 30])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        Parameter("n", "integer", "0", "").read(text)


def test_bounds_and_choices() -> None:
    port = Parameter("port", "integer", "1", "", minimum=1, maximum=65535)
    assert port.read("65535") == 65535
    for text in ("0", "65536", "-5"):
        with pytest.raises(ValueError, match="than"):
            port.read(text)
    with pytest.raises(ValueError, match="is none of a, b"):
        Parameter("x", "select", "a", "", options=("a", "b")).read("c")
    assert Parameter("x", "boolean", "0", "").read("Yes") is True
    with pytest.raises(ValueError, match="neither true nor false"):
        Parameter("x", "boolean", "0", "").read("perhaps")
    with pytest.raises(ValueError, match="absolute"):
        Parameter("x", "path", "/x", "").read("x")
    with pytest.raises(ValueError, match="absolute"):
        Parameter("x", "program", "x", "").read("./x")


# A busy machine is no failure, and nothing is kept beside the sources.
unhurried = settings(deadline=None, database=None)


@unhurried
@given(kind=st.sampled_from(KINDS), text=st.text(max_size=40), action=st.sampled_from(["start", "stop"]))
def test_any_text_is_read_or_refused_and_a_stop_always_reads(kind: str, text: str, action: str) -> None:
    default = {"integer": "5", "boolean": "true", "select": "a", "time": "7s", "path": "/p", "program": "p"}.get(
        kind, "d"
    )
    parameter = Parameter("x", kind, default, "", options=("a", "b"), minimum=0, maximum=10)
    operation = Operation("agent", (parameter,), action, {"OCF_RESKEY_x": text}, 20)
    try:
        operation.check_parameters()
        operation.text("x")
    except Failure as failure:
        assert failure.code == CONFIGURED
        assert action == "start"


def test_empty_means_unset_and_a_missing_required_one_is_configured() -> None:
    required = Parameter("ip", "string", None, "")
    optional = Parameter("nic", "string", "eth0", "")
    operation = Operation("vip", (required, optional), "start", {"OCF_RESKEY_ip": "", "OCF_RESKEY_nic": ""}, 20)
    assert operation.text("nic") == "eth0"
    with pytest.raises(Failure, match="parameter ip is missing") as raised:
        operation.check_parameters()
    assert raised.value.code == CONFIGURED
    assert Operation("vip", (required,), "stop", {}, 20).text("ip") == ""


def test_the_environment_is_read_in_milliseconds() -> None:
    environ = {"OCF_RESKEY_CRM_meta_timeout": "15000", "OCF_RESKEY_CRM_meta_interval": "10000", "OCF_CHECK_LEVEL": "10"}
    operation = Operation("vip", (), "monitor", environ, 20)
    assert (operation.deadline.timeout_s, operation.interval_s, operation.level) == (15, 10, 10)
    assert 13 < operation.deadline.left() <= 14, "a second is kept back, to say what was too slow"
    assert operation.deadline.part(0.5, 2).left() <= 2
