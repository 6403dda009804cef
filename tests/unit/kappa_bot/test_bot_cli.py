"""The command line: exit codes, one sentence on stderr, no traceback, no secret."""

import subprocess
import sys
from pathlib import Path

TOKEN = "987654:SecretSecretSecret"


def _bot(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "kappa_bot", *words],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )


def _files(tmp_path: Path) -> Path:
    for name, content in (("token", TOKEN), ("password", "hunter22"), ("key", "k" * 32)):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(content)
    config = tmp_path / "bot.toml"
    config.write_text(
        f'[telegram]\ntoken_file = "{tmp_path}/token"\n[mongodb]\npassword_file = "{tmp_path}/password"\n'
        f'uri = "mongodb://127.0.0.1:1/"\n'
        f'[bot]\nid_key_file = "{tmp_path}/key"\nsocket = "{tmp_path}/bot.sock"\n'
    )
    return config


def test_check_config_says_what_the_bot_would_do_and_no_secret(tmp_path: Path) -> None:
    config = _files(tmp_path)
    ran = _bot("check-config", "--config", str(config))
    assert ran.returncode == 0, ran.stderr
    assert "mongodb://127.0.0.1:1/" in ran.stdout and f"{tmp_path}/bot.sock" in ran.stdout
    assert TOKEN not in ran.stdout and "hunter22" not in ran.stdout


def test_a_wrong_configuration_ends_every_command_with_3_and_one_sentence(tmp_path: Path) -> None:
    config = _files(tmp_path)
    (tmp_path / "token").chmod(0o644)
    for words in (
        ("check-config",),
        ("run",),
        ("prepare-database", "--admin-user", "a", "--admin-password-file", str(tmp_path / "none")),
    ):
        ran = _bot(*words, "--config", str(config))
        assert ran.returncode == 3, ran.stderr
        assert ran.stderr.startswith("kappa-bot: ") and ran.stderr.count("\n") == 1
        assert str(tmp_path) in ran.stderr


def test_a_wrong_command_line_ends_with_2() -> None:
    assert _bot("run", "--stand-by").returncode == 2
    assert _bot("walk").returncode == 2


def test_status_without_a_bot_ends_with_7(tmp_path: Path) -> None:
    ran = _bot("status", "--socket", str(tmp_path / "none.sock"))
    assert ran.returncode == 7
    assert ran.stderr == f"kappa-bot: no bot answers at {tmp_path}/none.sock: [Errno 2] No such file or directory\n"


def test_a_socket_path_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    config = _files(tmp_path)
    (tmp_path / "bot.sock").write_text("precious")
    ran = _bot("run", "--config", str(config))
    assert ran.returncode == 7
    assert ran.stderr.splitlines()[-1].startswith(f"kappa-bot: {tmp_path}/bot.sock is not a socket")
    assert (tmp_path / "bot.sock").read_text() == "precious"


def test_a_status_imports_neither_telegram_nor_pymongo(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom kappa_bot import cli\n"
        f"cli.guarded(lambda: cli.commands(['status', '--socket', '{tmp_path}/none']))\n"
        "heavy = {'telegram', 'pymongo', 'httpx', 'bson'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stderr
