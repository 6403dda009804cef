"""Parameters of an agent: what an operator may set, how it is read, and what is refused.

Values come as text in the environment (`OCF_RESKEY_<name>`). An empty value counts as not set, as Pacemaker treats it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    Value = Union[str, int, float, bool]

TRUE = ("true", "on", "yes", "y", "1")
FALSE = ("false", "off", "no", "n", "0")
# The longest suffix first, so that "ms" is not read as "s".
UNITS = (
    ("msec", 0.001),
    ("ms", 0.001),
    ("sec", 1.0),
    ("min", 60.0),
    ("hr", 3600.0),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
)

# How each kind is advertised; OCF 1.1 knows no times, paths or programs.
CONTENT_TYPES = {"integer": "integer", "boolean": "boolean", "select": "select"}


class Parameter:
    """One parameter. `default=None` makes it required; every other has a default, as OCF 1.1 asks.

    kind: "string", "integer", "boolean", "select" (one of `options`), "time" (a number with ms, s, m or h; seconds when
    bare; read as seconds), "path" (absolute) or "program" (an absolute path, or a name looked up in the usual places).
    check: given the value, returns what is wrong with it in words ("" when nothing is).
    """

    __slots__ = (
        "check",
        "default",
        "kind",
        "long",
        "maximum",
        "minimum",
        "name",
        "options",
        "reloadable",
        "short",
        "unique_group",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        default: "str | None",
        short: str,
        long: str = "",
        *,
        unique_group: str = "",
        reloadable: bool = False,
        options: "tuple[str, ...]" = (),
        minimum: "int | None" = None,
        maximum: "int | None" = None,
        check: "Callable[[str], str] | None" = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.default = default
        self.short = short
        self.long = long
        self.unique_group = unique_group
        self.reloadable = reloadable
        self.options = options
        self.minimum = minimum
        self.maximum = maximum
        self.check = check

    @property
    def required(self) -> bool:
        return self.default is None

    def read(self, raw: str) -> "Value":
        """The typed value of `raw`. Raises ValueError with what is wrong, in words that fit after "NAME=VALUE"."""
        value = self._typed(raw)
        wrong = self.check(raw) if self.check and raw else ""
        if wrong:
            raise ValueError(wrong)
        return value

    def _typed(self, raw: str) -> "Value":
        kind = self.kind
        if kind == "integer":
            return self._integer(raw)
        if kind == "boolean":
            word = raw.lower()
            if word not in TRUE and word not in FALSE:
                raise ValueError("is neither true nor false")
            return word in TRUE
        if kind == "time":
            return seconds(raw)
        if kind == "select" and raw not in self.options:
            raise ValueError(f"is none of {', '.join(self.options)}")
        if kind == "path" and raw and not raw.startswith("/"):
            raise ValueError("is not an absolute path")
        if kind == "program" and "/" in raw and not raw.startswith("/"):
            raise ValueError("is neither an absolute path nor the bare name of a program")
        return raw

    def _integer(self, raw: str) -> int:
        # int() alone would also take "1_0", " 1" and digits of other scripts.
        digits = raw[1:] if raw[:1] in "+-" else raw
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            raise ValueError("is not a whole number")
        value = int(raw)
        if self.minimum is not None and value < self.minimum:
            raise ValueError(f"is less than {self.minimum}")
        if self.maximum is not None and value > self.maximum:
            raise ValueError(f"is more than {self.maximum}")
        return value


def seconds(raw: str) -> float:
    """Seconds in "30", "30s", "500ms", "2m" or "1h". Raises ValueError for anything else."""
    number, factor = raw.strip().lower(), 1.0
    for suffix, unit in UNITS:
        if number.endswith(suffix):
            number, factor = number[: -len(suffix)].rstrip(), unit
            break
    whole = number.replace(".", "", 1)
    if not (whole.isascii() and whole.isdigit()) or len(number) > 12:
        raise ValueError("is not a time such as 30s or 500ms")
    return float(number) * factor
