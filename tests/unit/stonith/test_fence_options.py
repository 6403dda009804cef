"""What fence_kappa does before it asks anybody: options, key files, metadata, and how little it loads."""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from stonith.agent import describe
from stonith.agent.options import ACTIONS, OPTIONS, Option, Settings, UsageError, read_argv, read_stdin
from tests.unit.stonith.broker import AGENT, ROOT, Broker, fence

RNG = Path("/usr/share/cluster/relaxng/metadata.rng")
GOOD: dict[str, object] = {
    "plug": "node2",
    "server": "127.0.0.1:1",
    "client": "node1",
    "key_file": "/none",
    "timeout": 1,
}


def test_validate_all_looks_at_options_alone_and_is_silent() -> None:
    for good in (
        GOOD,
        {"server": "10.77.1.1:7710,10.77.2.1:7710"},
        {"server": "10.77.1.1"},
        {"server": "[fd00::1]:7710"},
        {"server": "fd00::1"},
        {**GOOD, "timeout": "20s", "delay": "5"},
        {**GOOD, "verbose": "1", "identity_file": "x", "pcmk_host_map": "a:b"},
        {**GOOD, "login_timeout": "2", "shell_timeout": "3s", "power_timeout": "0", "power_wait": "1", "retry_on": "2"},
        {**GOOD, "host_map": "alpha:node2;beta:node3;", "key_script": "/none"},
    ):
        ran = fence({**good, "action": "validate-all"})
        assert (ran.code, ran.out, ran.err) == (0, "", ""), good


BAD = [
    ({"server": ""}, "server"),
    ({"server": "broker.example:7710"}, "broker.example:7710"),
    ({"server": "10.77.1.1:0"}, "10.77.1.1:0"),
    ({"server": "10.77.1.1:77100"}, "77100"),
    ({"server": "10.77.1.1:"}, "10.77.1.1:"),
    ({"server": "[fd00::1]7710"}, "fd00"),
    ({"server": "10.77.1"}, "10.77.1"),
    ({"plug": "no/de"}, "no/de"),
    ({"plug": "../x"}, "../x"),
    ({"plug": 'a","do":"off'}, "plug"),
    ({"client": "a b"}, "client"),
    ({"timeout": "soon"}, "timeout"),
    ({"timeout": "0"}, "timeout"),
    ({"timeout": "nan"}, "timeout"),
    ({"timeout": "1e9"}, "timeout"),
    ({"delay": "-1"}, "delay"),
    ({"action": "explode"}, "explode"),
    ({"key_file": "relative.key"}, "relative.key"),
    ({"key_script": "relative.sh"}, "relative.sh"),
    ({"login_timeout": "x"}, "login_timeout"),
    ({"shell_timeout": "-1"}, "shell_timeout"),
    ({"power_timeout": "inf"}, "power_timeout"),
    ({"power_wait": "long"}, "power_wait"),
    ({"retry_on": "0"}, "retry_on"),
    ({"retry_on": "many"}, "retry_on"),
    ({"host_map": "node2"}, "host_map"),
    ({"host_map": "a:b:c"}, "host_map"),
    ({"host_map": "a:b;a:c"}, "two plugs"),
    ({"host_map": "a:b;b:a"}, "both the plug"),
    ({"plug": "", "nodename": "no/de"}, "no/de"),
]


@pytest.mark.parametrize(("change", "named"), BAD, ids=[f"{change}" for change, _ in BAD])
def test_what_is_wrong_is_named(change: dict[str, object], named: str) -> None:
    ran = fence({"action": "validate-all", **GOOD, **change})
    assert ran.code == 1
    assert named in ran.one_line()


@pytest.mark.parametrize("action", ["on", "off", "reboot", "status"])
def test_an_action_on_a_machine_needs_to_be_told_which(action: str) -> None:
    ran = fence({**GOOD, "action": action, "plug": "", "nodename": ""})
    assert ran.code == 1
    assert "plug=" in ran.one_line()


@pytest.mark.parametrize("argv", [["-x"], ["--frobnicate=1"], ["off"], ["-o"], ["--plug"], ["-"], ["--"]])
def test_arguments_that_are_none_are_refused(argv: list[str]) -> None:
    ran = fence("", argv)
    assert ran.code == 1
    assert "--help" in ran.one_line()


@pytest.mark.parametrize(
    ("given", "plug"),
    [
        ({"nodename": "node2"}, "node2"),
        ({"nodename": "node2", "plug": "node3"}, "node3"),
        ({"nodename": "node2", "port": "node3"}, "node3"),
        ({"nodename": "alpha", "host_map": "alpha:vm1;beta:vm2"}, "vm1"),
        ({"plug": "beta", "nodename": "alpha", "host_map": "alpha:vm1; beta:vm2"}, "vm2"),
        ({"plug": "vm2", "nodename": "alpha", "host_map": "alpha:vm1;beta:vm2"}, "vm2"),
        ({"plug": "gamma", "host_map": "alpha:vm1"}, "gamma"),
        ({"plug": "alpha", "host_map": "alpha:alpha;beta:vm2"}, "alpha"),
        ({"plug": "node3", "nodename": "not / a name"}, "node3"),
    ],
)
def test_which_machine_is_meant(given: dict[str, str], plug: str) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in {**given, "server": "10.0.0.1"}.items())
    reading, writing = os.pipe()
    os.write(writing, lines.encode())
    os.close(writing)
    try:
        assert Settings(read_stdin(reading)).plug == plug
    finally:
        os.close(reading)


def test_no_option_takes_a_secret() -> None:
    assert not [option.name for option in OPTIONS if "pass" in option.name or option.name in ("key", "secret", "token")]


@pytest.mark.parametrize("text", ["", "\n\n", "\0\xff", "action", "=", "x" * 100000], ids=lambda text: repr(text)[:12])
def test_any_input_ends_in_one_line(text: str) -> None:
    ran = fence(text)
    assert ran.code == 1
    ran.one_line()


def test_closed_standard_input_ends_in_one_line() -> None:
    command = f"{sys.executable} -IS {AGENT} <&-"
    ran = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1


def test_closed_standard_output_is_no_success() -> None:
    ran = subprocess.run(["sh", "-c", f"{sys.executable} -IS {AGENT} -o metadata >&-"], capture_output=True, timeout=30)
    assert ran.returncode == 1


def test_main_exits_and_does_not_return_so_that_no_launcher_can_lose_its_code() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "from stonith.fence_kappa import main\nmain()"],
        input="action=off\n",
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("fence_kappa: server is missing")


# -- key files


def key(path: Path, content: bytes = b"k" * 64, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_file_that_will_not_do_is_named_and_its_content_is_not_shown(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path, why in (
        (tmp_path / "none", "No such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "fifo", "not a regular file"),
        (key(tmp_path / "open", mode=0o640), "mode 640"),
        (key(tmp_path / "short", b"tooshort"), "8 bytes"),
        (key(tmp_path / "long", b"k" * 5000), "to 4096"),
    ):
        ran = fence({**GOOD, "action": "off", "key_file": path})
        assert ran.code == 1
        line = ran.one_line()
        assert why in line
        assert str(path) in line
        assert "tooshort" not in line
        assert "kkkk" not in line


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = key(tmp_path / "fence.key")
    os.chown(path, 12345, 12345)
    ran = fence({**GOOD, "action": "off", "key_file": path})
    assert ran.code == 1
    assert "12345" in ran.one_line()


# -- metadata


def test_metadata_is_the_same_however_it_is_asked_for() -> None:
    asked = [fence("action=metadata\n"), fence("", ["-o", "metadata"]), fence("", ["--action=metadata"])]
    assert {(ran.code, ran.err) for ran in asked} == {(0, "")}
    assert {ran.out for ran in asked} == {describe.metadata()}


def test_metadata_is_as_it_was_agreed_upon() -> None:
    """Clusters are configured by it: a change here is one for their operators. The file is made anew by hand:

    stonith/fence_kappa.py -o metadata > tests/unit/stonith/fence_kappa.xml
    """
    assert describe.metadata() == Path(__file__).with_name("fence_kappa.xml").read_text()


@pytest.mark.skipif(not RNG.exists() or not shutil.which("xmllint"), reason="needs fence-agents' schema and xmllint")
def test_metadata_is_valid_by_the_schema_of_fence_agents() -> None:
    ran = subprocess.run(
        ["xmllint", "--nonet", "--noout", "--relaxng", str(RNG), "-"],
        input=describe.metadata(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_manual_page_names_every_option_and_action() -> None:
    asked = [fence("action=manpage\n"), fence("", ["-o", "manpage"])]
    assert {(ran.code, ran.err) for ran in asked} == {(0, "")}
    page = asked[0].out.replace("\\-", "-")
    assert page == asked[1].out.replace("\\-", "-")
    assert all(f"-{option.short}, --{option.long}" in page for option in OPTIONS)
    assert all(f"\\fB{action}\\fR" in page for action in (*ACTIONS, "explain"))
    # what roff would take for a request and not print
    assert all(re.match(r"\.(TH|SH|TP|br)( |$)", line) for line in page.splitlines() if line[:1] in ".'")


def test_metadata_has_the_form_that_pacemaker_and_pcs_read() -> None:
    root = ET.fromstring(describe.metadata())
    assert (root.tag, root.get("name")) == ("resource-agent", "fence_kappa")
    assert root.get("shortdesc")
    assert [child.tag for child in root] == ["longdesc", "vendor-url", "parameters", "actions"]
    parameters = root.findall("parameters/parameter")
    for parameter in parameters:
        name, content = parameter.get("name"), parameter.find("content")
        assert parameter.get("required") in ("0", "1")
        assert parameter.get("unique") in ("0", "1")
        assert [child.tag for child in parameter] == ["getopt", "content", "shortdesc"]
        assert content is not None
        assert content.get("type") in ("string", "boolean", "second", "integer")
        getopt = parameter.find("getopt")
        assert getopt is not None
        assert re.fullmatch(r"-\w, --[a-z-]+(=\[\w+\])?", getopt.get("mixed") or ""), name
        shortdesc = parameter.find("shortdesc")
        assert shortdesc is not None
        assert shortdesc.text
    names = [parameter.get("name") for parameter in parameters]
    assert len(set(names)) == len(names)
    assert {"action", "plug", "server", "client", "key_file", "timeout"} <= set(names)
    assert "port" not in names  # Pacemaker fills in one of plug and port; with one name there is one value
    actions = {action.get("name"): action for action in root.findall("actions/action")}
    assert set(actions) == set(ACTIONS)
    assert actions["on"].get("automatic") == "0"
    assert all(set(action.keys()) <= {"name", "automatic", "on_target"} for action in actions.values())


def test_every_option_has_its_own_short_and_long_form() -> None:
    assert len({option.short for option in OPTIONS}) == len({option.long for option in OPTIONS}) == len(OPTIONS)


@pytest.mark.parametrize("option", [one for one in OPTIONS if one.type != "boolean"], ids=lambda one: one.name)
def test_an_option_means_the_same_in_every_form_and_its_last_value_wins(option: Option) -> None:
    name, short, long = option.name, option.short, option.long
    reading, writing = os.pipe()
    os.write(writing, f"{name}=first\nunknown_{name}=x\n# {name}=y\n  {name}=a=b c\n".encode())
    os.close(writing)
    try:
        wanted = read_stdin(reading)
    finally:
        os.close(reading)
    assert wanted == {name: "a=b c"}
    for argv in (
        [f"-{short}", "a=b c"],
        [f"-{short}a=b c"],
        [f"--{long}", "a=b c"],
        [f"--{long}=a=b c"],
        [f"--{name}=a=b c"],
        [f"-{short}", "first", f"--{long}=second", f"-{short}", "a=b c"],
    ):
        assert read_argv(argv) == wanted, argv


def test_explain_may_stand_as_a_word() -> None:
    assert read_argv(["explain", "--plug", "node1"]) == read_argv(["--action=explain", "-n", "node1"])


def test_defaults_of_the_metadata_are_those_of_the_agent() -> None:
    bare = Settings({"server": "10.0.0.1", "plug": "node2"})
    assert bare.action == "reboot"
    assert bare.client == os.uname().nodename.partition(".")[0]
    told = {option.name: option.default for option in OPTIONS}
    assert (bare.key_file, f"{bare.timeout_s:g}", f"{bare.delay_s:g}") == (
        told["key_file"],
        told["timeout"],
        told["delay"],
    )


def test_help_and_version_go_to_standard_output() -> None:
    for argv in (["-h"], ["--help"], ["-V"], ["--version"]):
        ran = fence("", argv)
        assert (ran.code, ran.err) == (0, "")
        assert "fence_kappa" in ran.out


def test_settings_refuse_what_is_missing() -> None:
    with pytest.raises(UsageError, match="server"):
        Settings({"plug": "node2"})


# -- what a run costs

HEAVY = {
    "argparse", "asyncio", "contextlib", "dataclasses", "http", "inspect", "logging", "pathlib", "selectors", "signal",
    "socket", "ssl", "subprocess", "threading", "typing", "xml",
}  # fmt: skip
BROUGHT_BY_JSON = {"collections", "enum", "functools", "re"}


def loaded(argv: list[str]) -> list[str]:
    """The modules that a run loads beyond those of a bare interpreter, in the order in which they were complete."""

    def modules(arguments: list[str]) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-IS", "-X", "importtime", *arguments], capture_output=True, text=True, timeout=30
        )
        assert ran.returncode == 0, ran.stderr
        return re.findall(r"^import time:.*\| +([\w.]+)$", ran.stderr, re.M)

    bare = set(modules(["-c", "pass"]))
    return [name for name in modules([str(AGENT), *argv]) if name not in bare]


def test_a_status_loads_nothing_that_it_does_not_need(power: Broker) -> None:
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in power.options("status", "node2").items()]
    modules = loaded(argv)
    assert not set(modules) & HEAVY
    # a JSON reader is loaded while the broker is at work; the MAC of the request, which is sent before, needs hmac
    before = modules[: modules.index("hmac") + 1]
    assert not set(before) & BROUGHT_BY_JSON
    assert "json" in modules[len(before) :]


def test_what_is_told_without_asking_loads_no_network() -> None:
    for argv in (["-o", "metadata"], ["-h"], ["-o", "validate-all", "-a", "10.0.0.1"]):
        assert not set(loaded(argv)) & (HEAVY | BROUGHT_BY_JSON | {"stonith.agent.ask", "json", "hmac"})
