"""Give up what the broker does not need: its rights when it was started as root, and any way to new ones."""

import ctypes
import grp
import os
import pwd
from collections.abc import Sequence
from pathlib import Path

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38


class PrivilegeError(Exception):
    """Why the broker cannot become who it should be, in one sentence."""


def drop(user: str, groups: Sequence[str], no_new_privileges: bool) -> str:
    """Become `user`, in its own groups and in `groups`, if this is root. Returns what there is to worry about.

    With `no_new_privileges` neither it nor what it starts can ever gain any again, not by setuid programs either.
    """
    # no core dump, and no process of the same user that reads this one's memory: there are keys in it
    _prctl(PR_SET_DUMPABLE, 0)
    worry = ""
    if os.geteuid() == 0 and user:
        _become(user, groups, no_new_privileges)
    elif os.geteuid() == 0:
        worry = "runs as root, which it need not; name a user for it in the configuration, or start it as one"
    elif user and _number(user) != os.geteuid():
        raise PrivilegeError(
            f"this is user id {os.geteuid()}, but the configuration says user = {user!r}; start it as root or as {user}"
        )
    if no_new_privileges:
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
    return worry


def _become(user: str, groups: Sequence[str], no_new_privileges: bool) -> None:
    if _number(user) is None:
        raise PrivilegeError(f"there is no user {user!r} to run as; useradd --system {user}")
    who = pwd.getpwnam(user)
    numbers = set(os.getgrouplist(user, who.pw_gid))
    for group in groups:
        try:
            numbers.add(grp.getgrnam(group).gr_gid)
        except KeyError:
            raise PrivilegeError(f"there is no group {group!r} to be in; see groups in the configuration") from None
    if who.pw_uid == 0:
        raise PrivilegeError(f"{user!r} is root by another name; name a user without its rights")
    try:
        if no_new_privileges:
            for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
                _prctl(PR_CAPBSET_DROP, capability)
        os.setgroups(sorted(numbers))
        os.setresgid(who.pw_gid, who.pw_gid, who.pw_gid)
        os.setresuid(who.pw_uid, who.pw_uid, who.pw_uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become {user!r}: {(error.strerror or 'unknown why').lower()}") from None
    if os.getresuid() != (who.pw_uid,) * 3 or os.getresgid() != (who.pw_gid,) * 3:
        raise PrivilegeError(f"did not become {user!r}")


def _number(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise PrivilegeError(f"cannot give up privileges (prctl {option}: {os.strerror(number).lower()})")
