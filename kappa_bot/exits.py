"""Exit codes of `kappa-bot`, and the error that carries one to the operator."""

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILED = 1
    """Something this program did not foresee."""
    USAGE = 2
    """Wrong command line (click's own code)."""
    CONFIG = 3
    """The configuration, or a secret file it names, is wrong on this host."""
    LEASE_LOST = 4
    """Another bot holds the lease: this one stopped by itself."""
    TOKEN_REFUSED = 5
    """Telegram does not know the token."""
    DATABASE = 6
    """MongoDB refuses the user, or the database has not been prepared."""
    CONTROL = 7
    """The control socket cannot be used: another bot has it, or no bot answers there."""


class FatalError(Exception):
    """Ends the program: one sentence for the operator and the exit code that goes with it."""

    def __init__(self, code: Exit, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
