"""A TOML table that names itself in every complaint, and complains of keys that nobody asked for."""

from pathlib import Path

from stonith.wire import is_name


class ConfigError(Exception):
    """One sentence that names the file, the key, what stands there and what should."""


class Table:
    """One table of the configuration. Whoever reads it takes its keys one by one, and then says that it is `done`."""

    def __init__(self, file: str, name: str, content: object) -> None:
        self.file, self.name = file, name
        if not isinstance(content, dict):
            raise self.wrong("", "is not a table")
        self._left = dict(content)

    def wrong(self, key: str, what: str) -> ConfigError:
        place = ".".join(part for part in (self.name, key) if part)
        return ConfigError(f"{self.file}: {place or 'it'} {what}")

    def has(self, key: str) -> bool:
        return key in self._left

    def text(self, key: str, otherwise: str | None = None) -> str:
        if otherwise is not None and not self.has(key):
            return otherwise
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "must be a string that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._take(key)
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, "must be a list of strings that is not empty")
        return tuple(value)

    def number(self, key: str, least: int, most: int, otherwise: int) -> int:
        if not self.has(key):
            return otherwise
        value = self._take(key)
        if type(value) is not int or not least <= value <= most:
            raise self.wrong(key, f"must be a whole number from {least} to {most}")
        return value

    def table(self, key: str) -> "Table":
        return Table(self.file, ".".join(part for part in (self.name, key) if part), self._take(key))

    def path(self, key: str, otherwise: str | None = None) -> Path:
        path = Path(self.text(key, otherwise))
        if not path.is_absolute():
            raise self.wrong(key, f"is {str(path)!r}, which is not an absolute path")
        return path

    def names(self) -> list[str]:
        if not self._left:
            raise self.wrong("", "is empty")
        for name in self._left:
            if not is_name(name):
                raise self.wrong(name, "is not a name: letters, digits, '.', '_' and '-' are allowed")
        return list(self._left)

    def done(self) -> None:
        if self._left:
            raise self.wrong(next(iter(self._left)), "is not a key that kappa-powerd knows")

    def _take(self, key: str) -> object:
        if key not in self._left:
            raise self.wrong(key, "is missing")
        return self._left.pop(key)
