"""One file a hypervisor. Which there are is seen from the files of this folder; README.md says how to write one.

A file is loaded only when the configuration asks for its kind, so that no broken or foreign one can harm the rest.
"""

import importlib
from pkgutil import iter_modules

from stonith.power.driver import Driver
from stonith.power.table import Table


def kinds() -> list[str]:
    """What may stand for `kind` in the configuration's [driver]."""
    return sorted(found.name for found in iter_modules(__path__))


def make(table: Table) -> Driver:
    """The driver that [driver] describes. Raises ConfigError."""
    kind = table.text("kind")
    if kind not in kinds():
        raise table.wrong("kind", f"is {kind!r}; kappa-powerd has drivers for {', '.join(map(repr, kinds()))}")
    driver: Driver = importlib.import_module(f"{__name__}.{kind}").from_table(table)
    table.done()
    return driver
