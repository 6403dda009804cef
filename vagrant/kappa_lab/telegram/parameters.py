"""What a request carries: query string, urlencoded form, multipart form or JSON body, all alike to a method.

Telegram reads numbers leniently (an unreadable one counts as absent) and takes structures as JSON text in a form, or as
themselves in a JSON body.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from kappa_lab.telegram.errors import bad_request


@dataclass(frozen=True)
class UploadedFile:
    """A file that came in a multipart form."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Parameters:
    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, UploadedFile] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The parameter as text; empty where it is absent."""
        value = self.values.get(name)
        if value is None:
            return ""
        if isinstance(value, bool):
            return "true" if value else "false"
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def integer(self, name: str, default: int = 0) -> int:
        """Leading digits count, as Telegram reads numbers: "10.5" is 10, "ten" is 0. Absent or empty is `default`."""
        text = self.text(name)
        if not text:
            return default
        digits = re.match(r"\s*[+-]?\d+", text)
        return int(digits[0]) if digits else 0

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def flag(self, name: str) -> bool:
        return self.text(name).strip().lower() in ("true", "yes", "1")

    def structure(self, name: str, what: str) -> Any:
        """A JSON parameter, decoded; None where it is absent or empty. `what` names it in the 400 for bad JSON."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value:
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise bad_request(f"can't parse {what} JSON object") from None


async def read_parameters(request: web.Request) -> Parameters:
    """Read the whole request. Raises ApiError 400 for a JSON body that is none."""
    values: dict[str, Any] = dict(request.query)
    files: dict[str, UploadedFile] = {}
    if request.method == "GET" or not request.body_exists:
        return Parameters(values, files)
    if request.content_type == "application/json":
        body = await request.read()
        try:
            decoded = json.loads(body) if body.strip() else {}
        except ValueError:
            decoded = None
        if not isinstance(decoded, dict):
            raise bad_request("can't parse request JSON object")
        values.update(decoded)
    elif request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files[name] = UploadedFile(value.filename, value.content_type, value.file.read())
            elif isinstance(value, str):
                values[name] = value
            else:
                values[name] = bytes(value).decode("utf-8", "replace")
    return Parameters(values, files)
