"""The peer of the bot's bench: a stock python-telegram-bot application that keeps what it is told in MongoDB.

    peer_bot.py TOKEN_FILE BASE_URL MONGODB_URI PASSWORD_FILE DATABASE [concurrent]

As the library's own examples have it: its Updater polls (and acknowledges a batch with the next poll, done or not), a
handler stores the update with a plain insert and answers. It stores and says as much for an update as the bot does.

`concurrent` lets the library handle updates side by side (`concurrent_updates(True)`), a chat's own ones too, in no
order.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from telegram import InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.ext import Application, CommandHandler, ContextTypes

from kappa_bot.texts import LANGUAGES, say
from tests.mongod import ADMIN_USER


def main() -> None:
    token, base_url, uri, password, database, *more = sys.argv[1:]
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        uri, username=ADMIN_USER, password=Path(password).read_text().strip()
    )
    updates = client[database].Peer
    text = "\n\n".join(say(language, "choose_language") for language in ("en", "es"))
    buttons = [[InlineKeyboardButton(say(language, "language_name"), callback_data=language) for language in LANGUAGES]]

    async def start(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        document = {"_id": update.update_id, "update": update.to_json(), "receivedAt": datetime.now(UTC), "epoch": 1}
        await updates.insert_one(document)
        assert update.message is not None
        await update.message.reply_text(text, reply_markup=InlineKeyboardMarkup(buttons))

    builder = Application.builder().token(Path(token).read_text().strip()).base_url(base_url)
    application = builder.concurrent_updates("concurrent" in more).build()
    application.add_handler(CommandHandler("start", start))
    application.run_polling()


if __name__ == "__main__":
    main()
