"""Build the box, a step at a time, and only the steps whose input has changed."""

import contextlib
import fcntl
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kappa_lab import bundle
from kappa_lab.box import disk
from kappa_lab.errors import LabError
from kappa_lab.paths import CACHE, LOGS, ROOT
from kappa_lab.progress import say, step
from kappa_lab.run import run
from kappa_lab.settings import Settings

FOLDER: Final = CACHE / "box"
RECIPE: Final = (Path(__file__).parent, Path(bundle.__file__))
LOCK: Final = CACHE / "box.lock"
SOURCE: Final = ROOT / "vagrant" / "box"
HALF: Final = ".half"
GIB: Final = 1024**3
ROOM_GIB: Final = 6
BEGUN: Final = "/etc/kappa-box"
PROGRAMS: Final = ("mmdebstrap", "mke2fs", "grub-mkimage", "qemu-img", "unshare", "chroot")


@dataclass(frozen=True)
class Box:
    """A built box, or where it will be."""

    release: str
    base: Path
    """A Debian base system with all packages, as one tar file; the list of their versions stands beside it."""
    file: Path
    """What `vagrant box add` takes."""

    @property
    def name(self) -> str:
        """What Vagrant calls it: another content is another name."""
        return f"kappa/{self.file.stem}"

    @property
    def versions(self) -> Path:
        return self.base.with_suffix(".packages")


def built(settings: Settings) -> Box:
    """Where the box of these settings is, or will be."""
    release = settings.release
    lists = (*_lists(), SOURCE / "initramfs")
    base = bundle.digest(lists, "\n".join((release, FIRST, *HOOKS)))
    everything = bundle.digest(
        (SOURCE, *RECIPE, *bundle.SLOW_PARTS), f"{base} {settings.machine.disk_gb} {bundle.REQUIREMENTS.read_text()}"
    )
    return Box(release, FOLDER / f"base-{release}-{base}.tar", FOLDER / f"node-{release}-{everything}.box")


def _lists() -> tuple[Path, ...]:
    return bundle.PROVISION / "packages", bundle.PROVISION / "packages.machine", SOURCE / "packages"


def names(text: str, release: str) -> list[str]:
    """The packages of a list for this release: one a line, those left out that are for another one."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [words[0] for words in lines if len(words) == 1 or words[1] == release]


def build(settings: Settings) -> Box:
    """Build what is missing; return the box. Raises LabError; what it had begun is removed, here or by the next one."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("The box is being built already.", "Wait for that to end.") from None
        return _build(built(settings), settings)


def _build(box: Box, settings: Settings) -> Box:
    _clear_halves()
    if box.file.exists():
        return box
    _check()
    if not box.base.exists():
        _base(box)
    _box(box, settings)
    for old in FOLDER.glob(f"node-{box.release}-*.box"):
        if old != box.file:
            old.unlink()
    say(f"  the box: {box.file} ({box.file.stat().st_size / GIB:.1f} GiB)")
    return box


def _check() -> None:
    if os.geteuid() != 0:
        raise LabError("Building the box needs root: it unpacks a system with its owners.", "Run it with sudo.")
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise LabError(
                f"The program {program} is not installed.", "`sudo make deps-vm` installs what the machines need."
            )
    free = shutil.disk_usage(FOLDER).free / GIB
    if free < ROOM_GIB:
        raise LabError(
            f"{FOLDER} has {free:.1f} GiB free; building the box needs {ROOM_GIB} GiB there.",
            "Make room, or name a folder on another disk in KAPPA_BUILD_DIR.",
        )


def _clear_halves() -> None:
    """Whatever an interrupted build left: nothing under such a name is ever used."""
    for left in FOLDER.glob(f"*{HALF}*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()


def _half(path: Path) -> Path:
    return path.with_name(f"{path.stem}{HALF}{path.suffix}")


FIRST: Final = f'mkdir -p "$1/etc" && date >"$1{BEGUN}"'
"""Its time tells later what came out of a package, and what was made here."""

HOOKS: Final = (
    # package scripts must not start services; and the first stage is made once, as it is to be, with one time in it
    'printf "#!/bin/sh\\nexit 101\\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"',
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"',
    f'printf "MODULES=list\\nexport SOURCE_DATE_EPOCH={bundle.EPOCH}\\n" >"$1/etc/initramfs-tools/conf.d/kappa"',
    'cp "$KAPPA_INITRAMFS" "$1/usr/share/initramfs-tools/modules.d/kappa"',
)


def _base(box: Box) -> None:
    packages = sorted({name for file in _lists() for name in names(file.read_text(), box.release)})
    half, versions = _half(box.base), _half(box.versions)
    with step(f"making a Debian system ({box.release}) with a node's packages"):
        run(
            [
                "mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", f"--setup-hook={FIRST}",
                *(f"--essential-hook={hook}" for hook in HOOKS),
                f"--customize-hook=chroot \"$1\" dpkg-query -W -f '${{Package}} ${{Version}}\\n' >{versions}",
                box.release, half,
            ],
            doing="Making the box's Debian system",
            hint="Are Debian's packages reachable (apt-get update), and is there room on the disk?",
            log=LOGS / "box-base.log",
            env={"KAPPA_INITRAMFS": str(SOURCE / "initramfs")},
        )  # fmt: skip
        versions.rename(box.versions)
        half.rename(box.base)
    for old in FOLDER.glob(f"base-{box.release}-*"):
        if old not in (box.base, box.versions):
            old.unlink()


IN_A_NAMESPACE: Final = (
    'mount --bind /dev "$1/dev" && mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/tmp" && '
    'tree=$1 && shift && exec chroot "$tree" "$@"'
)
"""What is mounted for the time of provisioning is gone with the namespace, however that ends."""


def _box(box: Box, settings: Settings) -> None:
    tree = FOLDER / f"tree{HALF}"
    image, disk_image = FOLDER / f"disk{HALF}.raw", FOLDER / f"box{HALF}.img"
    half = _half(box.file)
    try:
        with step("unpacking it"):
            tree.mkdir()
            run(["tar", "-xf", box.base, "-C", tree, "--numeric-owner"], doing="Unpacking the box's Debian system")
        with step("making a node of it"):
            (tree / "opt" / "bundle").mkdir(parents=True)
            bundle.fill(tree / "opt" / "bundle", release=box.release)
            shutil.copytree(SOURCE, tree / "opt" / "box", ignore=bundle.IGNORED)
            begun = (tree / BEGUN.lstrip("/")).stat().st_mtime
            for command in ("/opt/bundle/provision/node", "/opt/box/finish"):
                _inside(tree, command)
            shutil.rmtree(tree / "opt" / "box")
            _same_times(tree, begun)
            # what Python compiled of the agents bears their times: once more, now that these are as they stay
            _inside(tree, "/usr/bin/kappa-agents", "install")
            _same_times(tree, begun)
        with step("writing its disk"):
            disk.make(image, tree, settings.machine.disk_gb, LOGS / "box-disk.log", bundle.EPOCH)
            shutil.rmtree(tree)
            run(["qemu-img", "convert", "-O", "qcow2", image, disk_image], doing="Writing the box's disk image")
            image.unlink()
        with step("packing the box"):
            pack(half, disk_image, settings.machine.disk_gb)
            half.rename(box.file)
    finally:
        with contextlib.suppress(OSError):
            _clear_halves()


def _inside(tree: Path, *command: str) -> None:
    run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", IN_A_NAMESPACE, "sh", tree, *command],
        doing="Making a node of the box",
        log=LOGS / f"box-{Path(command[0]).name}.log",
        env={"SOURCE_DATE_EPOCH": bundle.EPOCH, "LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def _same_times(tree: Path, begun: float) -> None:
    """What was made here has one time. What came out of a package keeps its own, for compiled Python refers to it."""
    epoch = int(bundle.EPOCH)
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files, "."):
            path = os.path.join(folder, name)  # noqa: PTH118
            if os.lstat(path).st_mtime >= begun:
                os.utime(path, (epoch, epoch), follow_symlinks=False)


VAGRANTFILE: Final = """Vagrant.configure("2") do |config|
  config.ssh.insert_key = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider :libvirt do |libvirt|
    libvirt.disk_bus = "virtio"
  end
end
"""


def pack(file: Path, image: Path, size_gb: int) -> None:
    """A box as vagrant-libvirt takes it: a tar file with these three, in this order, and no time but one."""
    metadata = {"provider": "libvirt", "format": "qcow2", "virtual_size": size_gb}
    texts = {"metadata.json": json.dumps(metadata) + "\n", "Vagrantfile": VAGRANTFILE}
    with tarfile.open(file, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, text in texts.items():
            part = image.with_name(f"{name}{HALF}")
            part.write_text(text)
            archive.add(part, name, filter=bundle.anonymous)
            part.unlink()
        archive.add(image, "box.img", filter=bundle.anonymous)


def remove() -> None:
    """Remove every box and base system that was built."""
    shutil.rmtree(FOLDER, ignore_errors=True)
