"""`kappa-agents`: puts the agents and the fence agent where Pacemaker looks for them, and takes them away again.

What else it can do is in `commands`, imported when it is asked for.
"""

import importlib
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

AGENTS = {"telegram-bot": "telegram_bot", "mongos": "mongos", "nginx": "nginx", "vip": "vip", "uplink": "uplink"}
LIBRARY = Path("usr/lib/kappa-ha")
AGENT_DIRECTORY = Path("usr/lib/ocf/resource.d/kappa")
FENCE_AGENT = Path("usr/sbin/fence_kappa")
MANIFEST = LIBRARY / "MANIFEST"
OLDEST = (3, 9)

# The library is found from the launcher's own path, so that a tree under --root works where it stands. -I keeps the
# caller's environment and directory out; -S spares the search for site packages.
LAUNCHER = """#!{interpreter} -IS
import sys
sys.path.insert(0, __file__.rsplit({parent!r}, 1)[0] + {library!r})
from {module} import {name}
{name}{call}()
"""
# What a monitor imports comes from one file (resource_agents/level0.py).
AGENT_LAUNCHER = LAUNCHER.replace(
    "from {module}", "from kappa_level0 import use\nuse(sys.path[0], {module!r})\nfrom {module}"
)
LEVEL0 = LIBRARY / "kappa_level0.py"
# Not imported by the agent itself, but on its monitor's way all the same.
ALSO_NEEDED = {"telegram_bot": ("host.notes",), "nginx": ("host.url",)}


def agent_launcher(interpreter: str, module: str) -> str:
    return AGENT_LAUNCHER.format(
        interpreter=interpreter,
        parent="/ocf/resource.d/",
        library="/kappa-ha",
        module=f"resource_agents.{module}",
        name="AGENT",
        call=".main",
    )


def fence_launcher(interpreter: str) -> str:
    return LAUNCHER.format(
        interpreter=interpreter,
        parent="/sbin/",
        library="/lib/kappa-ha",
        module="stonith.fence_kappa",
        name="main",
        call="",
    )


def library_files(source: Path) -> Iterator[Path]:
    """The files, relative to `source`, that agents and fence agent run from: no command-line tool, no power broker."""
    for room, left_out in (("resource_agents", ("cli.py", "commands", "level0.py")), ("stonith", ("power",))):
        for file in sorted((source / room).rglob("*.py")):
            if file.relative_to(source / room).parts[0] not in left_out:
                yield file.relative_to(source)


def install(root: Path, interpreter: str, source: Path) -> list[Path]:
    """Put everything under `root` and return the paths relative to it, changed or not. Raises click.ClickException."""
    wanted: dict[Path, tuple[bytes, int]] = {}
    for file in library_files(source):
        wanted[LIBRARY / file] = ((source / file).read_bytes(), 0o644)
    wanted[LEVEL0] = ((source / "resource_agents/level0.py").read_bytes(), 0o644)
    if LIBRARY / "stonith/fence_kappa.py" not in wanted:
        raise click.ClickException(
            f"{source}/stonith/fence_kappa.py is missing, so this copy of kappa-ha is incomplete."
        )
    for agent, module in AGENTS.items():
        wanted[AGENT_DIRECTORY / agent] = (agent_launcher(interpreter, module).encode(), 0o755)
    wanted[FENCE_AGENT] = (fence_launcher(interpreter).encode(), 0o755)
    before, directories = read_manifest(root)
    for path, (content, _) in wanted.items():
        target = root / path
        if path not in before and os.path.lexists(target) and (not target.is_file() or target.read_bytes() != content):
            raise click.ClickException(f"{target} exists and is not kappa-ha's; move it away first.")
    directories |= {above for path in wanted for above in path.parents if above.parts and not (root / above).is_dir()}
    # The manifest comes first: should this be interrupted, the next run still knows what is ours.
    write_manifest(root, before | set(wanted), directories)
    sweep(root)
    library = {path.relative_to(LIBRARY): wanted[path] for path in wanted if path.is_relative_to(LIBRARY)}
    outdated = {path.relative_to(LIBRARY) for path in before - set(wanted) if path.is_relative_to(LIBRARY)}
    if before and (outdated or any(differs(root / LIBRARY / path, *one) for path, one in library.items())):
        renew(root / LIBRARY, interpreter, library, outdated)
    for path in sorted(before - set(wanted)):
        (root / path).unlink(missing_ok=True)
    for path, (content, mode) in wanted.items():
        put(root / path, content, mode)
    write_manifest(root, set(wanted), directories)
    compile_library(root / LIBRARY, interpreter)
    return sorted(wanted)


def renew(library: Path, interpreter: str, wanted: dict[Path, tuple[bytes, int]], outdated: set[Path]) -> None:
    """Replace a library under agents that run from it: made whole beside it, compiled, and then put in its place at
    once. Replaced file by file, a monitor that came meanwhile would run from half of each version, and fail."""
    from resource_agents.commands.exchange import exchange

    stage = library.with_name(f".{library.name}.{os.getpid()}")
    try:
        # Nothing compiled is taken along: Python tells a source of the same size and second from another by nothing.
        shutil.copytree(library, stage, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        for path in outdated:
            (stage / path).unlink(missing_ok=True)
        for path, (content, mode) in wanted.items():
            put(stage / path, content, mode)
        compile_library(stage, interpreter)
        exchange(stage, library)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def sweep(root: Path) -> None:
    """What an interrupted `renew` left."""
    for stage in (root / LIBRARY).parent.glob(f".{LIBRARY.name}.*"):
        shutil.rmtree(stage, ignore_errors=True)


def uninstall(root: Path) -> list[Path]:
    """Remove what install put, what Python compiled from it, and the directories that were made for it, once empty."""
    files, directories = read_manifest(root)
    sweep(root)
    for path in files:
        (root / path).unlink(missing_ok=True)
    for cache in (root / LIBRARY).rglob("__pycache__"):
        shutil.rmtree(cache)
    (root / MANIFEST).unlink(missing_ok=True)
    for directory in sorted(directories, reverse=True):
        if (root / directory).is_dir() and not any((root / directory).iterdir()):
            (root / directory).rmdir()
    return sorted(files)


def read_manifest(root: Path) -> tuple[set[Path], set[Path]]:
    """Files that are installed under `root` and directories that were made for them (these end in a slash)."""
    try:
        lines = (root / MANIFEST).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set(), set()
    files = {Path(line) for line in lines if not line.endswith("/")}
    directories = {Path(line) for line in lines if line.endswith("/")}
    # It is read by root, who then deletes: what kappa-agents never installs is not believed.
    homes = (LIBRARY, AGENT_DIRECTORY, FENCE_AGENT)
    strange = {file for file in files if not any(file.is_relative_to(home) for home in homes)}
    strange |= {one for one in directories if not any(one.is_relative_to(h) or h.is_relative_to(one) for h in homes)}
    strange |= {path for path in files | directories if ".." in path.parts}
    if strange:
        raise click.ClickException(f"{root / MANIFEST} names {min(strange)}, which is not kappa-ha's; correct it.")
    return files, directories


def write_manifest(root: Path, files: set[Path], directories: set[Path]) -> None:
    lines = sorted([*map(str, files), *(f"{directory}/" for directory in directories)])
    put(root / MANIFEST, "".join(f"{line}\n" for line in lines).encode(), 0o644)


def put(target: Path, content: bytes, mode: int) -> None:
    """Write the file whole or not at all; one that is right already is left as it is, its time included."""
    if not differs(target, content):
        if stat.S_IMODE(target.stat().st_mode) != mode:
            target.chmod(mode)
        return
    make_directory(target.parent)
    half = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        half.write_bytes(content)
        half.chmod(mode)
        half.replace(target)
    finally:
        half.unlink(missing_ok=True)


def differs(target: Path, content: bytes, _mode: int = 0) -> bool:
    """Is something else there, or nothing?"""
    return not target.is_file() or target.is_symlink() or target.read_bytes() != content


def make_directory(directory: Path) -> None:
    """Readable by everyone, whatever the umask: Pacemaker reads metadata as another user."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir()
        directory.chmod(0o755)


def compile_library(library: Path, interpreter: str) -> None:
    """Compile with the interpreter that will run it, the paths inside being those it will have in its place."""
    shown = f"/{LIBRARY}"
    command = [interpreter, "-IS", "-m", "compileall", "-q", "-s", str(library), "-p", shown]
    command += ["--invalidation-mode", "timestamp", str(library)]
    writer = [interpreter, "-IS", str(library / LEVEL0.name), str(library), shown]
    level0 = [[*writer, *(f"resource_agents.{one}" for one in (module, *ALSO_NEEDED.get(module, ())))]
              for module in AGENTS.values()]  # fmt: skip
    for one in (command, *level0):
        ran = subprocess.run(one, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, umask=0o022)
        if ran.returncode != 0:
            said = (ran.stdout + ran.stderr).strip().splitlines()
            raise click.ClickException(
                f"{interpreter} cannot compile the agents: {said[-1] if said else 'no reason given'}"
            )


def check_interpreter(interpreter: str) -> None:
    if not interpreter.startswith("/") or len(interpreter) > 100 or any(c.isspace() for c in interpreter):
        raise click.ClickException(f"{interpreter!r} cannot stand in a #! line: give an absolute path without spaces.")
    probe = "import sys; print(*sys.version_info[:2])"
    try:
        ran = subprocess.run([interpreter, "-IS", "-c", probe], capture_output=True, text=True, check=True, timeout=60)
        version = tuple(int(word) for word in ran.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        raise click.ClickException(f"{interpreter} is not a working python; give one with --python.") from None
    if version < OLDEST:
        raise click.ClickException(f"{interpreter} is python {version[0]}.{version[1]}; the agents need 3.9 or later.")


def in_one_sentence(error: OSError) -> click.ClickException:
    hint = " Run it as root." if isinstance(error, PermissionError) and os.geteuid() != 0 else ""
    return click.ClickException(f"{error.filename or 'a file'}: {error.strerror or error}.{hint}")


root_option = click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/"),
    help="Work in this directory as if it were /, to build an image or a package.",
)


class Commands(click.Group):
    """Those of this file, and those of `commands`, which cost no start-up time to who does not use them."""

    OTHERS = ("check", "completion", "conform", "describe")

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted((*super().list_commands(context), *self.OTHERS))

    def get_command(self, context: click.Context, name: str) -> "click.Command | None":
        if name not in self.OTHERS:
            return super().get_command(context, name)
        module = importlib.import_module(f"resource_agents.commands.{name}")
        found = getattr(module, f"{name}_command")
        return found if isinstance(found, click.Command) else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Kappa's OCF resource agents for Pacemaker: install them, ask them, test them, and any other agent too.

    \b
    Put agents and fence agent where Pacemaker looks:
      kappa-agents install
    What can be set, and what for:
      kappa-agents describe vip
    What is wrong with the resource that the cluster calls "bot"?
      kappa-agents check --resource bot --level 10
    Does an agent keep OCF 1.1?
      kappa-agents conform ./my-agent --param config=/tmp/x.conf
    Let the shell complete all this:
      eval "$(kappa-agents completion bash)"
    """


@main.command("install")
@root_option
@click.option(
    "--python",
    "interpreter",
    default="/usr/bin/python3",
    show_default=True,
    help="The interpreter that runs the agents (3.9 or later; nothing but its standard library is used).",
)
def install_command(root: Path, interpreter: str) -> None:
    """Put the agents where Pacemaker looks, compiled. May be repeated.

    \b
    /usr/lib/ocf/resource.d/kappa/   the resource agents, as ocf:kappa:NAME
    /usr/sbin/fence_kappa            the fence agent
    /usr/lib/kappa-ha/               the library that both run from
    """
    check_interpreter(interpreter)
    try:
        root = root.resolve()
        installed = install(root, interpreter, Path(__file__).resolve().parent.parent)
    except OSError as error:
        raise in_one_sentence(error) from None
    for path in installed:
        if not path.is_relative_to(LIBRARY):
            click.echo(root / path)


@main.command("uninstall")
@root_option
def uninstall_command(root: Path) -> None:
    """Remove exactly what install put. Stop the cluster's use of the agents first."""
    try:
        removed = uninstall(root.resolve())
    except OSError as error:
        raise in_one_sentence(error) from None
    click.echo(f"removed {len(removed)} files" if removed else f"nothing of kappa-ha is installed in {root}")


if __name__ == "__main__":
    main()
