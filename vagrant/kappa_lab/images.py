"""Build the lab's images from packages, without an image registry, and only when what they are made of has changed."""

import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from kappa_lab import bundle
from kappa_lab.engine import docker
from kappa_lab.errors import LabError
from kappa_lab.paths import CACHE, LOGS, ROOT
from kappa_lab.progress import step
from kappa_lab.run import run
from kappa_lab.topology import SETTINGS

SERVICES_RELEASE = "bookworm"
"""What stands beside the cluster stays on the release that its mongod is for."""

IMAGES = ROOT / "vagrant" / "images"


def exists(tag: str) -> bool:
    return bool(docker("images", "-q", tag, doing="looking for built images").strip())


def _base(release: str) -> None:
    """An ordinary Debian base image made from Debian's own packages (there is no image registry to ask)."""
    tag = base_of(release)
    if exists(tag):
        return
    tarball = CACHE / f"base-{release}.tar"
    if not tarball.exists():
        with step(f"making a Debian base system ({release}) from packages"):
            # written beside and renamed: an interrupted run leaves no half tarball that the next one would trust
            half = CACHE / f"base-{release}.half.tar"
            run(
                ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", release, half],
                doing="Making the Debian base system",
                hint="Are Debian's packages reachable (apt-get update), and is there room on the disk?",
                log=LOGS / "mmdebstrap.log",
            )
            half.rename(tarball)
    with step("importing it as an image"):
        docker("import", tarball, tag, doing="Importing the base image", log=LOGS / "import.log")
    tarball.unlink()


def base_of(release: str) -> str:
    return f"debian:{release}-slim"


def _build(name: str, tag: str, context: Path, release: str) -> None:
    docker(
        "build", "--network", "host", "--force-rm", "--build-arg", f"BASE={base_of(release)}",
        "-t", tag, "-t", f"kappa-lab/{name}:latest", context,
        doing=f"Building the {name} image",
        timeout=1500,
        log=LOGS / f"build-{name}.log",
    )  # fmt: skip


def tags() -> dict[str, str]:
    """Each image's tag, which says what it is made of."""
    pins = bundle.REQUIREMENTS.read_text()
    return {
        "node": f"kappa-lab/node:{bundle.digest((IMAGES / 'node', *bundle.PARTS), pins + SETTINGS.release)}",
        "services": f"kappa-lab/services:{bundle.digest((IMAGES / 'services', *bundle.CODE), pins)}",
    }


NAMES = ("node", "services")


def ensure(names: Sequence[str] = NAMES) -> dict[str, str]:
    """Build what of these is missing or out of date; return every image's tag. Raises LabError when a build fails."""
    if platform.machine() != "x86_64":
        raise LabError(f"This machine is {platform.machine()}; the lab's mongod is built for x86-64 only.")
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = tags()
    missing = [name for name in names if not exists(wanted[name])]
    if not missing:
        return wanted
    releases = {"node": SETTINGS.release, "services": SERVICES_RELEASE}
    for release in sorted({releases[name] for name in missing}):
        _base(release)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        dist = Path(scratch) / "dist"
        with step("packing the project"):
            bundle.own_wheel(dist)
        for name in missing:
            context = Path(scratch) / name
            shutil.copytree(IMAGES / name, context)
            if name == "node":
                bundle.fill(context, dist, SETTINGS.release)
            else:
                (context / "requirements.txt").write_text(bundle.requirements_without(bundle.DEVELOPER_ONLY))
                bundle.wheels(bundle.DEVELOPER_ONLY, context / "wheels")
                shutil.copytree(dist, context / "dist")
            with step(f"building the {name} image (the first time takes a minute or two)"):
                _build(name, wanted[name], context, releases[name])
    return wanted
