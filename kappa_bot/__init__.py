"""The Telegram bot: python-telegram-bot, pymongo, click.

It knows nothing of Pacemaker beyond its control socket (PROTOCOL.md). What a turn does to a dialogue is computed
(dialogue.py), committed to MongoDB in one transaction that carries the lease's epoch (writer.py), and only then told to
the user (sender.py). Nothing here is imported before it is needed: a take-over waits for the start.
"""
