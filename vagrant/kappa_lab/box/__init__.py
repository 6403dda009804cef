"""The box of the virtual machines, made here from Debian's packages: no box registry, no network but Debian's mirror.

Three steps, each kept under a name that says what it was made of: a base system (packages), a provisioned tree on a disk image, a
Vagrant box of it. What was not finished bears another name, and is thrown away by whoever comes next.
"""

from kappa_lab.box.steps import Box, build, built, remove

__all__ = ["Box", "build", "built", "remove"]
