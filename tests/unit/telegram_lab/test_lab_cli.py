"""The server as a process: its two ports, its end, and what it says when it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kappa_lab.telegram.cli import main

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "4242:TEST-token_of_the_lab"


def command(directory: Path, *more: str, bind: str = "127.0.0.1:0") -> list[str]:
    token = directory / "token"
    token.write_text(f"{TOKEN}\n")
    return [
        sys.executable, "-m", "kappa_lab.telegram", "--bind", bind, "--control", "127.0.0.1:0",
        "--token-file", str(token), "--journal", str(directory / "journal.jsonl"), *more,
    ]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'vagrant'}"}


@pytest.fixture
def process(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command(tmp_path, "--name", "127.0.0.1=node3"), env=environment(), stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.kill()


def get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)
        assert isinstance(found, dict)
        return found


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_cleanly_even_while_a_poll_waits(
    process: "subprocess.Popen[str]", tmp_path: Path, signum: signal.Signals
) -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    bind, control = (part.split()[-1] for part in line.strip().split(","))
    assert get(f"http://{control}/health") == {"ok": True}
    assert get(f"http://{bind}/bot{TOKEN}/getMe")["ok"] is True
    host, _, port = bind.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as waiting:
        waiting.sendall(f"GET /bot{TOKEN}/getUpdates?timeout=30 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        journal = tmp_path / "journal.jsonl"
        while '"getUpdates"' not in journal.read_text():
            pass
        process.send_signal(signum)
        assert process.wait(10) == 0
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert (events[0]["e"], events[-1]["e"]) == ("start", "finish")
    assert {event["node"] for event in events if event["e"] == "begin"} == {"node3"}
    begun = {event["id"] for event in events if event["e"] == "begin"}
    assert begun == {event["id"] for event in events if event["e"] == "end"}
    assert TOKEN.partition(":")[2] not in journal.read_text()


def run(arguments: list[str]) -> Result:
    """The command in this process: quicker, and all that matters is what it says."""
    return CliRunner().invoke(main, arguments[3:])


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = run(command(tmp_path, bind=bind))
    assert ran.exit_code == 1
    assert ran.stderr == f"Error: cannot listen on {bind}: Address already in use\n"


def test_a_journal_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    ran = run([*command(tmp_path), "--journal", str(tmp_path / "missing" / "journal.jsonl")])
    assert ran.exit_code == 1 and ran.stderr.count("\n") == 1
    assert "cannot write the journal" in ran.stderr and "No such file or directory" in ran.stderr


@pytest.mark.parametrize("content", [None, b"no token", b"\xff\xfe"])
def test_a_token_file_that_holds_none_is_one_sentence_without_its_content(
    tmp_path: Path, content: bytes | None
) -> None:
    arguments = command(tmp_path)
    if content is None:
        (tmp_path / "token").unlink()
    else:
        (tmp_path / "token").write_bytes(content)
    ran = run(arguments)
    assert ran.exit_code == 1 and ran.stderr.count("\n") == 1 and str(tmp_path / "token") in ran.stderr
    assert "no token" not in ran.stderr.replace("no bot token", "")


@pytest.mark.parametrize("arguments", [["--bind", "nowhere"], ["--bind", "127.0.0.1:99999"], ["--name", "node1"]])
def test_wrong_arguments_are_a_usage_error(tmp_path: Path, arguments: list[str]) -> None:
    ran = run(command(tmp_path, *arguments))
    assert ran.exit_code == 2 and arguments[0] in ran.stderr and "Traceback" not in ran.stderr
