"""The box of the virtual machines, made here from Debian's packages: no box registry, no network but Debian's mirror.

Each step is kept under a name that says what it was made of: a base system of packages; a provisioned tree on a disk,
as a Vagrant box. What was not finished bears another name, and is thrown away by whoever comes next.
"""

from kappa_lab.box.steps import Box, build, built, remove

__all__ = ["Box", "build", "built", "remove"]
