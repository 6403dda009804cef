"""What goes wrong in the lab, said once and for people."""


class LabError(Exception):
    """A failure that an operator can act on: `message` names what was wrong, `hint` what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()
