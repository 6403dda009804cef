"""The two configurations that are compared: what is different between them, and nothing else is."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from kappa_lab import lab
from kappa_lab.errors import LabError
from kappa_lab.mongodb.initiate import DATABASE, password
from kappa_lab.paths import ROOT, STATE
from tests.bench.failover import docker_proxy

HERE: Final = Path(__file__).parent
OURS_COROSYNC: Final = ROOT / "crm_configs" / "corosync.conf"


@dataclass(frozen=True)
class Compared:
    name: str
    lab: lab.Configuration
    bot: str
    """What the command line of the bot's process has, and no other's (a regular expression)."""


def default_timings(corosync: str) -> str:
    """A corosync.conf without what it says of its timings: Corosync's defaults hold (token 3000, 650 more for the third
    node, consensus 1.2 times that)."""
    return re.sub(r"^[ \t]*(#.*|(token|token_coefficient|consensus):.*)\n", "", corosync, flags=re.MULTILINE)


def stock() -> Compared:
    """Debian's agents, Debian's fence_docker, Corosync's defaults, and a bot in the library's ordinary way."""
    return Compared(
        "stock",
        lab.Configuration(
            cib=(HERE / "stock" / "cib.xml").read_text(),
            files={
                "/etc/corosync/corosync.conf": default_timings(OURS_COROSYNC.read_text()),
                "/opt/stock/bot.py": (HERE / "stock" / "bot.py").read_text(),
            },
            everywhere=(),
            fencing=("fence",),
        ),
        bot="/opt/stock/bot.py",
    )


def ours() -> Compared:
    """As shipped."""
    return Compared("ours", lab.SHIPPED, bot="kappa-bot run")


@contextmanager
def up(compared: Compared) -> Iterator[None]:
    """A fresh lab with this configuration, with all that it needs outside of it. The caller takes the lab down."""
    by = f"make bench-failover ({compared.name})"
    if compared.name == "ours":
        lab.up(by, compared.lab)
        yield
        return
    with TemporaryDirectory(prefix="kappa-bench-") as folder, docker_proxy.serving(Path(folder)):
        lab.up(by, compared.lab)
        allow_second_places()
        yield


def allow_second_places() -> None:
    """Take away the index that keeps a place from being stored twice: an ordinary application's database has none."""
    secret = password(STATE / "secrets" / "mongodb-admin.password")
    try:
        with MongoClient[dict[str, Any]](
            lab.REPLICA_SET, username="kappa_admin", password=secret, authSource="admin", timeoutMS=20_000
        ) as client:
            client[DATABASE]["Data"].drop_index([("updateId", 1)])
    except PyMongoError as error:
        raise LabError(f"The stock database could not be made: {' '.join(str(error).split())[:200]}.") from None
