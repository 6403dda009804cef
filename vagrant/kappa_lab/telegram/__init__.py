"""The Telegram lab server: the Bot API as a bot meets it, and people who talk to the bot.

It stands in for api.telegram.org in the lab, and a server kinder than the real one would be a defect: a bot that passes
here and fails there was tested against nothing. The rules that matter to a failover are those of the published server
(the open source `telegram-bot-api`), and each is named where it is kept:

- an update is kept until a higher offset confirms it, whoever it was handed to (`updates.py`);
- one long poll is served; a second that has to wait ends the first with 409 (`polling.py`);
- repeating an offset at once is made to wait, and conflicts in a row are answered slowly (`polling.py`);
- a webhook is retried until it answers 2xx, in order for each chat (`webhook.py`).

Everything that happens is journaled (`journal.py`): a drill is judged by that journal.
"""
