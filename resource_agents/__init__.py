"""OCF 1.1 resource agents of the provider `kappa`: telegram-bot, mongos, nginx and vip.

An agent runs as a process of its own every few seconds, for years, on every node. So nothing here imports anything
beyond the standard library, no module imports what its path does not need, and the heavy parts of the standard
library (`dataclasses`, `typing`, `re`, `json`, `socket`, `signal`, `subprocess`, `argparse`) are kept off the level-0
monitor. Type hints that are not plain names are therefore quoted, and `TYPE_CHECKING` is a local `False`.
"""
