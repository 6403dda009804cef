"""How the stand-in starts and ends as a program: options, keyfile, port, background, log."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from kappa_lab.mongodb import keyfile, options
from kappa_lab.mongodb.keyfile import KeyFileError
from kappa_lab.mongodb.options import OptionError
from tests.mongod import free_port
from tests.unit.mongodb_lab.peers import SET, FakeMember, StandIn, environment, mongos, run_mongos, until

WHERE = ("--configdb", "kappa0/127.0.0.1:27019")


def key(folder: Path, mode: int = 0o600, text: str = "c2VjcmV0c2VjcmV0") -> str:
    file = folder / "keyfile"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


# -- options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no args for --configdb"),
        (("--configdb", "127.0.0.1:27017"), "supports only replica set connection string"),
        (("--configdb", "kappa0/"), "supports only replica set connection string"),
        (("--configdb", "/127.0.0.1:27017"), "supports only replica set connection string"),
        (("--configdb", "kappa0/127.0.0.1:0"), "is not HOST:PORT"),
        (("--configdb", "kappa0/127.0.0.1:x"), "is not HOST:PORT"),
        (("--configdb", "kappa0/a:1,,b:2"), "is not HOST:PORT"),
        (("--configdb", "kappa0/localhost:27017,10.77.0.31:27017"), "cannot mix localhost"),
        ((*WHERE, "--frobnicate"), "unrecognised option '--frobnicate'"),
        ((*WHERE, "--por", "1"), "unrecognised option '--por'"),
        ((*WHERE, "--port"), "argument for option '--port' is missing"),
        ((*WHERE, "--port", "--fork"), "argument for option '--port' is missing"),
        ((*WHERE, "--port", "abc"), 'option "net.port" as int'),
        ((*WHERE, "--port", "65536"), "bad --port number"),
        ((*WHERE, "--port", "0"), "bad --port number"),
        ((*WHERE, "--port=1", "--port=2"), 'Multiple occurrences of option "--port"'),
        ((*WHERE, "extra"), "too many positional options"),
        ((*WHERE, "--fork"), "--fork has to be used with --logpath"),
        ((*WHERE, "--bind_ip", "/tmp/x.sock"), "listens on addresses only"),
        ((*WHERE, "--bind_ip", "10.0.0.1", "--bind_ip_all"), "bind_ip and bind_ip_all"),
        ((*WHERE, "--setParameter", "enableTestCommands=1"), "Illegal --setParameter parameter"),
        ((*WHERE, "--setParameter", "defaultFindReplicaSetHostTimeoutMS=soon"), "is not a number"),
        ((*WHERE, "--clusterAuthMode", "x509"), "keyFile as its only clusterAuthMode"),
        ((*WHERE, "--tlsMode", "requireTLS"), "unrecognised option '--tlsMode'"),
        ((*WHERE, "--config", "/no/such/file"), "Error opening config file '/no/such/file': No such file"),
    ],
)
def test_bad_options_are_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        options.parse(list(arguments))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_options_end_with_mongoss_own_exit_code() -> None:
    ran = run_mongos(*WHERE, "--frobnicate")
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    first, hint = ran.stderr.splitlines()
    assert "unrecognised option '--frobnicate'" in first
    assert "--help" in hint


def test_defaults_are_mongoss() -> None:
    found = options.parse(["--configdb", "kappa0/a,b:27017"])
    assert found.seeds == (("a", 27019), ("b", 27017))
    assert (found.set_name, found.port, found.addresses) == ("kappa0", 27017, ("127.0.0.1",))
    assert found.parameters == {
        "mongosShutdownTimeoutMillisForSignaledShutdown": 15000, "defaultFindReplicaSetHostTimeoutMS": 15000,
    }  # fmt: skip
    assert not found.fork
    assert not found.key_file


def test_both_spellings_and_short_names_mean_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mongos.conf"
    file.write_text("sharding:\n  configDB: kappa0/a:1\n")
    one = options.parse(["--config", str(file), "--port", "5", "--bind_ip", "localhost,::1", "-vv", "--logappend"])
    other = options.parse(["-f", str(file), "--port=5", "--bind_ip=localhost,::1", "--logappend=true"])
    assert one == other
    assert one.addresses == ("127.0.0.1", "::1")


def test_a_file_says_what_the_command_line_can(tmp_path: Path) -> None:
    file = tmp_path / "mongos.conf"
    file.write_text(
        """# the router of a lab node
sharding:
  configDB: kappa0/10.77.0.31:27017,10.77.0.32:27017   # all of them
net:
    port: 27018
    bindIp: "127.0.0.1"
security:
  keyFile: '/etc/kappa/mongodb.key'
processManagement:
  fork: true
  pidFilePath: /run/kappa/mongos.pid
systemLog:
  destination: file
  path: /var/log/mongos.log
  logAppend: true
setParameter:
  mongosShutdownTimeoutMillisForSignaledShutdown: 1000
"""
    )
    found = options.parse(["--config", str(file)])
    assert found.seeds == (("10.77.0.31", 27017), ("10.77.0.32", 27017))
    assert (found.port, found.addresses, found.key_file) == (27018, ("127.0.0.1",), "/etc/kappa/mongodb.key")
    assert (found.fork, found.pidfile) == (True, "/run/kappa/mongos.pid")
    assert (found.logpath, found.logappend) == ("/var/log/mongos.log", True)
    assert found.parameters["mongosShutdownTimeoutMillisForSignaledShutdown"] == 1000
    assert options.parse(["--config", str(file), "--port", "5"]).port == 5, "the command line has the last word"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("net:\n  prt: 1\n", "Unrecognized option: net.prt"),
        ("net:\n  - 1\n", "line 2: `name: value` is expected"),
        ("net: {port: 1}\n", "line 1: only plain and quoted values"),
        ("net:\n\tport: 1\n", "line 2: a tab"),
        ("net:\n  port: 1\n  port: 2\n", "line 3: net.port is given twice"),
        ("net:\n  bindIp: 'x\n", "line 2: a quote that does not end"),
        ("port=27017\n", "line 1: `name: value` is expected"),
        ("net:\n  port: x\n", 'option "net.port" as int'),
        ("processManagement:\n  fork: yes\n", "neither true nor false"),
        ("systemLog:\n  destination: syslog\n", "only log to a file"),
        ("security:\n  clusterAuthMode: x509\n", "clusterAuthMode"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mongos.conf"
    file.write_text(text)
    with pytest.raises(OptionError) as caught:
        options.parse([*WHERE, "--config", str(file)])
    assert said in str(caught.value)


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "mongos.conf"
    file.write_bytes(b"\xff\xfe\x00net")
    with pytest.raises(OptionError, match="Error parsing YAML config file"):
        options.parse(["--config", str(file)])


def test_it_says_that_it_is_a_stand_in() -> None:
    for option in ("--version", "--help"):
        ran = run_mongos(option)
        assert ran.returncode == 0
        assert "stand-in" in ran.stdout.splitlines()[0]
        assert "not MongoDB's mongos" in ran.stdout.splitlines()[0]


# -- keyfile


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_an_open_keyfile_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeyFileError, match="too open"):
        keyfile.read(key(tmp_path, mode))


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_keyfile_of_its_owners_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert keyfile.read(key(tmp_path, mode, "c2Vj cmV0\n c2VjcmV0\n")) == "c2VjcmV0c2VjcmV0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("short", "has 5 characters"),
        ("a" * 1025, "has 1025 characters"),
        ("abc!!defghi", "not base64"),
        ("clé de la ville", "not base64"),
        ("", "0 characters"),
    ],
)
def test_a_key_that_mongod_refuses_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(KeyFileError, match=said) as caught:
        keyfile.read(key(tmp_path, text=text))
    assert not text or text not in str(caught.value), "a key is never shown"


def test_a_keyfile_that_will_not_do_ends_it_before_it_begins(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for path in (key(tmp_path, 0o644), str(tmp_path / "missing"), str(tmp_path)):
        ran = run_mongos(*WHERE, "--port", str(free_port()), "--keyFile", path, "--logpath", str(log), within=5)
        assert ran.returncode == 1
        assert path in ran.stderr
        assert len(ran.stderr.splitlines()) == 1
    assert not log.exists()


# -- listening


def test_a_port_in_use_is_one_sentence_and_48(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = run_mongos(*WHERE, "--port", port)
        assert ran.returncode == 48
        assert ran.stderr == f"mongos stand-in: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        log = tmp_path / "log"
        ran = run_mongos(*WHERE, "--port", port, "--fork", "--logpath", str(log))
        assert ran.returncode == 48, "in the background it says so with the parent's exit code"
        assert "child process failed, exited with 48" in ran.stderr
        assert "Address already in use" in log.read_text()


def test_an_address_that_is_not_this_machines_is_48() -> None:
    ran = run_mongos(*WHERE, "--port", str(free_port()), "--bind_ip", "192.0.2.1")
    assert ran.returncode == 48
    assert "192.0.2.1" in ran.stderr


def test_it_listens_only_once_a_member_of_the_set_answers(tmp_path: Path) -> None:
    """As mongos, which reads its configuration before it listens: whoever started it waits, or gives up."""
    router = StandIn(tmp_path, "kappa0/127.0.0.1:1").spawn()
    try:
        until(lambda: "A member does not answer" in router.said(), "it says whom it waits for")
        assert not router.listens()
        assert not router.ended()
        assert router.terminate() == 0
    finally:
        router.stop()


def test_a_member_of_another_set_is_no_member(tmp_path: Path) -> None:
    with FakeMember(set_name="other") as member:
        router = StandIn(tmp_path, f"{SET}/127.0.0.1:{member.port}").spawn()
        try:
            until(lambda: "not of the set kappa0: other" in router.said(), "it says what it found")
            assert not router.listens()
        finally:
            router.stop()


def test_a_member_that_lets_nobody_read_is_not_enough(tmp_path: Path) -> None:
    refused = {"ok": 0.0, "errmsg": "command find requires authentication", "code": 13, "codeName": "Unauthorized"}
    with FakeMember(replies={"find": refused}) as member:
        router = StandIn(tmp_path, f"{SET}/127.0.0.1:{member.port}").spawn()
        try:
            until(lambda: "requires authentication (Unauthorized)" in router.said(), "it says why it waits")
            assert not router.listens()
        finally:
            router.stop()


def test_a_secondary_is_enough_to_start(tmp_path: Path) -> None:
    with FakeMember(primary=False) as member, StandIn(tmp_path, f"{SET}/127.0.0.1:{member.port}") as router:
        assert router.listens()


# -- in the background


def test_the_parent_ends_well_only_when_the_child_listens(tmp_path: Path) -> None:
    log, pidfile, port = tmp_path / "mongos.log", tmp_path / "mongos.pid", free_port()
    with FakeMember() as member:
        seed = f"{SET}/127.0.0.1:{member.port}"
        member.stop()
        parent = subprocess.Popen(
            mongos(
                *("--configdb", seed, "--port", str(port), "--fork", "--logpath", str(log)),
                *("--pidfilepath", str(pidfile), "--setParameter", "mongosShutdownTimeoutMillisForSignaledShutdown=0"),
            ),
            stdout=subprocess.PIPE,
            env=environment(),
            text=True,
        )
        pid = 0
        try:
            until(lambda: log.exists() and "A member does not answer" in log.read_text(), "the child waits")
            assert parent.poll() is None, "and so does the parent"
            pid = int(pidfile.read_text())
            with FakeMember(port=member.port):
                assert parent.wait(10) == 0
                with socket.create_connection(("127.0.0.1", port), timeout=5):
                    pass
                assert parent.stdout
                assert f"forked process: {pid}" in parent.stdout.read()
                assert Path(f"/proc/{pid}/comm").read_text() == "mongos\n"
                assert os.getsid(pid) == pid
                assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
                os.kill(pid, signal.SIGTERM)
                until(lambda: not _runs(pid), "it ends")
                assert pidfile.read_text() == f"{pid}\n", "as mongos, it leaves its pidfile behind"
        finally:
            if parent.stdout:
                parent.stdout.close()
            parent.kill()
            parent.wait()
            if pid and _runs(pid):
                os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_pidfile_or_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    for option in ("--pidfilepath", "--logpath"):
        ran = run_mongos(*WHERE, "--port", str(free_port()), option, str(tmp_path / "no" / "such"))
        assert ran.returncode == 1
        assert f"cannot write {tmp_path}/no/such: No such file or directory" in ran.stderr
        assert "Traceback" not in ran.stderr


# -- the log


def test_the_log_is_json_lines_for_its_owner_alone(tmp_path: Path) -> None:
    log = tmp_path / "mongos.log"
    with FakeMember() as member, StandIn(tmp_path, f"{SET}/127.0.0.1:{member.port}", "--logpath", str(log)) as router:
        with router.client() as client:
            client.ask({"find": "a-secret-collection"})
        assert router.terminate() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["msg"] for line in lines][-1] == "Now exiting"
    assert all({"t", "s", "c", "msg"} <= set(line) for line in lines)
    assert log.stat().st_mode & 0o777 == 0o600
    assert "a-secret-collection" not in log.read_text()


def test_an_old_log_is_put_aside_unless_it_is_appended_to(tmp_path: Path) -> None:
    log = tmp_path / "mongos.log"
    for option, kept in ((), False), (("--logappend",), True):
        log.write_text("old\n")
        with FakeMember() as member:
            seed = f"{SET}/127.0.0.1:{member.port}"
            with StandIn(tmp_path, seed, "--logpath", str(log), *option):
                assert ("old\n" in log.read_text()) is kept
    assert [file.read_text() for file in tmp_path.glob("mongos.log.*")] == ["old\n"]


def test_the_log_is_rotated_when_asked(tmp_path: Path) -> None:
    log = tmp_path / "mongos.log"
    with FakeMember() as member, StandIn(tmp_path, f"{SET}/127.0.0.1:{member.port}", "--logpath", str(log)) as router:
        assert router.process
        router.process.send_signal(signal.SIGUSR1)
        until(lambda: len(list(tmp_path.glob("mongos.log.*"))) == 1, "the log is put aside")
        assert router.terminate() == 0
        assert "Now exiting" in log.read_text()
