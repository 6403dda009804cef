"""The modules that an agent's monitor needs, in one file for each agent beside the library's other compiled ones.

To find, stat, open and read a dozen small modules in three directories costs half a millisecond, each time. The one
file is written at installation. A module whose source is another by now is passed over, and so is the whole file where
it is missing or from another Python: Python then imports as ever.

Installed as `kappa_level0` beside the packages, since to be found in one of them would cost what this saves.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    # Name → path in the library, its time and size, and the code.
    Modules = dict[str, tuple[str, int, int, CodeType]]

PACKAGE = "/__init__.py"


def use(library: str, agent: str) -> None:
    """Import from the file, where it holds; agents' launchers call this first."""
    try:
        magic, modules = _read(_bundle(library, agent))
    except (OSError, EOFError, ValueError, TypeError):
        return
    if magic == MAGIC_NUMBER:
        sys.meta_path.insert(0, _Bundle(library, modules))


def _read(path: str) -> "tuple[bytes, Modules]":
    handle = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        magic, modules = marshal.loads(posix.read(handle, 1 << 22))  # noqa: S302 - as trusted as what is beside it
        return magic, modules
    finally:
        posix.close(handle)


def _bundle(library: str, agent: str) -> str:
    return f"{library}/__pycache__/{agent}.level0.{sys.implementation.cache_tag}"


class _Bundle:
    """Finder and loader."""

    def __init__(self, library: str, modules: "Modules") -> None:
        self.library = library
        self.modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        found = self.modules.get(name)
        if found is None:
            return None
        source = self.library + found[0]
        try:
            now = posix.stat(source)
        except OSError:
            return None
        if (now.st_mtime_ns, now.st_size) != found[1:3]:
            return None
        package = source.endswith(PACKAGE)
        spec = ModuleSpec(name, self, origin=source, is_package=package)  # type: ignore[arg-type]
        if package:
            spec.submodule_search_locations = [source[: -len(PACKAGE)]]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: "ModuleType") -> None:
        exec(self.modules[module.__name__][3], module.__dict__)  # noqa: S102 - as every loader does


def write(library: str, shown: str, names: "list[str]") -> None:
    """Put these modules, and what they import, into the file of the first; one that holds the same is left as it is.
    `shown`: the library's path once it is in use."""
    sys.path.insert(0, library)
    for name in names:
        __import__(name)
    modules: Modules = {}
    for name, module in sorted(sys.modules.items()):
        source = getattr(module, "__file__", None) or ""
        if source.startswith(f"{library}/"):
            with open(source, "rb") as file:
                text = file.read()
            status = posix.stat(source)
            inside = source[len(library) :]
            # Nobody reads their docstrings there.
            code = compile(text, shown + inside, "exec", dont_inherit=True, optimize=2)
            modules[name] = (inside, status.st_mtime_ns, status.st_size, code)
    path = _bundle(library, names[0])
    try:
        magic, before = _read(path)
        if magic == MAGIC_NUMBER and {n: one[:3] for n, one in before.items()} == {
            n: one[:3] for n, one in modules.items()
        }:
            return
    except (OSError, EOFError, ValueError, TypeError, AttributeError):
        pass
    half = f"{path}.{posix.getpid()}"
    with open(half, "wb") as file:
        file.write(marshal.dumps((MAGIC_NUMBER, modules)))
    posix.rename(half, path)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], sys.argv[3:])
