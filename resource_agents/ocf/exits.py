"""Exit codes (OCF 1.1, "Action Exit Codes") and the one exception that ends an action.

An exit code is a decision about the whole cluster, not a remark: GENERIC is soft (recover, perhaps elsewhere), ARGS,
PERMISSION and INSTALLED are hard (this node is out until someone cleans up), CONFIGURED is fatal (no node may run it).
"""

OK = 0
GENERIC = 1
ARGS = 2
UNIMPLEMENTED = 3
PERMISSION = 4
INSTALLED = 5
CONFIGURED = 6
NOT_RUNNING = 7
RUNNING_PROMOTED = 8
FAILED_PROMOTED = 9
DEGRADED = 190
DEGRADED_PROMOTED = 191

LEGAL = frozenset((OK, GENERIC, ARGS, UNIMPLEMENTED, PERMISSION, INSTALLED, CONFIGURED, NOT_RUNNING, RUNNING_PROMOTED,
                   FAILED_PROMOTED, DEGRADED, DEGRADED_PROMOTED))  # fmt: skip


class Failure(Exception):  # noqa: N818 - "not running" is no error
    """The action ends here with `code`, one of the codes above, and says `reason`.

    The reason is one sentence that names the thing, what was seen and what to do; it becomes the `ocf-exit-reason:`
    line.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
