"""The nginx agent with a real Nginx (`apt-get install nginx-light`)."""

import http.server
import os
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.resource_agents.running import Agents, Ended, alive, kill, recorded_pid, until

pytestmark = pytest.mark.root

CONFIG = """
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes 2;
events {{ worker_connections 64; }}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location = /status {{ return 200 "ok"; }}
        location = /through {{ proxy_pass http://127.0.0.1:{upstream}; proxy_read_timeout 1s; }}
        location = /slow {{ limit_rate 1k; root {directory}; }}
        location / {{ return 404; }}
    }}
}}
"""


class Nginx:
    def __init__(self, agents: Agents, directory: Path) -> None:
        self.agents = agents
        self.directory = directory
        self.config = directory / "nginx.conf"
        self.log = directory / "start.log"
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = int(server.getsockname()[1])
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.upstream = int(server.getsockname()[1])
        self.configure()
        directory.chmod(0o755)

    def configure(self, before: str = "") -> None:
        self.config.write_text(before + CONFIG.format(directory=self.directory, port=self.port, upstream=self.upstream))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def run(self, action: str, level: int = 0, timeout_s: float = 20, **more: object) -> Ended:
        parameters = {"config": self.config, "log": self.log, "status_url": self.url("status"), **more}
        return self.agents.run("nginx", action, parameters, level=level, timeout_s=timeout_s)

    @property
    def master(self) -> int:
        return recorded_pid(self.agents, "nginx")

    def workers(self) -> list[int]:
        """Processes of its session, the master excepted."""
        found = []
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and alive(int(path.name)):
                try:
                    if os.getsid(int(path.name)) == self.master != int(path.name):
                        found.append(int(path.name))
                except ProcessLookupError:
                    continue
        return found


@pytest.fixture
def nginx(agents: Agents, tmp_path: Path) -> Iterator[Nginx]:
    # Nginx's workers run as another user and must be able to pass through.
    for directory in (tmp_path, *tmp_path.parents):
        if directory.owner() == tmp_path.owner() and str(directory).startswith("/tmp/"):
            directory.chmod(0o755)
    nginx = Nginx(agents, tmp_path)
    yield nginx
    assert nginx.run("stop").code == 0


def test_start_serves_and_everything_is_idempotent(nginx: Nginx) -> None:
    assert nginx.run("monitor").code == 7
    assert nginx.run("validate-all", level=10).code == 0
    assert nginx.run("start").code == 0
    assert urllib.request.urlopen(nginx.url("status"), timeout=5).read() == b"ok"
    master = nginx.master
    assert len(nginx.workers()) == 2
    assert nginx.run("start").code == 0
    assert nginx.master == master
    assert nginx.run("monitor").code == 0
    assert nginx.run("monitor", level=10).code == 0
    assert nginx.run("monitor", level=10, status_url="").code == 0, "without a URL it looks at the workers"
    ended = nginx.run("monitor", level=10, status_url=nginx.url("nothing"))
    assert ended.code == 1
    assert "answers 404, not 200" in ended.reason
    assert nginx.run("stop").code == 0
    assert not alive(master)
    assert nginx.run("monitor").code == 7
    assert nginx.run("stop").code == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(nginx.url("status"), timeout=5)


def test_orphans_of_a_killed_master_are_ended_and_the_port_comes_back(nginx: Nginx) -> None:
    assert nginx.run("start").code == 0
    master, workers = nginx.master, nginx.workers()
    kill(master)
    until(lambda: not alive(master))
    assert all(alive(worker) for worker in workers), "they keep the port: this is what makes it hard"
    ended = nginx.run("monitor")
    assert ended.code == 1
    assert all(str(worker) in ended.reason for worker in workers)
    assert nginx.run("stop").code == 0
    assert not any(alive(worker) for worker in workers)
    assert nginx.run("start").code == 0
    assert nginx.run("monitor", level=10).code == 0
    # And without a stop between.
    kill(nginx.master)
    until(lambda: not alive(nginx.master))
    assert nginx.run("start").code == 0
    assert nginx.run("monitor", level=10).code == 0


def test_a_lost_record_is_found_by_its_configuration(nginx: Nginx) -> None:
    assert nginx.run("start").code == 0
    master, workers = nginx.master, nginx.workers()
    (nginx.agents.state / f"kappa-nginx-{nginx.agents.instance}.pid").unlink()
    assert nginx.run("monitor", config=nginx.directory / "other.conf").code == 7
    ended = nginx.run("monitor")
    assert ended.code == 1
    assert str(master) in ended.reason
    assert nginx.run("stop").code == 0
    assert not any(alive(pid) for pid in (master, *workers))


def test_a_broken_configuration_is_refused_before_start_in_its_own_words(nginx: Nginx) -> None:
    nginx.configure("nonsense here;\n")
    ended = nginx.run("start")
    assert ended.code == 2, "hard for this node; another node's file may be right"
    assert 'unknown directive "nonsense"' in ended.reason
    assert nginx.run("validate-all").code == 0
    assert nginx.run("validate-all", level=10).code == 2
    assert nginx.run("monitor").code == 7
    assert nginx.run("stop").code == 0


def test_a_configuration_that_stays_in_the_foreground_itself(nginx: Nginx) -> None:
    nginx.configure("daemon off;\n")
    ended = nginx.run("start")
    assert ended.code == 2
    assert "set globals to a space" in ended.reason
    assert nginx.run("start", globals=" ").code == 0
    assert nginx.run("monitor", level=10).code == 0


def test_a_port_in_use_is_said_in_its_own_words(nginx: Nginx) -> None:
    with socket.create_server(("127.0.0.1", nginx.port)):
        ended = nginx.run("start", timeout_s=20)
    assert ended.code == 1
    assert "in use" in ended.reason or "still could not bind" in ended.reason


def test_stop_lets_open_requests_finish_but_not_for_ever(nginx: Nginx) -> None:
    (nginx.directory / "slow").write_bytes(b"x" * 100_000)
    assert nginx.run("start").code == 0
    workers = nginx.workers()
    with socket.create_connection(("127.0.0.1", nginx.port)) as client:
        client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
        assert client.recv(10)
        began = time.monotonic()
        assert nginx.run("stop", drain="1s").code == 0
        assert 1 <= time.monotonic() - began < 10
    assert not any(alive(worker) for worker in workers)


def test_a_frozen_master_is_stopped_with_its_workers(nginx: Nginx) -> None:
    assert nginx.run("start").code == 0
    master, workers = nginx.master, nginx.workers()
    os.kill(master, signal.SIGSTOP)
    assert nginx.run("monitor").code == 1
    assert nginx.run("stop").code == 0
    assert not any(alive(pid) for pid in (master, *workers))


def test_dead_workers_are_seen_at_level_10(nginx: Nginx) -> None:
    assert nginx.run("start").code == 0
    os.kill(nginx.master, signal.SIGSTOP)
    for worker in nginx.workers():
        kill(worker)
    until(lambda: not nginx.workers())
    ended = nginx.run("monitor", level=10)
    assert ended.code == 1


class Upstream(http.server.BaseHTTPRequestHandler):
    status = 200
    body = b'{"ok": true}'

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *words: object) -> None:  # noqa: A002
        return


@pytest.fixture
def upstream(nginx: Nginx) -> Iterator[type[Upstream]]:
    """What is behind Nginx; its answer is changed by setting the class's attributes."""
    answer = type("Answer", (Upstream,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", nginx.upstream), answer)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    serving.start()
    yield answer
    server.shutdown()
    server.server_close()


def test_level_20_goes_through_to_the_upstream(nginx: Nginx, upstream: type[Upstream]) -> None:
    through: dict[str, Any] = {"upstream_url": nginx.url("through"), "upstream_pattern": '"ok": *true'}
    assert nginx.run("start", **through).code == 0
    assert nginx.run("monitor", 20, **through).code == 0
    upstream.body = b'{"ok": false}'
    ended = nginx.run("monitor", 20, **through)
    assert ended.code == 190, "shown, and not recovered: a restart of Nginx mends no upstream"
    assert '"ok": *true' in ended.reason
    assert '{"ok": false}' in ended.reason
    assert nginx.run("monitor", 20, **{**through, "upstream_failure": "failed"}).code == 1
    assert nginx.run("monitor", 10, **through).code == 0
    upstream.status = 404
    assert "answers 404, not 200" in nginx.run("monitor", 20, **through).reason
    assert nginx.run("monitor", 20, upstream_url=nginx.url("through"), upstream_status=404).code == 0


def test_an_upstream_that_is_gone_is_seen_at_level_20_and_does_not_stop_a_start(nginx: Nginx) -> None:
    # In a group the upstream is often started after Nginx.
    through = nginx.url("through")
    assert nginx.run("start", upstream_url=through).code == 0
    assert nginx.run("monitor", 10, upstream_url=through).code == 0
    ended = nginx.run("monitor", 20, upstream_url=through)
    assert ended.code == 190
    assert "answers 502, not 200" in ended.reason
    assert nginx.run("monitor", 20).code == 0, "without a URL it is as level 10"
    with socket.create_server(("127.0.0.1", nginx.upstream)):
        ended = nginx.run("monitor", 20, upstream_url=through)
    assert ended.code == 190
    assert "answers 504, not 200" in ended.reason, "it takes connections and never answers"


def test_the_status_page_must_say_what_is_expected(nginx: Nginx) -> None:
    assert nginx.run("start", status_pattern="^ok$").code == 0
    assert nginx.run("monitor", 10, status_pattern="^ok$").code == 0
    ended = nginx.run("monitor", 10, status_pattern="^not ok$")
    assert ended.code == 1
    assert "'ok', in which nothing matches ^not ok$" in ended.reason
    assert nginx.run("monitor", 0, status_pattern="^not ok$").code == 0
    assert nginx.run("stop").code == 0
    began = time.monotonic()
    ended = nginx.run("start", status_pattern="^not ok$", timeout_s=3)
    assert ended.code == 1, "never usable"
    assert "nothing matches" in ended.reason
    assert time.monotonic() - began >= 2


def test_changed_reloadable_parameters_are_taken_over_without_a_restart(nginx: Nginx) -> None:
    assert nginx.run("reload-agent").code == 7
    assert nginx.run("start").code == 0
    master = nginx.master
    assert nginx.run("reload-agent", status_pattern="^not ok$", drain="1s").code == 0
    assert nginx.master == master
    assert nginx.run("monitor", 10, status_pattern="^not ok$").code == 1, "the next monitor goes by them"
    assert nginx.run("reload-agent", status_pattern="(").code == 6
