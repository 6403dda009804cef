"""OCF 1.1 resource agents of the provider `kappa`: telegram-bot, mongos, nginx, vip and uplink.

An agent runs as a process of its own every few seconds, for years, on every node. So nothing here imports anything
beyond the standard library, no module imports what its path does not need, and the heavy parts of the standard
library (`dataclasses`, `typing`, `re`, `json`, `os`, `socket`, `signal`, `subprocess`, `argparse`) are kept off the
level-0 monitor: `posix`, `_signal` and `_socket`, the C halves, are always there. Type hints that are not plain names
are therefore quoted, and `TYPE_CHECKING` is a local `False`.
"""
