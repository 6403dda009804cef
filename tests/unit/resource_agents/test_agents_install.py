"""`kappa-agents install` and `uninstall`."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from resource_agents import cli
from resource_agents.commands.exchange import exchange
from tests.unit.resource_agents.conftest import PYTHON


def kappa_agents(*words: object) -> Result:
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def install(root: Path, *more: object) -> Result:
    return kappa_agents("install", "--root", root, "--python", PYTHON, *more)


def tree(root: Path) -> dict[str, tuple[int, int, int]]:
    """path → mode, modification time, inode of everything below."""
    found = {}
    for path in root.rglob("*"):
        seen = path.lstat()
        found[str(path.relative_to(root))] = (
            seen.st_mode & 0o7777,
            seen.st_mtime_ns if path.is_file() else 0,
            seen.st_ino,
        )
    return found


def test_everything_is_where_pacemaker_looks(tmp_path: Path) -> None:
    result = install(tmp_path)
    assert result.exit_code == 0, result.output
    agents = tmp_path / "usr/lib/ocf/resource.d/kappa"
    assert sorted(path.name for path in agents.iterdir()) == ["mongos", "nginx", "telegram-bot", "uplink", "vip"]
    for path in (*agents.iterdir(), tmp_path / "usr/sbin/fence_kappa"):
        assert path.stat().st_mode & 0o777 == 0o755
        assert path.read_text().splitlines()[0] == f"#!{PYTHON} -IS"
        assert str(path) in result.output
        assert len(path.read_text().splitlines()) <= 7, "compiled at every start, so it is kept tiny"
    library = tmp_path / "usr/lib/kappa-ha"
    assert not (library / "resource_agents/cli.py").exists(), "nothing on an agent's path needs more than the library"
    assert not (library / "resource_agents/commands").exists(), "what is for people needs click and psutil"
    assert not (library / "stonith/power").exists()
    sources = set(library.rglob("*.py"))
    compiled = set(library.rglob("*.pyc"))
    assert {path.parent.parent / f"{path.name.split('.')[0]}.py" for path in compiled} == sources, "all precompiled"
    ran = subprocess.run([str(agents / "vip"), "meta-data"], capture_output=True, text=True, env={}, cwd="/")
    assert ran.returncode == 0
    ran = subprocess.run(
        [str(tmp_path / "usr/sbin/fence_kappa"), "-o", "metadata"], capture_output=True, text=True, env={}
    )
    assert ran.returncode == 0, ran.stderr
    assert "<resource-agent" in ran.stdout


def test_compiled_files_name_where_they_will_be(tmp_path: Path) -> None:
    install(tmp_path)
    compiled = next((tmp_path / "usr/lib/kappa-ha/resource_agents/__pycache__").glob("vip.*.pyc")).read_bytes()
    assert b"/usr/lib/kappa-ha/resource_agents/vip.py" in compiled
    assert os.fsencode(tmp_path) not in compiled


def imported_from(root: Path, module: str) -> str:
    """The loader's name, in the agent's own interpreter and as its launcher would import it; and that it works."""
    agent = root / "usr/lib/ocf/resource.d/kappa/nginx"
    lines = agent.read_text().splitlines()[1:-1]
    program = "\n".join([f"__file__ = {str(agent)!r}", *lines, f"print(sys.modules[{module!r}].__spec__.loader)"])
    ran = subprocess.run([PYTHON, "-IS", "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert subprocess.run([agent, "meta-data"], capture_output=True).returncode == 0
    return ran.stdout


def test_what_a_monitor_needs_comes_from_one_file(tmp_path: Path) -> None:
    install(tmp_path)
    for module in ("resource_agents", "resource_agents.nginx", "resource_agents.host.daemon"):
        assert "kappa_level0" in imported_from(tmp_path, module)
    [bundle] = (tmp_path / "usr/lib/kappa-ha/__pycache__").glob("resource_agents.nginx.level0.*")
    whole = bundle.read_bytes()
    assert b"/usr/lib/kappa-ha/resource_agents/nginx.py" in whole
    assert os.fsencode(tmp_path) not in whole


def test_that_file_is_passed_over_where_it_does_not_hold(tmp_path: Path) -> None:
    install(tmp_path)
    daemon = tmp_path / "usr/lib/kappa-ha/resource_agents/host/daemon.py"
    daemon.write_text(daemon.read_text() + "\n# changed by hand\n")
    assert "kappa_level0" not in imported_from(tmp_path, "resource_agents.host.daemon"), "its source is another by now"
    assert "kappa_level0" in imported_from(tmp_path, "resource_agents.nginx")
    [bundle] = (tmp_path / "usr/lib/kappa-ha/__pycache__").glob("resource_agents.nginx.level0.*")
    whole = bundle.read_bytes()
    for damaged in (b"", b"garbage", whole[:1000], whole[:-1], whole.replace(whole[5:12], b"another"[:7], 1)):
        bundle.write_bytes(damaged)
        assert "kappa_level0" not in imported_from(tmp_path, "resource_agents.nginx")
    bundle.unlink()
    assert "kappa_level0" not in imported_from(tmp_path, "resource_agents.nginx")
    install(tmp_path)
    assert "kappa_level0" in imported_from(tmp_path, "resource_agents.host.daemon"), "install makes it good"


def test_a_second_install_changes_nothing(tmp_path: Path) -> None:
    install(tmp_path)
    before = tree(tmp_path)
    assert install(tmp_path).exit_code == 0
    assert tree(tmp_path) == before


def test_install_repairs_and_upgrades(tmp_path: Path) -> None:
    install(tmp_path)
    before = set(tree(tmp_path))
    library = tmp_path / "usr/lib/kappa-ha"
    (library / "resource_agents/vip.py").write_text("broken")
    (tmp_path / "usr/lib/ocf/resource.d/kappa/vip").unlink()
    (tmp_path / "usr/sbin/fence_kappa").chmod(0o600)
    # An earlier version had a file that this one has not.
    (library / "resource_agents/old.py").touch()
    manifest = library / "MANIFEST"
    manifest.write_text(manifest.read_text() + "usr/lib/kappa-ha/resource_agents/old.py\n")
    assert install(tmp_path).exit_code == 0
    assert set(tree(tmp_path)) == before
    assert (
        subprocess.run(
            [str(tmp_path / "usr/lib/ocf/resource.d/kappa/vip"), "meta-data"], capture_output=True
        ).returncode
        == 0
    )
    assert (tmp_path / "usr/sbin/fence_kappa").stat().st_mode & 0o777 == 0o755


def test_uninstall_removes_exactly_what_install_put(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/ocf/resource.d/heartbeat").mkdir(parents=True)
    (tmp_path / "usr/lib/ocf/resource.d/heartbeat/Dummy").touch()
    (tmp_path / "usr/lib/python").mkdir()
    before = tree(tmp_path)
    install(tmp_path)
    assert kappa_agents("uninstall", "--root", tmp_path).exit_code == 0
    assert tree(tmp_path) == before
    result = kappa_agents("uninstall", "--root", tmp_path)
    assert result.exit_code == 0
    assert "nothing" in result.output
    install(tmp_path)
    theirs = tmp_path / "usr/lib/ocf/resource.d/kappa/somebody-elses"
    theirs.touch()
    assert kappa_agents("uninstall", "--root", tmp_path).exit_code == 0
    assert set(tree(tmp_path)) - set(before) == {str(p.relative_to(tmp_path)) for p in (theirs, theirs.parent)}


def test_an_interrupted_install_is_finished_or_removed_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(tmp_path)
    put, left = cli.put, 10

    def dying(target: Path, content: bytes, mode: int) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(28, "No space left on device", str(target))
        put(target, content, mode)

    monkeypatch.setattr(cli, "put", dying)
    result = install(tmp_path)
    assert result.exit_code == 1
    assert "No space left on device" in result.output
    monkeypatch.undo()
    assert kappa_agents("uninstall", "--root", tmp_path).exit_code == 0
    assert tree(tmp_path) == before


def test_somebody_elses_file_is_not_overwritten(tmp_path: Path) -> None:
    theirs = tmp_path / "usr/sbin/fence_kappa"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    before = tree(tmp_path)
    result = install(tmp_path)
    assert result.exit_code == 1
    assert f"{theirs} exists" in result.output
    assert tree(tmp_path) == before


@pytest.mark.parametrize("line", ["etc/passwd", "/etc/passwd", "usr/lib/kappa-ha/../../../etc/passwd", "etc/", "../x/"])
def test_a_manifest_that_names_others_files_is_not_believed(tmp_path: Path, line: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").touch()
    install(tmp_path)
    manifest = tmp_path / "usr/lib/kappa-ha/MANIFEST"
    manifest.write_text(manifest.read_text() + line + "\n")
    result = kappa_agents("uninstall", "--root", tmp_path)
    assert result.exit_code == 1
    assert "not kappa-ha's" in result.output
    assert (tmp_path / "etc/passwd").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("#!/bin/sh\necho 3 8\n", "is python 3.8; the agents need 3.9"),
        ("#!/bin/sh\nexit 1\n", "is not a working python"),
        ("#!/bin/sh\necho hello\n", "is not a working python"),
        ("", "is not a working python"),
    ],
)
def test_an_unfit_interpreter_is_refused(tmp_path: Path, content: str, says: str) -> None:
    python = tmp_path / "python"
    python.write_text(content)
    python.chmod(0o755)
    result = kappa_agents("install", "--root", tmp_path / "root", "--python", python)
    assert result.exit_code == 1
    assert says in result.output
    assert not (tmp_path / "root").exists()
    for wrong in ("python3", "/usr/bin/env python3", "/nonexistent"):
        assert kappa_agents("install", "--root", tmp_path / "root", "--python", wrong).exit_code == 1


def test_errors_are_one_sentence_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "usr").touch()
    ran = subprocess.run(
        [sys.executable, "-m", "resource_agents.cli", "install", "--root", str(tmp_path), "--python", PYTHON],
        capture_output=True,
        text=True,
        cwd=Path(cli.__file__).parent.parent,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: ")
    assert ran.stderr.count("\n") == 1


def test_what_is_installed_is_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        install(tmp_path)
    finally:
        os.umask(before)
    for path in (tmp_path / "usr").rglob("*"):
        assert path.stat().st_mode & 0o044 == 0o044, path


def outdate(root: Path) -> dict[str, str]:
    """Make what is installed an older version, of which no file goes with a newer one; what its files hold."""
    for path in (root / "usr/lib/kappa-ha").rglob("*.py"):
        path.write_text(path.read_text().replace("Failure", "Failing"))
    return sources(root)


def test_what_was_compiled_of_the_old_version_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its sources have the size and the time of the new one's."""

    def put(target: Path, content: bytes, mode: int) -> None:
        original(target, content, mode)
        os.utime(target, (second, second))

    original, second = cli.put, 1_000_000_000
    install(tmp_path)
    library = tmp_path / "usr/lib/kappa-ha"
    outdate(tmp_path)
    for path in library.rglob("*.py"):
        os.utime(path, (second, second))
    for compiled in library.rglob("*.pyc"):
        compiled.unlink()
    cli.compile_library(library, PYTHON)
    assert [one for one in library.rglob("*.pyc") if b"Failing" in one.read_bytes()]
    monkeypatch.setattr(cli, "put", put)
    assert install(tmp_path).exit_code == 0
    assert not [one for one in library.rglob("*.pyc") if b"Failing" in one.read_bytes()]


def sources(root: Path) -> dict[str, str]:
    library = root / "usr/lib/kappa-ha"
    return {str(path.relative_to(library)): path.read_text() for path in sorted(library.rglob("*.py"))}


def test_an_upgrade_is_there_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A monitor that comes at any moment of it finds one version, whole and compiled."""
    install(tmp_path)
    new, older = sources(tmp_path), outdate(tmp_path)
    seen: list[dict[str, str]] = []
    put, compile_library = cli.put, cli.compile_library

    def watched_put(target: Path, content: bytes, mode: int) -> None:
        put(target, content, mode)
        seen.append(sources(tmp_path))

    def watched_compile(library: Path, interpreter: str) -> None:
        compile_library(library, interpreter)
        seen.append(sources(tmp_path))

    monkeypatch.setattr(cli, "put", watched_put)
    monkeypatch.setattr(cli, "compile_library", watched_compile)
    assert install(tmp_path).exit_code == 0
    assert older in seen and seen[-1] == new
    assert [one for one in seen if one not in (older, new)] == []
    assert "kappa_level0" in imported_from(tmp_path, "resource_agents.host.daemon")


def test_an_interrupted_upgrade_leaves_the_old_version_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path)
    before, older = set(tree(tmp_path)), outdate(tmp_path)
    (tmp_path / "usr/lib/.kappa-ha.1").mkdir()  # of one that was killed

    def killed(_library: Path, _interpreter: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(cli, "compile_library", killed)
        assert install(tmp_path).exit_code != 0
    assert sources(tmp_path) == older
    assert install(tmp_path).exit_code == 0
    assert set(tree(tmp_path)) == before


@pytest.mark.parametrize("able", [True, False])
def test_directories_change_places(able: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not able:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    exchange(tmp_path / "one", tmp_path / "other")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")) == ["one/other", "other/one"]
    assert len(list(tmp_path.iterdir())) == 2


UPDATED_IN_AN_IMAGE = """
cd "$1" && mkdir disk && mount -t tmpfs tmpfs disk && cp -a lower disk/lower && mkdir disk/upper disk/work merged
mount -t overlay overlay -o lowerdir=disk/lower,upperdir=disk/upper,workdir=disk/work merged
"$3" -m resource_agents.cli install --root "$1/merged" --python "$2"
"""


@pytest.mark.root
def test_what_an_image_brought_is_updated_in_a_container(tmp_path: Path) -> None:
    # an overlay renames no directory of its lower layers, neither aside nor in exchange
    (tmp_path / "lower").mkdir()
    install(tmp_path / "lower")
    new, older = sources(tmp_path / "lower"), outdate(tmp_path / "lower")
    assert older != new
    script = f"{UPDATED_IN_AN_IMAGE}\ncp -r merged updated"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", tmp_path, PYTHON, sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sources(tmp_path / "updated") == new
